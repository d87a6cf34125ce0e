"""Starting runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from exospherehost._rules import retries, transitions
from exospherehost._rules.model import Refused
from exospherehost._rules.state_inputs import Entry, entry_states, root_inputs
from exospherehost.server.domain.errors import ServiceError
from exospherehost.server.domain.ids import new_uuid
from exospherehost.server.domain.records import NewRun, StateRecord
from exospherehost.server.domain.store import UnitOfWork
from exospherehost.server.service.context import Context, LoadedVersion
from exospherehost.server.service.graphs import graph_not_found
from exospherehost.server.service.run_progress import JoinFailure, RunProgress


@dataclass(frozen=True, slots=True)
class Start:
    """What a run begins with.

    Attributes:
        inputs: Laid over the template's inputs of the root.
        store: The run's store.
        delay_ms: How long the first states wait, in milliseconds.
        entries: The states to begin with, in place of the root.
    """

    inputs: Mapping[str, str] = field(default_factory=dict[str, str])
    store: Mapping[str, str] = field(default_factory=dict[str, str])
    delay_ms: int = 0
    entries: Sequence[Entry] | None = None


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A new run and its first states."""

    run_id: str
    states: Sequence[StateRecord]


def trigger(unit: UnitOfWork, context: Context, namespace: str, graph_name: str, start: Start) -> StartedRun:
    """Start a run: the run and its first states are written together.

    Raises:
        ServiceError: The graph or an entry's identifier is unknown (404), the graph is not VALID, inputs cannot be
            resolved or store keys are missing (400).
    """
    graph = unit.hold_graph(namespace, graph_name)
    if graph is None:
        raise graph_not_found(namespace, graph_name)
    if not graph.latest.valid:
        refusal = transitions.GRAPH_NOT_VALID
        raise ServiceError(refusal.status_code, refusal.detail)
    version = context.versions.get(unit, graph.latest.id)
    first = _first_inputs(version, start)
    now_ms = context.clock.now_ms()
    run = unit.add_run(NewRun(new_uuid(), namespace, graph_name, graph.latest.id, start.store, now_ms))
    progress = RunProgress(unit, context, run, version)
    due_at = retries.due_at(now_ms, start.delay_ms)
    states: list[StateRecord] = []
    for identifier, inputs in first:
        node = version.topology.node(identifier)
        if node is None:
            raise LookupError(f"node {identifier} is not in the graph")
        states.append(progress.new_state(node, inputs, {}, due_at=due_at))
    progress.create(states)
    progress.finish({}, JoinFailure.RECORD)
    return StartedRun(run.id, states)


def _first_inputs(version: LoadedVersion, start: Start) -> list[tuple[str, Mapping[str, str]]]:
    try:
        if start.entries is None:
            return [(version.topology.root, root_inputs(version.topology, start.inputs, start.store))]
        entries = entry_states(version.topology, start.entries, start.store)
        return [(entry.identifier, entry.inputs) for entry in entries]
    except Refused as refused:
        raise ServiceError(refused.status_code, refused.detail) from refused
