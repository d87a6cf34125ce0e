"""Spans and metrics, through OpenTelemetry's API only: what becomes of them is the program's to configure."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from functools import partial

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Histogram, Observation, get_meter
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanKind, Status, StatusCode, get_tracer, use_span
from opentelemetry.util.types import AttributeValue

from exospherehost._config import VERSION
from exospherehost._runtime.outcomes import Outcome
from exospherehost._runtime.stats import Counters
from exospherehost._runtime.worker_pool import Executes
from exospherehost_client.models import ClaimedState

SCOPE = "exospherehost"
LONGEST_DESCRIPTION = 200
"""Of an error's first line, in characters; the whole text is with the state."""

# OpenTelemetry's own bounds are for milliseconds.
_BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)
_COUNTERS = {
    "claims": "Claims that the service answered",
    "claim_failures": "Claims that failed",
    "claimed": "States claimed",
    "succeeded": "Outcomes acknowledged as executed",
    "errored": "Outcomes acknowledged as errored",
    "pruned": "Outcomes acknowledged as pruned",
    "requeued": "Outcomes acknowledged as re-enqueued",
    "refused": "Outcomes that the service did not take",
    "lost_leases": "States dropped because their lease was lost",
    "report_retries": "Reports that were sent again",
}
_GAUGES = {
    "waiting": "States claimed and not started",
    "running": "States being executed",
    "undelivered": "Outcomes not acknowledged",
}

_Key = tuple[str, str]


class ObservedExecutor:
    """Makes a span of each execution, which is current while the node runs, and measures how long it took.

    Args:
        executor: executes a state.
        namespace: an attribute of both.
    """

    def __init__(self, executor: Executes, namespace: str) -> None:
        self._executor = executor
        self._namespace = namespace
        self._tracer = get_tracer(SCOPE, VERSION)
        self._seconds = _instruments.seconds()

    async def execute(self, state: ClaimedState, is_given_up: Callable[[], bool]) -> Outcome:
        """Execute a state, observed."""
        span = self._tracer.start_span(
            f"exosphere.execute {state.node_name}",
            # A trace of its own: under the span that the runtime was started in, it would be one of millions.
            context=Context(),
            kind=SpanKind.CONSUMER,
            attributes=self._attributes(state),
        )
        began = time.perf_counter()
        kind = "cancelled"
        try:
            if span.get_span_context() == INVALID_SPAN_CONTEXT:
                # Nothing takes spans, so there is nothing to be current either.
                outcome = await self._executor.execute(state, is_given_up)
            else:
                # An exception that is passed on is a cancellation; its text and trace are no part of the span.
                with use_span(span, record_exception=False, set_status_on_exception=False):
                    outcome = await self._executor.execute(state, is_given_up)
            kind = outcome.kind
            if "errored" in outcome.report:
                # Secrets have been taken out of this text, which begins with the exception's type.
                line = outcome.report["errored"]["error"].partition("\n")[0]
                span.set_status(Status(StatusCode.ERROR, line[:LONGEST_DESCRIPTION]))
            return outcome
        finally:
            self._seconds.record(
                time.perf_counter() - began,
                {
                    "exosphere.namespace": self._namespace,
                    "exosphere.node": state.node_name,
                    "exosphere.outcome": kind,
                },
            )
            span.set_attribute("exosphere.outcome", kind)
            span.end()

    def _attributes(self, state: ClaimedState) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {
            "exosphere.namespace": self._namespace,
            "exosphere.node": state.node_name,
            "exosphere.identifier": state.identifier,
            "exosphere.state_id": state.state_id,
        }
        if state.graph_name is not None:
            attributes["exosphere.graph"] = state.graph_name
        if state.run_id is not None:
            attributes["exosphere.run_id"] = state.run_id
        if state.attempt is not None:
            attributes["exosphere.attempt"] = state.attempt
        return attributes


@contextmanager
def metered(counters: Counters, *, namespace: str, runtime: str) -> Generator[None, None, None]:
    """Have the metrics tell a runtime's counters, those that only grow also after the block."""
    _instruments.add((namespace, runtime), counters)
    try:
        yield
    finally:
        _instruments.remove((namespace, runtime), counters)


class _Instruments:
    """The instruments of this process: the API has no way to give back one that observes a runtime which has ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[_Key, list[Counters]] = {}
        self._ended: dict[_Key, Counter[str]] = {}
        self._seconds: Histogram | None = None

    def seconds(self) -> Histogram:
        """Return what measures executions."""
        with self._lock:
            if self._seconds is None:
                self._seconds = self._made()
            return self._seconds

    def add(self, key: _Key, counters: Counters) -> None:
        with self._lock:
            self._running.setdefault(key, []).append(counters)
            self._ended.setdefault(key, Counter())

    def remove(self, key: _Key, counters: Counters) -> None:
        with self._lock:
            self._running[key].remove(counters)
            self._ended[key].update({name: getattr(counters, name) for name in _COUNTERS})

    def _made(self) -> Histogram:
        meter = get_meter(SCOPE, VERSION)
        for name, description in _COUNTERS.items():
            meter.create_observable_counter(f"exosphere.runtime.{name}", [self._telling(name)], "1", description)
        for name, description in _GAUGES.items():
            meter.create_observable_gauge(f"exosphere.runtime.{name}", [self._telling(name)], "1", description)
        meter.create_observable_gauge(
            "exosphere.runtime.poll_latency", [self._latency], "s", "How long the last claim took, unless it was held"
        )
        return meter.create_histogram(
            "exosphere.execution.duration",
            "s",
            "How long an execution took, its secrets' fetching included",
            explicit_bucket_boundaries_advisory=_BOUNDS,
        )

    def _telling(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        return partial(self._observe, name)

    def _observe(self, name: str, _options: CallbackOptions) -> list[Observation]:
        with self._lock:
            # Runtimes of one name in one process are one to whoever looks.
            return [
                Observation(sum(getattr(each, name) for each in running) + self._ended[key][name], _attributes(key))
                for key, running in self._running.items()
            ]

    def _latency(self, _options: CallbackOptions) -> list[Observation]:
        with self._lock:
            return [
                Observation(counters.poll_latency, _attributes(key))
                for key, running in self._running.items()
                for counters in running[-1:]
                if counters.poll_latency is not None
            ]


def _attributes(key: _Key) -> dict[str, AttributeValue]:
    namespace, runtime = key
    return {"exosphere.namespace": namespace, "exosphere.runtime": runtime}


_instruments = _Instruments()
