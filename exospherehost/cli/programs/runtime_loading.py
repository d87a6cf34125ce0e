"""Loading of the runtime that a user names as MODULE:NAME."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from exospherehost._errors import ConfigurationError
from exospherehost._runtime.runtime import Runtime


class LoadError(Exception):
    """The name leads to nothing, or to something that is not a runtime; the text says what to do."""


class ModuleFault(Exception):
    """The named module, or its function, raised; the text is its traceback from the module on."""


def load_runtime(spec: str) -> Runtime:
    """Import a module, also from the current directory, and return a runtime of it.

    Args:
        spec: MODULE:NAME. The name, which may have dots, leads to a `Runtime` or to a function without arguments
            that returns one.

    Raises:
        LoadError: There is no such module or name, or it leads to something else.
        ModuleFault: Code of the module raised an error.
        ConfigurationError: Code of the module gave the SDK a setting that breaks a rule.
    """
    module_name, colon, name = spec.partition(":")
    if not (colon and name and module_name):
        raise LoadError(f"{spec!r} is not MODULE:NAME; name a module and a runtime in it, such as app:runtime")
    if module_name.endswith(".py") or "/" in module_name or "\\" in module_name:
        guess = ".".join(Path(module_name.replace("\\", "/")).with_suffix("").parts).strip("./")
        raise LoadError(f"{module_name!r} is a file; name it as it is imported, such as {guess}:{name}")
    return _as_runtime(spec, _named(_imported(module_name), module_name, name))


def _imported(module_name: str) -> Any:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # If another module is missing, the named module imports it: the traceback shows where.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ModuleFault(_trace(error)) from error
        raise LoadError(f"there is no module {error.name!r} in {folder} or on Python's path") from error
    except ConfigurationError:
        raise
    except Exception as error:
        raise ModuleFault(_trace(error)) from error


def _trace(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and _leads_to_the_module(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()


def _leads_to_the_module(file: str) -> bool:
    return file in (__file__, importlib.__file__) or file.startswith("<frozen importlib")


def _named(module: Any, module_name: str, name: str) -> Any:
    value = module
    for part in name.split("."):
        if not hasattr(value, part):
            members = cast("Mapping[str, object]", vars(module))
            runtimes = [other for other, found in members.items() if isinstance(found, Runtime)]
            hint = f"; it has {', '.join(runtimes)}" if runtimes else ""
            raise LoadError(f"module {module_name!r} has no {name!r}{hint}")
        value = getattr(value, part)
    return value


def _as_runtime(spec: str, value: Any) -> Runtime:
    if callable(value) and not inspect.isclass(value):
        try:
            inspect.signature(value).bind()
        except TypeError as error:
            raise LoadError(f"{spec} needs arguments; name a function without arguments, or a Runtime") from error
        try:
            value = value()
        except ConfigurationError:
            raise
        except Exception as error:
            raise ModuleFault(_trace(error)) from error
        if inspect.iscoroutine(value):
            value.close()
            raise LoadError(f"{spec} is an async function; make it a plain function that returns a Runtime")
        if not isinstance(value, Runtime):
            raise LoadError(f"{spec} returned an object of type {type(value).__name__}; return a Runtime")
    if not isinstance(value, Runtime):
        raise LoadError(
            f"{spec} is an object of type {type(value).__name__}; name a Runtime or a function that returns one"
        )
    return value
