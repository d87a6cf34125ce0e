"""Narrows values of unknown JSON to the containers that they may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard


def as_object(value: object) -> Mapping[str, Any] | None:
    """Return the value if it is a JSON object."""
    return value if is_object(value) else None


def as_list(value: object) -> list[Any] | None:
    """Return the value if it is a JSON list."""
    return value if is_array(value) else None


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Tell whether a JSON value is an object."""
    return isinstance(value, dict)


def is_array(value: Any) -> TypeGuard[list[Any]]:
    """Tell whether a JSON value is an array."""
    return isinstance(value, list)
