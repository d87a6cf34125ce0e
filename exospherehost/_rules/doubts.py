"""What is accepted and probably not meant: texts for whoever sent it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from itertools import islice

from exospherehost._rules import schemas
from exospherehost._rules.model import NodeSpec
from exospherehost._rules.topology import Topology

_MOST_WARNINGS = 20
_MOST_SHOWN = 10
_SHOWN_CHARACTERS = 100


def dropped_inputs(topology: Topology, given: Collection[str]) -> list[str]:
    """Return a warning for each input of a trigger that the template of the root does not have.

    Args:
        topology: The graph.
        given: The names of the inputs that the trigger gives.
    """
    root = topology.node(topology.root)
    if root is None or root.inputs.keys() >= set(given):
        return []
    unknown = [name for name in given if name not in root.inputs]
    warnings = [_dropped_input(name, root.identifier, root.inputs) for name in unknown[:_MOST_WARNINGS]]
    if len(unknown) > _MOST_WARNINGS:
        warnings.append(f"{len(unknown) - _MOST_WARNINGS} more inputs were dropped")
    return warnings


def replaced_schema(before: NodeSpec, after: NodeSpec) -> str | None:
    """Return which fields of a node's schemas a registration changes, or None if it changes none."""
    changes = [
        text
        for kind, old, new in (
            ("inputs", before.inputs_schema, after.inputs_schema),
            ("outputs", before.outputs_schema, after.outputs_schema),
        )
        if (text := _changed_fields(kind, schemas.fields(old), schemas.fields(new)))
    ]
    return "; ".join(changes) or None


def _dropped_input(name: str, identifier: str, known: Mapping[str, object]) -> str:
    shown = _short(name)
    nearest = get_close_matches(name[:_SHOWN_CHARACTERS], known, n=1)
    remedy = f": did you mean {nearest[0]!r}?" if nearest else f", which has {_names(known)}"
    return f"The input {shown} was dropped: it is not among the inputs of the root {identifier!r} in the graph{remedy}"


def _changed_fields(kind: str, old: Mapping[str, object], new: Mapping[str, object]) -> str:
    parts = {
        "added": [name for name in new if name not in old],
        "removed": [name for name in old if name not in new],
        "changed": [name for name in new if name in old and new[name] != old[name]],
    }
    said = [f"{what} {_names(names)}" for what, names in parts.items() if names]
    return f"{kind}: {', '.join(said)}" if said else ""


def _names(names: Iterable[str]) -> str:
    listed = list(names)
    if not listed:
        return "none"
    shown = ", ".join(_short(name) for name in islice(listed, _MOST_SHOWN))
    return shown if len(listed) <= _MOST_SHOWN else f"{shown} and {len(listed) - _MOST_SHOWN} more"


def _short(name: str) -> str:
    return repr(name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}…")
