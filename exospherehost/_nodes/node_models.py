"""A node's models: found in the brackets of its bases, and masked if they hold secrets."""

from __future__ import annotations

import functools
import inspect
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ForwardRef, TypeVar, get_args, get_origin

from pydantic import BaseModel

from exospherehost._errors import ConfigurationError
from exospherehost._redaction import MASK, Redactor

MODELS = ("Inputs", "Outputs", "Secrets")
"""A node's models, in the order of the brackets."""

_secret_models: weakref.WeakSet[type[BaseModel]] = weakref.WeakSet()


def models_in_brackets(cls: type, root: type) -> dict[str, type[BaseModel]]:
    """Return the models that a node class names in the brackets of its bases, through generic bases too.

    Args:
        cls: The node class.
        root: The base class whose brackets hold the models.

    Raises:
        ConfigurationError: An argument in the brackets is not a model, or is an unknown name.
    """
    found: dict[str, type[BaseModel]] = {}
    for base in vars(cls).get("__orig_bases__", ()):
        for name, argument in _given_by(base, root).items():
            model = _model(cls, name, argument)
            if model is not None:
                found.setdefault(name, model)
    return found


def names_of_models(node: type[Any]) -> dict[str, str]:
    """Return the full names of a node's models, such as `Shorten.Outputs`, by pydantic's title of each."""
    models = {name: getattr(node, name) for name in MODELS}
    return {
        model.model_config.get("title") or model.__name__: f"{node.__name__}.{name}" for name, model in models.items()
    }


def protect(model: object) -> None:
    """Mask the values of a model's fields in `repr`, `str` and rich, for all its instances.

    Instances of its subclasses are masked too, since they have the same fields. Models that share a base with it stay
    as they are, and so does a base without fields, such as `BaseModel`.
    """
    if not (inspect.isclass(model) and issubclass(model, BaseModel) and model.model_fields):
        return
    if model not in _secret_models:
        _secret_models.add(model)
        plain = model.__repr_args__

        def masked(self: BaseModel) -> Iterable[tuple[str | None, Any]]:
            return _masked(self) if _holds_secrets(type(self)) else plain(self)

        model.__repr_args__ = masked  # type: ignore[method-assign]
        for name in ("__repr__", "__str__"):
            own = getattr(model, name)
            if own is not getattr(BaseModel, name):
                setattr(model, name, _redacting(own))


def _redacting(own: Callable[[BaseModel], str]) -> Callable[[BaseModel], str]:
    """Wrap a user's own `__repr__` or `__str__`, which may show values."""

    @functools.wraps(own)
    def redacting(self: BaseModel) -> str:
        values = {**vars(self), **(self.__pydantic_extra__ or {})}
        return Redactor(values.values())(own(self)) if _holds_secrets(type(self)) else own(self)

    return redacting


def _holds_secrets(model: type[BaseModel]) -> bool:
    return any(base in _secret_models for base in model.__mro__)


def _masked(instance: BaseModel) -> Iterator[tuple[str, str]]:
    return ((name, MASK) for name in type(instance).model_fields)


def _given_by(base: Any, root: type) -> dict[str, Any]:
    """Return the arguments of a base in brackets, by the model that each stands for."""
    origin = get_origin(base)
    if origin is root:
        return dict(zip(MODELS, get_args(base), strict=False))
    if not (inspect.isclass(origin) and issubclass(origin, root)):
        return {}
    values: Mapping[Any, Any] = dict(zip(getattr(origin, "__parameters__", ()), get_args(base), strict=False))
    open_to: dict[str, Any] = {}
    for inner in vars(origin).get("__orig_bases__", ()):
        open_to.update({name: values[part] for name, part in _given_by(inner, root).items() if _is_in(part, values)})
    return open_to


def _is_in(part: Any, values: Mapping[Any, Any]) -> bool:
    return isinstance(part, TypeVar) and part in values


def _model(cls: type, name: str, argument: Any) -> type[BaseModel] | None:
    """Return an argument's model, or None if the argument leaves the model open."""
    if isinstance(argument, str | ForwardRef):
        argument = _resolved(cls, name, argument)
    if inspect.isclass(argument) and issubclass(argument, BaseModel):
        return argument
    # Type variables of other libraries have a class of their own, with the same attributes.
    if argument in (None, type(None), Any) or hasattr(argument, "__bound__"):
        return None
    raise ConfigurationError(
        f"{cls.__name__}: {name} in the brackets is {_spelled(argument)}, and not a class that inherits from "
        "pydantic.BaseModel; name a model there, or Any to leave it open"
    )


def _resolved(cls: type, name: str, reference: str | ForwardRef) -> Any:
    text = reference if isinstance(reference, str) else reference.__forward_arg__
    names = {**vars(sys.modules[cls.__module__])} if cls.__module__ in sys.modules else {}
    value: Any = names.get(text.partition(".")[0])
    for part in text.split(".")[1:]:
        value = getattr(value, part, None)
    if value is None:
        raise ConfigurationError(
            f"{cls.__name__}: {name} in the brackets is {text!r}, which module {cls.__module__} does not have yet; "
            "define the model above the node, and name it without quotes"
        )
    return value


def _spelled(part: Any) -> str:
    return part.__name__ if inspect.isclass(part) else repr(part)
