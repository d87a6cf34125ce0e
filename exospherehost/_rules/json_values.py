"""Narrows values of unknown JSON to the containers that they may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard


def as_object(value: object) -> Mapping[str, Any] | None:
    """Return the value if it is a JSON object."""
    return value if _is_object(value) else None


def as_list(value: object) -> list[Any] | None:
    """Return the value if it is a JSON list."""
    return value if _is_list(value) else None


def _is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
