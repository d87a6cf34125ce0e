"""Runs of a service, read through the generated client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from exospherehost_client import AuthenticatedClient
from exospherehost_client.api.nodes import list_namespaces
from exospherehost_client.api.runs import get_run_graph, get_state, list_runs
from exospherehost_client.models import RunGraphResponse, RunStatus, RunSummary

PAGE_SIZE = 1000
"""How many runs one request lists."""
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


@dataclass(frozen=True, slots=True)
class History:
    """Runs that a script had.

    Attributes:
        runs: The newest, read in full, oldest first.
        left_out: The number of older ones.
        failed: The number of all that failed, those left out included.
    """

    runs: list[Run]
    left_out: int
    failed: int


@dataclass(frozen=True, slots=True)
class Earlier:
    """Ids of the newest runs of each namespace before a script began.

    Attributes:
        ended: Runs that had ended, which are not the script's.
        pending: Runs that had not, which the script may bring to their end.
    """

    ended: set[str]
    pending: set[str]


def earlier_runs(client: AuthenticatedClient, *, page_size: int = PAGE_SIZE) -> Earlier:
    """Read the newest runs of each namespace, one page of it."""
    runs = [run for name in _namespaces(client) for run in _page(client, name, 1, page_size)]
    pending = {run.run_id for run in runs if run.status == RunStatus.PENDING}
    return Earlier({run.run_id for run in runs} - pending, pending)


def read_history(client: AuthenticatedClient, earlier: Earlier, *, page_size: int = PAGE_SIZE) -> History:
    """Read the runs that were created or pending since `earlier` was read.

    Args:
        client: Reads them.
        earlier: The runs before.
        page_size: The number of runs that one request lists.
    """
    found = sorted(
        ((name, run) for name in _namespaces(client) for run in _since(client, name, earlier, page_size)),
        key=lambda each: each[1].created_at,
    )
    return History(
        runs=[_read_run(client, *each) for each in found[-MOST_RUNS:]],
        left_out=max(0, len(found) - MOST_RUNS),
        failed=sum(run.status == RunStatus.FAILED for _, run in found),
    )


def _since(client: AuthenticatedClient, namespace: str, earlier: Earlier, page_size: int) -> Iterator[RunSummary]:
    seen: set[str] = set()
    is_new, last = True, False
    page = 0
    while not last:
        page += 1
        runs = _page(client, namespace, page, page_size)
        # Runs are listed newest first, so none is new from the first known one on. The page of runs that were known
        # lies on two pages now, and pending ones of it may be on the second.
        last = len(runs) < page_size or not is_new
        for run in runs:
            is_new = is_new and run.run_id not in earlier.ended and run.run_id not in earlier.pending
            # A run that was created meanwhile moves others to the next page.
            if (is_new or run.run_id in earlier.pending) and run.run_id not in seen:
                seen.add(run.run_id)
                yield run


def _namespaces(client: AuthenticatedClient) -> list[str]:
    return list_namespaces.sync(client=client).namespaces


def _page(client: AuthenticatedClient, namespace: str, page: int, size: int) -> list[RunSummary]:
    return list_runs.sync(namespace, page, size, client=client).runs


def _read_run(client: AuthenticatedClient, namespace: str, run: RunSummary) -> Run:
    graph = get_run_graph.sync(namespace, run.run_id, client=client)
    counts = Counter(str(node.status) for node in graph.nodes)
    return Run(
        namespace=namespace,
        run_id=run.run_id,
        graph_name=run.graph_name,
        status=str(run.status),
        counts={status: counts[status] for status in sorted(counts, key=_place)},
        duration=None if run.status == RunStatus.PENDING else _duration(client, namespace, run, graph),
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
