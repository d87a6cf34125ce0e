"""The OpenAPI document that the server serves: the checked-in one without what this server lacks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from exospherehost._rules.json_values import is_array, is_object
from exospherehost_client.extensions import MARK

_COMPONENT = "#/components/"


def full_document() -> dict[str, Any]:
    """Return the checked-in document."""
    document: dict[str, Any] = json.loads(
        files("exospherehost_client").joinpath("openapi.json").read_text(encoding="utf-8")
    )
    return document


def offered_document(document: dict[str, Any], extensions: frozenset[str]) -> dict[str, Any]:
    """Return a document without the operations, fields and headers of other extensions than these.

    Components that only those used go with them.
    """
    gone = {
        f"{_COMPONENT}{kind}/{name}"
        for kind, components in document.get("components", {}).items()
        for name, component in components.items()
        if _is_foreign(component, extensions)
    }
    offered: dict[str, Any] = _without_foreign(document, extensions, gone)
    paths = offered.get("paths", {})
    offered["paths"] = {path: item for path, item in paths.items() if _has_operation(item)}
    orphans = _reached(document) - _reached(offered)
    for kind, components in offered.get("components", {}).items():
        for name in [name for name in components if f"{_COMPONENT}{kind}/{name}" in orphans]:
            del components[name]
    return offered


def _without_foreign(value: Any, extensions: frozenset[str], gone: set[str]) -> Any:
    def kept(item: Any) -> bool:
        return not _is_foreign(item, extensions) and not (is_object(item) and item.get("$ref") in gone)

    if is_object(value):
        remaining = {key: _without_foreign(item, extensions, gone) for key, item in value.items() if kept(item)}
        required = remaining.get("required")
        if is_array(required) and is_object(value.get("properties")):
            remaining["required"] = [name for name in required if name in remaining["properties"]]
        return remaining
    if is_array(value):
        return [_without_foreign(item, extensions, gone) for item in value if kept(item)]
    return value


def _is_foreign(item: Any, extensions: frozenset[str]) -> bool:
    mark = item.get(MARK) if is_object(item) else None
    return isinstance(mark, str) and mark not in extensions


def _has_operation(item: dict[str, Any]) -> bool:
    return any(is_object(entry) and "operationId" in entry for entry in item.values())


def _reached(document: dict[str, Any]) -> set[str]:
    """Return the references that the paths lead to, directly or through components."""
    reached: set[str] = set()
    waiting: list[Any] = [document.get("paths", {})]
    while waiting:
        for reference in _references(waiting.pop()):
            if reference not in reached:
                reached.add(reference)
                kind, _, name = reference.removeprefix(_COMPONENT).partition("/")
                waiting.append(document.get("components", {}).get(kind, {}).get(name))
    return reached


def _references(value: Any) -> Iterator[str]:
    if is_object(value):
        reference = value.get("$ref")
        if isinstance(reference, str):
            yield reference
        for item in value.values():
            yield from _references(item)
    elif is_array(value):
        for item in value:
            yield from _references(item)
