"""Runs of a service, read through the generated client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from exospherehost_client import AuthenticatedClient
from exospherehost_client.api.nodes import list_namespaces
from exospherehost_client.api.runs import get_run_graph, get_state, list_runs
from exospherehost_client.models import RunGraphResponse, RunSummary

PAGE_SIZE = 1000
MOST_RUNS = 20
"""How many runs are read in full; older ones are only counted."""
MOST_ENDS = 500
"""How many last states are read to find a run's duration; each takes a request."""

STATUS_ORDER = (
    "SUCCESS",
    "PRUNED",
    "RETRY_CREATED",
    "ERRORED",
    "NEXT_CREATED_ERROR",
    "CREATED",
    "QUEUED",
    "EXECUTED",
)
FAILED = ("ERRORED", "NEXT_CREATED_ERROR")


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the table shows it.

    Attributes:
        namespace: Its namespace.
        run_id: Its id.
        graph_name: Its graph.
        status: Its status, as the service spells it.
        counts: Its states by status; statuses without states are left out.
        duration: From its creation to its last transition; None while it runs, or if it is too large.
        failures: The errors of states that failed for good, by (identifier, error).
    """

    namespace: str
    run_id: str
    graph_name: str
    status: str
    counts: dict[str, int]
    duration: timedelta | None
    failures: Counter[tuple[str, str]]


def ended_runs(client: AuthenticatedClient) -> set[str]:
    """Return the ids of the ended runs among the newest of each namespace."""
    return {run.run_id for _, run in _newest(client) if run.status != "PENDING"}


def read_runs(client: AuthenticatedClient, *, without: Collection[str]) -> tuple[list[Run], int]:
    """Read the newest runs, oldest first, and count the older ones that were left out.

    Args:
        client: Reads them.
        without: The ids of runs to leave out.
    """
    found = sorted(
        ((namespace, run) for namespace, run in _newest(client) if run.run_id not in without),
        key=lambda each: each[1].created_at,
    )
    return [_read_run(client, *each) for each in found[-MOST_RUNS:]], max(0, len(found) - MOST_RUNS)


def _newest(client: AuthenticatedClient) -> list[tuple[str, RunSummary]]:
    namespaces = list_namespaces.sync(client=client).namespaces
    return [(name, run) for name in namespaces for run in list_runs.sync(name, 1, PAGE_SIZE, client=client).runs]


def _read_run(client: AuthenticatedClient, namespace: str, run: RunSummary) -> Run:
    graph = get_run_graph.sync(namespace, run.run_id, client=client)
    counts = Counter(str(node.status) for node in graph.nodes)
    return Run(
        namespace=namespace,
        run_id=run.run_id,
        graph_name=run.graph_name,
        status=str(run.status),
        counts={status: counts[status] for status in sorted(counts, key=_place)},
        duration=None if run.status == "PENDING" else _duration(client, namespace, run, graph),
        failures=Counter((node.identifier, node.error or "") for node in graph.nodes if node.status in FAILED),
    )


def _place(status: str) -> int:
    return STATUS_ORDER.index(status) if status in STATUS_ORDER else len(STATUS_ORDER)


def _duration(
    client: AuthenticatedClient, namespace: str, run: RunSummary, graph: RunGraphResponse
) -> timedelta | None:
    # A state with a next state or a retry ended before that one was created, so the last end is among the others.
    followed = {edge.source for edge in graph.edges}
    ends = [node for node in graph.nodes if node.id not in followed and node.status != "RETRY_CREATED"]
    if not ends or len(ends) > MOST_ENDS:
        return None
    details = (get_state.sync(namespace, run.graph_name, run.run_id, node.id, client=client) for node in ends)
    return max(detail.updated_at for detail in details) - run.created_at
