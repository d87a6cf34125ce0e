"""Text fields: the annotations that a node's models may have, and the plain schema that the service is told."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Mapping
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, SecretStr
from pydantic.json_schema import JsonSchemaMode
from typing_extensions import TypeAliasType

# The statement `type X = str` makes an alias of typing's own class.
_ALIASES: tuple[Any, ...] = (TypeAliasType,)
if sys.version_info >= (3, 12):
    _ALIASES = (TypeAliasType, typing.TypeAliasType)
_NONE = (None, type(None))
# With one of these keywords a field is no plain string to the service.
_CHOICES = frozenset(("anyOf", "oneOf", "allOf", "$ref", "enum", "const"))
_KEPT_KEYWORDS = ("title", "description", "default")


def is_text(annotation: Any, *, is_secret: bool = False) -> bool:
    """Tell whether every value of an annotation is text on the wire, or None beside text.

    Args:
        annotation: `str`, or what stands for it: `str | None`, `Literal`, `NewType`, an alias, an enum of strings.
        is_secret: whether `SecretStr` is text too.
    """
    parts = list(_parts(annotation))
    texts = [part for part in parts if part not in _NONE]
    return bool(texts) and all(part is str or (is_secret and part is SecretStr) for part in texts)


def takes_none(annotation: Any) -> bool:
    """Tell whether an annotation takes None."""
    return any(part in _NONE for part in _parts(annotation))


def optional_outputs(model: type[BaseModel]) -> dict[str, bool]:
    """Return the fields that take None, by the name that they are written under, and whether each has a default."""
    return {
        field.serialization_alias or field.alias or name: not field.is_required()
        for name, field in model.model_fields.items()
        if takes_none(field.annotation)
    }


def input_names(model: type[BaseModel]) -> frozenset[str]:
    """Return the names under which a model's fields can be given, aliases included."""
    names = set(model.model_fields)
    for field in model.model_fields.values():
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
        names.update(choice for choice in (*choices, field.alias) if isinstance(choice, str))
    return frozenset(names)


def plain_schema(model: type[BaseModel], mode: JsonSchemaMode) -> dict[str, Any]:
    """Return a model's JSON schema with every field a plain string, since the service takes no other.

    Args:
        model: one of a node's models, whose fields have been checked.
        mode: `"validation"` for what goes in, `"serialization"` for what comes out.
    """
    schema = model.model_json_schema(mode=mode)
    if all(field.annotation is str for field in model.model_fields.values()):
        return schema
    computed = {field.alias or name for name, field in model.model_computed_fields.items()}
    properties = schema["properties"]
    for name, field_schema in properties.items():
        if name not in computed and not _CHOICES.isdisjoint(field_schema):
            properties[name] = _plain_property(field_schema)
    schema.pop("$defs", None)
    return schema


def _plain_property(schema: Mapping[str, Any]) -> dict[str, Any]:
    kept = {keyword: schema[keyword] for keyword in _KEPT_KEYWORDS if keyword in schema}
    if not isinstance(kept.get("default", ""), str):
        del kept["default"]
    return {**kept, "type": "string"}


def _parts(annotation: Any) -> list[Any]:
    """Take an annotation apart into the types that its values have; a string of a choice is a `str`."""
    origin = get_origin(annotation)
    if origin is Annotated or isinstance(annotation, (NewType, *_ALIASES)):
        return _parts(_meaning(annotation))
    if origin in (Union, UnionType):
        return [part for member in get_args(annotation) for part in _parts(member)]
    if origin is Literal:
        return [str if isinstance(choice, str) else type(choice) for choice in get_args(annotation)]
    if inspect.isclass(annotation) and issubclass(annotation, Enum):
        return [type(member.value) for member in annotation]
    return [annotation]


def _meaning(annotation: Any) -> Any:
    if isinstance(annotation, NewType):
        return annotation.__supertype__
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation.__value__
