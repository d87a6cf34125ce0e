"""Typed Python SDK of ExosphereHost: nodes, runtimes, graphs and triggers."""

# The stub beside this file lists the public names, for type checkers and for this module alike. Each is loaded when it
# is used first: pydantic, asyncio and the wire's models take a third of a second.

_modules: dict[str, str] = {}


def _module_of(name: str) -> str | None:
    if not _modules:
        import re  # noqa: PLC0415 - not needed until a name is used
        from importlib.resources import files  # noqa: PLC0415 - likewise

        stub = files(__name__).joinpath("__init__.pyi").read_text(encoding="utf-8")
        listed = re.findall(r"^from (\S+) import (\w+) as \2$", stub, re.MULTILINE)
        # In one step: another thread finds the table empty or whole, never with a part of the names.
        _modules.update({name: module for module, name in listed})
    return _modules.get(name)


def __getattr__(name: str) -> object:
    from importlib import import_module  # noqa: PLC0415 - not needed until a name is used

    value: object
    listed = "VERSION" if name == "__version__" else name
    if (module := _module_of(listed)) is not None:
        value = getattr(import_module(module), listed)
    elif name == "__all__":
        value = sorted(_modules, key=lambda each: (not each.isupper(), each))
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    _module_of("")
    return [*_modules, "__all__", "__doc__", "__file__", "__name__", "__path__", "__version__"]
