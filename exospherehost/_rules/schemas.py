"""What a registered JSON schema says about a node's fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exospherehost._rules.json_values import as_object

# With one of these formats a text is read as something other than a plain string.
_TYPED_FORMATS = (
    "binary",
    "date",
    "date-time",
    "duration",
    "ipv4",
    "ipv4network",
    "ipv6",
    "time",
    "uri",
    "uuid",
    "uuid1",
    "uuid3",
    "uuid4",
    "uuid5",
)
_KEYWORDS = ("anyOf", "oneOf", "allOf", "not", "if", "$ref", "enum", "const")


def fields(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the properties of an object schema; any other schema has no fields."""
    if schema.get("type", "object") != "object":
        return {}
    return as_object(schema.get("properties")) or {}


def not_plain(field_schema: object) -> str | None:
    """Say why a field is not a plain string, or return None when it is one.

    A plain string may have length limits and a default, and need not be required. It has no
    choice of values, cannot be null and stands for nothing but text.
    """
    schema = as_object(field_schema)
    if schema is None:
        return "its schema is not an object"
    for keyword in _KEYWORDS:
        if keyword in schema:
            return f"its schema uses {keyword}"
    if "type" not in schema:
        return "its schema has no type"
    kind = schema["type"]
    if kind != "string":
        return f"its type is {kind!r}" if isinstance(kind, str) else "its type is not a single name"
    if schema.get("format") in _TYPED_FORMATS:
        return f"its format is {schema['format']!r}"
    return None
