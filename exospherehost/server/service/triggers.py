"""Starting runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from exospherehost._rules import retries, transitions
from exospherehost._rules.doubts import dropped_inputs
from exospherehost._rules.model import Refused
from exospherehost._rules.state_inputs import Entry, entry_states, root_inputs
from exospherehost.server.domain.errors import ServerError, ServiceError
from exospherehost.server.domain.ids import new_uuid
from exospherehost.server.domain.records import NewRun, StateRecord
from exospherehost.server.domain.store import Store, UnitOfWork
from exospherehost.server.service.context import Context, LoadedVersion
from exospherehost.server.service.graphs import graph_not_found
from exospherehost.server.service.run_progress import JoinFailure, RunProgress

_MOST_CHECKS = 8


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
    """A new run, its first states, and what was taken that is probably not meant."""

    run_id: str
    states: Sequence[StateRecord]
    warnings: Sequence[str] = ()


class EntriesUnchecked(ServerError):
    """A trigger names nodes to start at that have not been checked yet, which takes too long for a unit of work.

    Args:
        version: The graph version.
        identifiers: The nodes.
    """

    def __init__(self, version: LoadedVersion, identifiers: Sequence[str]) -> None:
        super().__init__(f"{len(identifiers)} entries")
        self.version = version
        self.identifiers = identifiers


async def with_checked_entries(store: Store, work: Callable[[UnitOfWork], StartedRun]) -> StartedRun:
    """Start a run in a unit of work, and check the nodes that it starts at outside of it.

    Raises:
        ServiceError: As :func:`trigger`, or the graph is put anew faster than it can be checked (503).
    """
    for _ in range(_MOST_CHECKS):
        try:
            return await store.write(work)
        except EntriesUnchecked as unchecked:
            await asyncio.to_thread(unchecked.version.check_entries, unchecked.identifiers)
    raise ServiceError(503, "This graph is put anew again and again: trigger it once it is stable")


def trigger(unit: UnitOfWork, context: Context, namespace: str, graph_name: str, start: Start) -> StartedRun:
    """Start a run: the run and its first states are written together.

    Raises:
        ServiceError: The graph or an entry's identifier is unknown (404), the graph is not VALID, inputs cannot be
            resolved or store keys are missing (400).
        EntriesUnchecked: An entry has not been checked yet.
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
    return StartedRun(run.id, states, dropped_inputs(version.topology, start.inputs))


def _first_inputs(version: LoadedVersion, start: Start) -> list[tuple[str, Mapping[str, str]]]:
    try:
        if start.entries is None:
            return [(version.topology.root, root_inputs(version.topology, start.inputs, start.store))]
        identifiers = list(dict.fromkeys(entry.identifier for entry in start.entries))
        if not version.knows_entries(identifiers):
            raise EntriesUnchecked(version, identifiers)
        entries = entry_states(version.topology, start.entries, start.store, version.entry_problems)
        return [(entry.identifier, entry.inputs) for entry in entries]
    except Refused as refused:
        raise ServiceError(refused.status_code, refused.detail) from refused
