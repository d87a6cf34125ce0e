"""The server's metrics, for Prometheus.

The number of series is bounded: routes are labelled by their templates, unknown methods share one label, and so do the
nodes beyond a thousand.
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
"""The route of a request whose path the server does not have."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_MOST_LINES = 1_000
_REST = "_other"
# Up to the longest wait of a claim and the usual time-out of a proxy.
_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_WRITE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_UNIT_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The metrics of one server, in a registry of its own: several servers in one process do not add up.

    Args:
        database: The kind of database, such as ``sqlite``.
    """

    def __init__(self, *, database: str) -> None:
        self._registry = CollectorRegistry()
        self._backlog: Backlog | None = None
        self._requests = _Requests(self._registry)
        self._writes = _Writes(self._registry)
        self._read_seconds = Histogram(
            "exosphere_read_seconds",
            "Seconds of a read of the database, with the wait for a reader.",
            buckets=_WRITE_BUCKETS,
            registry=self._registry,
        )
        self._loop_lag = Histogram(
            "exosphere_event_loop_lag_seconds",
            "Seconds by which the event loop was late, measured once a second.",
            buckets=_WRITE_BUCKETS,
            registry=self._registry,
        )
        self._writes_waiting = Gauge(
            "exosphere_writes_waiting", "Units of work that wait for a transaction.", registry=self._registry
        )
        self._claims_waiting = Gauge(
            "exosphere_claims_waiting", "Claims that wait for a state.", registry=self._registry
        )
        _register_process(self._registry, database)
        self._registry.register(_BacklogCollector(lambda: self._backlog))

    def set_waiting(self, writes: int, claims: int) -> None:
        """Set how many writes wait for a transaction, and how many claims wait for a state."""
        self._writes_waiting.set(writes)
        self._claims_waiting.set(claims)

    def request_began(self) -> None:
        """Count a request as in progress."""
        self._requests.in_progress += 1

    def request_ended(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that has ended.

        Args:
            method: The request's method.
            route: The template of its path, or :data:`UNMATCHED`.
            status: The status of the response; 0 for none.
            seconds: The duration.
        """
        self._requests.ended(method, route, status, seconds)

    def batch_written(self, units: int, seconds: float, commit_seconds: float, notes: Sequence[Note]) -> None:
        """Count a durable transaction and its changes."""
        self._writes.add(units, seconds, commit_seconds, notes)

    def batch_failed(self) -> None:
        """Count a transaction that failed as a whole."""
        self._writes.failures.inc()

    def read_done(self, seconds: float) -> None:
        """Count a read."""
        self._read_seconds.observe(seconds)

    def loop_was_late(self, seconds: float) -> None:
        """Record by how many seconds the event loop was late for a timer."""
        self._loop_lag.observe(seconds)

    def set_backlog(self, backlog: Backlog | None) -> None:
        """Set the backlog to show; None if it could not be read."""
        self._backlog = backlog

    def expose(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics in a format that the client accepts, and the content type of that format.

        Args:
            accept: The client's ``Accept`` header; may be empty.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _Requests:
    """The metrics of requests."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counter = Counter(
            "exosphere_http_requests", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self._durations = Histogram(
            "exosphere_http_request_duration_seconds",
            "Seconds from a request's headers to the end of its response; a claim's wait counts.",
            ("method", "route"),
            buckets=_REQUEST_BUCKETS,
            registry=registry,
        )
        # A plain number: only the event loop counts.
        self.in_progress = 0
        Gauge("exosphere_http_requests_in_progress", "Requests in progress.", registry=registry).set_function(
            lambda: self.in_progress
        )
        self._unauthenticated = Counter(
            "exosphere_authentication_failures", "Requests refused for lack of a valid API key.", registry=registry
        )
        # Looking a child up by its labels costs more than counting.
        self._known: dict[tuple[str, str, int], tuple[Callable[[], None], Callable[[float], None]]] = {}

    def ended(self, method: str, route: str, status: int, seconds: float) -> None:
        self.in_progress -= 1
        known = self._known.get((method, route, status))
        if known is None:
            known = self._add_known(method, route, status)
        count, observe = known
        count()
        observe(seconds)
        if status == 401:
            self._unauthenticated.inc()

    def _add_known(self, method: str, route: str, status: int) -> tuple[Callable[[], None], Callable[[float], None]]:
        shown = method if method in _METHODS else _REST
        known = (
            self._counter.labels(shown, route, str(status)).inc,
            self._durations.labels(shown, route).observe,
        )
        if shown == method:
            self._known[method, route, status] = known
        return known


class _Writes:
    """The metrics of writing transactions and of what they change."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._noted = _noted_counters(registry)
        self._units = Histogram(
            "exosphere_write_batch_units",
            "Units of work that shared a transaction.",
            buckets=_UNIT_BUCKETS,
            registry=registry,
        )
        self._seconds = Histogram(
            "exosphere_write_transaction_seconds",
            "Seconds of a writing transaction, with its commit.",
            buckets=_WRITE_BUCKETS,
            registry=registry,
        )
        self._commit_seconds = Histogram(
            "exosphere_write_commit_seconds",
            "Seconds of the commit of a writing transaction.",
            buckets=_WRITE_BUCKETS,
            registry=registry,
        )
        self.failures = Counter(
            "exosphere_write_failures", "Writing transactions that failed as a whole.", registry=registry
        )
        self._count_note: dict[Note, Callable[[float], None]] = {}

    def add(self, units: int, seconds: float, commit_seconds: float, notes: Sequence[Note]) -> None:
        self._units.observe(units)
        self._seconds.observe(seconds)
        self._commit_seconds.observe(commit_seconds)
        for note, times in Tally(notes).items():
            count = self._count_note.get(note)
            if count is None:
                what, *labels = note
                counter = self._noted[what]
                count = self._count_note[note] = (counter.labels(*labels) if labels else counter).inc
            count(times)


def _noted_counters(registry: CollectorRegistry) -> dict[str, Counter]:
    """Return the counters of the store's notes, by the kind of note."""
    return {
        "transition": Counter(
            "exosphere_state_transitions",
            "Durable changes of a state's status; from is empty for a new state.",
            ("from", "to"),
            registry=registry,
        ),
        "lease_expired": Counter("exosphere_leases_expired", "Leases that ran out.", registry=registry),
        "cron_fired": Counter("exosphere_crons_fired", "Runs that a schedule started.", registry=registry),
        "cron_failed": Counter(
            "exosphere_crons_failed", "Schedules that were due and started no run.", registry=registry
        ),
    }


def _register_process(registry: CollectorRegistry, database: str) -> None:
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    Gauge(
        "exosphere_build_info",
        "Always 1; the labels name the version, Python and the kind of database.",
        ("version", "python", "database"),
        registry=registry,
    ).labels(version("exospherehost"), platform.python_version(), database).set(1)


class _BacklogCollector(Collector):
    """Shows the backlog as it was last read."""

    def __init__(self, backlog: Callable[[], Backlog | None]) -> None:
        self._backlog = backlog

    def collect(self) -> Iterable[Metric]:
        backlog = self._backlog()
        # Not "namespace" and "node": Prometheus sets these labels on whatever it scrapes in Kubernetes.
        labels = ("exosphere_namespace", "exosphere_node")
        up = GaugeMetricFamily("exosphere_backlog_up", "Whether the backlog could be read from the database: 1 or 0.")
        up.add_metric((), 0 if backlog is None else 1)
        yield up
        if backlog is None:
            return
        due = GaugeMetricFamily("exosphere_states_due", "States that are due and unclaimed.", labels=labels)
        age = GaugeMetricFamily(
            "exosphere_states_due_oldest_seconds",
            "Seconds since the oldest of these states became due.",
            labels=labels,
        )
        leased = GaugeMetricFamily("exosphere_states_leased", "States that are held under a lease.", labels=labels)
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
    """Return the counts, with 0 for lines that have none; beyond the largest thousand, the rest is one sum."""
    # An empty line is shown as 0: if it vanished, an autoscaler would have no value to act on.
    every = sorted({**dict.fromkeys(lines, 0), **counts}.items(), key=lambda item: (-item[1], item[0]))
    if len(every) <= _MOST_LINES:
        return every
    rest = sum(count for _line, count in every[_MOST_LINES:])
    return [*every[:_MOST_LINES], ((_REST, _REST), rest)]
