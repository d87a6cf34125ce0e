"""The rules for single fields of a graph template (422)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from typing import Any

from exospherehost._rules import cron
from exospherehost._rules.json_values import as_list, as_object
from exospherehost._rules.model import FieldIssue
from exospherehost_client.limits import GRAPH_NODES_MAX_ITEMS, SCHEDULES_MAX_ITEMS

RESERVED_IDENTIFIER = "store"

_Location = tuple[str | int, ...]


def check_fields(body: object) -> list[FieldIssue]:
    """Return the violations in single fields of a PUT body that its schema cannot express.

    Args:
        body: The JSON as received. Values of a wrong type are passed over: the schema's validation reports them, and
            one response can list both.
    """
    document = as_object(body)
    if document is None:
        return []
    nodes, triggers = as_list(document.get("nodes")) or [], as_list(document.get("triggers")) or []
    # Beyond these bounds nothing else is checked: what one request costs is bounded.
    issues = [
        *_most(nodes, ("body", "nodes"), GRAPH_NODES_MAX_ITEMS, "A graph has at most {} nodes, not {}"),
        *_most(triggers, ("body", "triggers"), SCHEDULES_MAX_ITEMS, "A graph has at most {} triggers, not {}"),
    ]
    if issues:
        return issues
    for at, node in enumerate(nodes):
        issues += _node_fields(as_object(node) or {}, ("body", "nodes", at))
    store = as_object(document.get("store_config")) or {}
    required = as_list(store.get("required_keys")) or []
    issues += _store_keys(required, ("body", "store_config", "required_keys"))
    defaults = list(as_object(store.get("default_values")) or ())
    issues += _store_keys(defaults, ("body", "store_config", "default_values"))
    for at, trigger in enumerate(triggers):
        value = as_object((as_object(trigger) or {}).get("value")) or {}
        issues += _cron_expression(value.get("expression"), ("body", "triggers", at, "value", "expression"))
    return issues


def _most(items: Sized, loc: _Location, most: int, message: str) -> Iterator[FieldIssue]:
    if len(items) > most:
        yield FieldIssue("too_long", loc, message.format(f"{most:,}", f"{len(items):,}"))


def _node_fields(node: Mapping[str, Any], loc: _Location) -> Iterator[FieldIssue]:
    for name, what in (("node_name", "Node name"), ("identifier", "Identifier")):
        text = node.get(name)
        if isinstance(text, str) and not text.strip():
            yield _issue((*loc, name), f"{what} must not be blank", text)
    identifier = node.get("identifier")
    if isinstance(identifier, str) and identifier.strip() == RESERVED_IDENTIFIER:
        message = "Identifier 'store' is reserved for ${{store.key}}: choose another"
        yield _issue((*loc, "identifier"), message, identifier)
    seen: set[str] = set()
    for at, entry in enumerate(as_list(node.get("next_nodes")) or ()):
        if not isinstance(entry, str):
            continue
        target = entry.strip()
        if not target:
            yield _issue((*loc, "next_nodes", at), "Next node must not be blank", entry)
        elif target in seen:
            message = f"Next node '{target}' is listed more than once"
            yield _issue((*loc, "next_nodes", at), message, entry)
        seen.add(target)
    united = (as_object(node.get("unites")) or {}).get("identifier")
    if isinstance(united, str) and not united.strip():
        message = "Identifier of the united node must not be blank"
        yield _issue((*loc, "unites", "identifier"), message, united)


def _store_keys(names: list[Any], loc: _Location) -> Iterator[FieldIssue]:
    seen: set[str] = set()
    messages: list[str] = []
    for name in names:
        if not isinstance(name, str):
            continue
        key = name.strip()
        if not key:
            messages.append("Store key must not be blank")
        elif "." in key:
            messages.append(f"Store key '{key}' must not contain a dot")
        elif key in seen:
            messages.append(f"Store key '{key}' is given more than once")
        seen.add(key)
    if messages:
        yield _issue(loc, "\n".join(messages), names)


def _cron_expression(expression: object, loc: _Location) -> Iterator[FieldIssue]:
    problem = cron.validate(expression) if isinstance(expression, str) else None
    if problem is not None:
        yield _issue(loc, problem[0].upper() + problem[1:], expression)


def _issue(loc: _Location, message: str, value: Any) -> FieldIssue:
    return FieldIssue("value_error", loc, message, value)
