"""The forms that a trigger can be given in, and can be sent in."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence

from exospherehost._errors import InvalidTriggerError, UnsupportedByServerError
from exospherehost._graphs.models import TriggerState
from exospherehost._transport.session import Session
from exospherehost_client import models
from exospherehost_client.limits import IDEMPOTENCY_KEY_MAX_LENGTH, IDEMPOTENCY_KEY_MIN_LENGTH

ROOT_CACHE_SECONDS = 60.0


class RootCache:
    """Knows the roots of graphs for a minute, for services that begin a run nowhere else."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[float, models.GraphNodeDetail]] = {}

    def forget(self, graph_name: str) -> None:
        """Read a graph's root again at the next use."""
        self._found.pop(graph_name, None)

    async def as_inputs(self, session: Session, graph_name: str, entries: Sequence[TriggerState]) -> dict[str, str]:
        """Turn a single entry into inputs of the root, where nothing of it gets lost by that.

        Raises:
            UnsupportedByServerError: something would get lost.
        """
        root = await self._root(session, graph_name)
        remedy = (
            f"the root of graph {graph_name!r} is {root.identifier!r} with the inputs {sorted(root.inputs)}; give one "
            "state there with only these, or use a service with the extension trigger-states"
        )
        if len(entries) > 1:
            raise UnsupportedByServerError(f"this service begins a run with one state, not {len(entries)}: {remedy}")
        entry = entries[0]
        if entry.identifier != root.identifier:
            raise UnsupportedByServerError(f"this service cannot begin a run at {entry.identifier!r}: {remedy}")
        unknown = sorted(entry.inputs.keys() - root.inputs.keys())
        if unknown:
            raise UnsupportedByServerError(f"this service would drop the inputs {unknown}: {remedy}")
        return entry.inputs

    async def _root(self, session: Session, graph_name: str) -> models.GraphNodeDetail:
        cached = self._found.get(graph_name)
        now = time.monotonic()
        if cached is not None and now - cached[0] < ROOT_CACHE_SECONDS:
            return cached[1]
        nodes = (await session.get_graph(graph_name)).parsed.nodes
        followers = {name for node in nodes for name in node.next_nodes or ()}
        roots = [node for node in nodes if node.identifier not in followers and node.unites is None]
        if len(roots) != 1:
            raise UnsupportedByServerError(f"graph {graph_name!r} has {len(roots)} roots, so no state can be placed")
        self._found[graph_name] = now, roots[0]
        return roots[0]


def published_form(
    state: TriggerState | Mapping[str, str] | None,
    states: Sequence[TriggerState] | Mapping[str, str] | None,
    inputs: Mapping[str, str] | None,
    store: Mapping[str, str] | None,
) -> tuple[TriggerState | None, Sequence[TriggerState] | None, Mapping[str, str] | None, Mapping[str, str] | None]:
    """Read the positional call of 0.0.3, where inputs came second and store third."""
    if not isinstance(state, Mapping) and not isinstance(states, Mapping):
        return state, states, inputs, store
    warnings.warn(
        "trigger(graph, inputs, store) is deprecated; use trigger(graph, inputs=..., store=...)",
        DeprecationWarning,
        stacklevel=3,
    )
    if isinstance(state, TriggerState) or (states is not None and not isinstance(states, Mapping)):
        raise InvalidTriggerError("trigger got trigger states together with a mapping; pass state= or inputs=")
    if (state is not None and inputs is not None) or (states is not None and store is not None):
        raise InvalidTriggerError("trigger got inputs or store twice, by position and by name; pass them by name")
    return None, None, state if state is not None else inputs, states if states is not None else store


def entries_of(
    state: TriggerState | None, states: Sequence[TriggerState] | None, inputs: Mapping[str, str] | None
) -> list[TriggerState] | None:
    """Check that exactly one form was given; return its trigger states, or None for inputs."""
    if state is not None and states is not None:
        raise InvalidTriggerError("trigger got both state and states; pass one of them")
    if inputs is not None:
        if state is not None or states is not None:
            raise InvalidTriggerError("trigger got both trigger states and inputs; pass one of them")
        return None
    if state is None and states is None:
        raise InvalidTriggerError("trigger got neither trigger states nor inputs; pass inputs={} for none")
    if isinstance(states, TriggerState):
        raise InvalidTriggerError("trigger got one TriggerState as states; pass it as state=, or states=[...]")
    entries = [state] if state is not None else list(states or ())
    if not entries:
        raise InvalidTriggerError("trigger got an empty list of states; pass at least one, or inputs={}")
    for entry in entries:
        if not isinstance(entry, TriggerState):
            raise InvalidTriggerError(f"trigger got a {type(entry).__name__} in place of a TriggerState")
    return entries


def check_key(key: str | None) -> None:
    if key is not None and not (
        isinstance(key, str)
        and IDEMPOTENCY_KEY_MIN_LENGTH <= len(key) <= IDEMPOTENCY_KEY_MAX_LENGTH
        and key.isascii()
        and key.isprintable()
    ):
        raise InvalidTriggerError(
            f"idempotency_key={key!r} cannot be sent: use "
            f"{IDEMPOTENCY_KEY_MIN_LENGTH} to {IDEMPOTENCY_KEY_MAX_LENGTH} printable ASCII letters, such as a UUID"
        )
