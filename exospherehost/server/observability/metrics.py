"""What a server counts about itself, for Prometheus.

The number of series is bounded: routes are told by their templates, methods as far as they are known, and of nodes at
most so many.
"""

from __future__ import annotations

import platform
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from exospherehost.server.domain.records import Backlog
from exospherehost.server.domain.store import Note

UNMATCHED = "unmatched"
"""The route of a request whose path is none of the server's."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_MOST_LINES = 1_000
_REST = "_other"
# Up to the longest hold of a claim, and what a proxy usually bears.
_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_WRITE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_UNIT_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """A registry of its own for each server, so that several in one process do not add up.

    Args:
        database: What kind of database it is on, such as ``sqlite``.
    """

    def __init__(self, *, database: str) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        self._backlog: Backlog | None = None
        self._requests = Counter(
            "exosphere_http_requests", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self._durations = Histogram(
            "exosphere_http_request_duration_seconds",
            "From a request's headers to the end of its answer; of a claim that waits, with the wait.",
            ("method", "route"),
            buckets=_REQUEST_BUCKETS,
            registry=registry,
        )
        # Counted on the event loop alone, where a plain number does.
        self._under_way = 0
        Gauge("exosphere_http_requests_in_progress", "Requests under way.", registry=registry).set_function(
            lambda: self._under_way
        )
        self._unauthenticated = Counter(
            "exosphere_authentication_failures", "Requests refused for want of a valid key.", registry=registry
        )
        self._noted = {
            "transition": Counter(
                "exosphere_state_transitions",
                "Changes of a state's status that are durable; from is empty where the state is new.",
                ("from", "to"),
                registry=registry,
            ),
            "lease_expired": Counter("exosphere_leases_expired", "Leases that ran out.", registry=registry),
            "cron_fired": Counter("exosphere_crons_fired", "Runs that a schedule has started.", registry=registry),
            "cron_failed": Counter(
                "exosphere_crons_failed", "Schedules that were due and started no run.", registry=registry
            ),
        }
        self._batch_units = Histogram(
            "exosphere_write_batch_units",
            "Units of work that shared a transaction.",
            buckets=_UNIT_BUCKETS,
            registry=registry,
        )
        self._write_seconds = Histogram(
            "exosphere_write_transaction_seconds",
            "A writing transaction, with its commit.",
            buckets=_WRITE_BUCKETS,
            registry=registry,
        )
        self._commit_seconds = Histogram(
            "exosphere_write_commit_seconds",
            "The commit of a writing transaction.",
            buckets=_WRITE_BUCKETS,
            registry=registry,
        )
        self._write_failures = Counter(
            "exosphere_write_failures", "Writing transactions that failed as a whole.", registry=registry
        )
        self._read_seconds = Histogram(
            "exosphere_read_seconds",
            "A read of the database, with the wait for a reader.",
            buckets=_WRITE_BUCKETS,
            registry=registry,
        )
        self._loop_lag = Histogram(
            "exosphere_event_loop_lag_seconds",
            "How late the event loop was, looked at once a second.",
            buckets=_WRITE_BUCKETS,
            registry=registry,
        )
        self._writes_waiting = Gauge(
            "exosphere_writes_waiting", "Units of work that wait for a transaction.", registry=registry
        )
        self._claims_waiting = Gauge("exosphere_claims_waiting", "Claims that wait for a state.", registry=registry)
        Gauge(
            "exosphere_build_info",
            "1; the labels tell what runs.",
            ("version", "python", "database"),
            registry=registry,
        ).labels(version("exospherehost"), platform.python_version(), database).set(1)
        registry.register(_BacklogCollector(lambda: self._backlog))
        # Looking a child up by its labels costs more than counting.
        self._count_note: dict[Note, Callable[[float], None]] = {}
        self._known: dict[tuple[str, str, int], tuple[Callable[[], None], Callable[[float], None]]] = {}

    def set_waiting(self, writes: int, claims: int) -> None:
        """Show how many writes wait for a transaction, and how many claims for a state."""
        self._writes_waiting.set(writes)
        self._claims_waiting.set(claims)

    def request_began(self) -> None:
        """Count a request as under way."""
        self._under_way += 1

    def request_ended(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that is over.

        Args:
            method: Its method.
            route: The template of its path, or :data:`UNMATCHED`.
            status: The status answered; 0 for none.
            seconds: How long it took.
        """
        self._under_way -= 1
        known = self._known.get((method, route, status))
        if known is None:
            known = self._add_known(method, route, status)
        count, observe = known
        count()
        observe(seconds)
        if status == 401:
            self._unauthenticated.inc()

    def batch_written(self, units: int, seconds: float, commit_seconds: float, notes: Sequence[Note]) -> None:
        """Count a transaction that is durable, and what it changed."""
        self._batch_units.observe(units)
        self._write_seconds.observe(seconds)
        self._commit_seconds.observe(commit_seconds)
        for note, times in Tally(notes).items():
            count = self._count_note.get(note)
            if count is None:
                what, *labels = note
                counter = self._noted[what]
                count = self._count_note[note] = (counter.labels(*labels) if labels else counter).inc
            count(times)

    def batch_failed(self) -> None:
        """Count a transaction that failed as a whole."""
        self._write_failures.inc()

    def read_done(self, seconds: float) -> None:
        """Count a read."""
        self._read_seconds.observe(seconds)

    def loop_was_late(self, seconds: float) -> None:
        """Record how much later than asked for the event loop came to a timer."""
        self._loop_lag.observe(seconds)

    def set_backlog(self, backlog: Backlog | None) -> None:
        """Show this as what waits and runs; None where it could not be read."""
        self._backlog = backlog

    def expose(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics in a format that the client accepts, and that format's content type.

        Args:
            accept: The client's header ``Accept``; may be empty.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def _add_known(self, method: str, route: str, status: int) -> tuple[Callable[[], None], Callable[[float], None]]:
        shown = method if method in _METHODS else _REST
        known = (
            self._requests.labels(shown, route, str(status)).inc,
            self._durations.labels(shown, route).observe,
        )
        if shown == method:
            self._known[method, route, status] = known
        return known


class _BacklogCollector(Collector):
    """Shows what waits and runs as it was read last."""

    def __init__(self, backlog: Callable[[], Backlog | None]) -> None:
        self._backlog = backlog

    def collect(self) -> Iterable[Metric]:
        backlog = self._backlog()
        # Not "namespace" and "node", which Prometheus gives to what it scrapes in Kubernetes.
        labels = ("exosphere_namespace", "exosphere_node")
        up = GaugeMetricFamily("exosphere_backlog_up", "Whether what waits could be read from the database.")
        up.add_metric((), 0 if backlog is None else 1)
        yield up
        if backlog is None:
            return
        due = GaugeMetricFamily("exosphere_states_due", "States that are due and not claimed.", labels=labels)
        age = GaugeMetricFamily(
            "exosphere_states_due_oldest_seconds", "For how long the oldest of them has been due.", labels=labels
        )
        leased = GaugeMetricFamily("exosphere_states_leased", "States that run under a lease.", labels=labels)
        counts = {line: depth.count for line, depth in backlog.due.items()}
        for line, count in _bounded(counts, backlog.lines):
            due.add_metric(line, count)
            oldest = backlog.due.get(line)
            if oldest is not None:
                age.add_metric(line, max(backlog.read_at_ms - oldest.since_ms, 0) / 1_000)
        for line, count in _bounded(backlog.leased, backlog.lines):
            leased.add_metric(line, count)
        yield from (due, age, leased)


def _bounded(counts: dict[tuple[str, str], int], lines: Sequence[tuple[str, str]]) -> list[tuple[tuple[str, str], int]]:
    """Return the counts with a 0 for each line that has none; the smallest beyond a number become one sum."""
    # A line that vanished, where it has become empty, would leave an autoscaler without an answer.
    every = sorted({**dict.fromkeys(lines, 0), **counts}.items(), key=lambda item: (-item[1], item[0]))
    if len(every) <= _MOST_LINES:
        return every
    rest = sum(count for _line, count in every[_MOST_LINES:])
    return [*every[:_MOST_LINES], ((_REST, _REST), rest)]
