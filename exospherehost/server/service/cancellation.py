"""Ending runs before their time: by a call for one run, or with their graph."""

from __future__ import annotations

from dataclasses import dataclass

from exospherehost._rules import transitions
from exospherehost.server.domain.errors import Contention, ServiceError
from exospherehost.server.domain.records import RunRecord
from exospherehost.server.domain.store import Reader, UnitOfWork
from exospherehost.server.service.context import Context
from exospherehost.server.service.graphs import graph_not_found
from exospherehost.server.service.reading import run_status


@dataclass(frozen=True, slots=True)
class CancelledRun:
    """A run after it was to be cancelled.

    Attributes:
        run_id: The run.
        status: Its status.
        cancelled_at: When it was first cancelled, in epoch milliseconds; None if it had ended before.
        pruned: How many states this call pruned.
    """

    run_id: str
    status: str
    cancelled_at: int | None
    pruned: int


def find_run(reader: Reader, namespace: str, run_id: str) -> RunRecord:
    """Return a run of this namespace.

    Raises:
        ServiceError: There is none (404).
    """
    run = reader.find_run(run_id)
    if run is None or run.namespace != namespace:
        raise ServiceError(transitions.RUN_NOT_FOUND.status_code, transitions.RUN_NOT_FOUND.detail)
    return run


def cancel(unit: UnitOfWork, context: Context, namespace: str, run_id: str) -> CancelledRun:
    """End a run. One that has ended stays as it is, and one that was cancelled stays cancelled since then.

    Raises:
        ServiceError: The run is unknown here (404).
    """
    key = find_run(unit, namespace, run_id).key
    pruned = unit.cancel_run(key, context.clock.now_ms())
    run = unit.find_listing(key)
    if run is None or run.id != run_id:
        # It had ended, and is being deleted since it was found.
        raise Contention(run_id)
    return CancelledRun(run.id, run_status(run), run.cancelled_at, pruned or 0)


def delete_graph(unit: UnitOfWork, context: Context, namespace: str, name: str) -> int:
    """Delete a graph with its schedules, cancel its runs that have not ended, and return how many those were.

    A run that has ended keeps the version that it was triggered with: it stays readable, and its states can be retried.

    Raises:
        ServiceError: There is no such graph (404).
    """
    graph_key = unit.take_graph(namespace, name)
    if graph_key is None:
        raise graph_not_found(namespace, name)
    now_ms = context.clock.now_ms()
    ended = [unit.cancel_run(run_key, now_ms) is not None for run_key in unit.running_runs(graph_key)]
    unit.drop_graph(graph_key)
    return sum(ended)
