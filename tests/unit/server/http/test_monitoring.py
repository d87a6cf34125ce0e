"""Readiness and the backlog, on a store that hangs, fails and is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
import pytest
from starlette.types import ASGIApp, Scope

from exospherehost.server.domain.clock import SystemClock
from exospherehost.server.domain.errors import StoreUnavailable
from exospherehost.server.domain.records import Backlog, DueStates
from exospherehost.server.domain.store import Reader, UnitOfWork
from exospherehost.server.http import monitoring
from exospherehost.server.http.monitoring import MetricsPage, Ready
from exospherehost.server.observability.metrics import Metrics

T = TypeVar("T")


class HalfStore:
    """A store that reads as a test says, and can do nothing else."""

    def __init__(self) -> None:
        self.reads = 0
        self.hold = asyncio.Event()
        self.hold.set()
        self.error: Exception | None = None
        self.writes = 0
        self.write_error: Exception | None = None

    async def read(self, work: Callable[[Reader], T]) -> T:
        self.reads += 1
        await self.hold.wait()
        if self.error is not None:
            raise self.error
        return work(self)  # type: ignore[arg-type]

    async def write(self, work: Callable[[UnitOfWork], T]) -> T:
        self.writes += 1
        if self.write_error is not None:
            raise self.write_error
        return work(self)  # type: ignore[arg-type]

    def touch(self) -> None:
        """There is nothing to write to."""

    def schema_revision(self) -> str:
        return "0002"

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"not to be used here: {name}")


async def ask(app: ASGIApp, path: str = "/ready") -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        return await http.get(path)


def ready(store: HalfStore, *, stopping: bool = False) -> Ready:
    return Ready(store, ("0002", "0001"), lambda: stopping)  # type: ignore[arg-type]


async def test_a_server_that_stops_is_not_ready_and_asks_the_database_nothing() -> None:
    store = HalfStore()
    answer = await ask(ready(store, stopping=True))
    assert (answer.status_code, answer.json()["reason"]) == (503, "stopping")
    assert store.reads == 0


async def test_a_database_that_hangs_is_given_up_and_held_by_one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "_READ_SECONDS", 0.05)
    store = HalfStore()
    app = ready(store)
    store.hold.clear()
    for _ in range(3):
        answer = await ask(app)
        assert (answer.status_code, answer.json()["reason"]) == (503, "database: no answer within 0.05 s")
    assert store.reads == 1
    store.hold.set()
    await asyncio.sleep(0)
    assert (await ask(app)).status_code == 200


async def test_the_reason_tells_no_text_of_the_driver() -> None:
    store = HalfStore()
    store.error = ConnectionError("postgresql://user:secret@host")
    answer = await ask(ready(store))
    assert answer.json() == {"status": "unready", "reason": "database: ConnectionError"}


async def test_a_write_is_tried_once_in_a_while_and_its_failure_told(monkeypatch: pytest.MonkeyPatch) -> None:
    store = HalfStore()
    app = ready(store)
    for _ in range(3):
        assert (await ask(app)).status_code == 200
    assert store.writes == 1
    monkeypatch.setattr(monitoring, "_WRITE_REST_SECONDS", 0)
    app = ready(store)
    for error, reason in ((StoreUnavailable("the disk is full"), "the disk is full"), (OSError("x"), "OSError")):
        store.write_error = error
        answer = await ask(app)
        assert (answer.status_code, answer.json()["reason"]) == (503, f"database: {reason}")
    store.write_error = None
    assert (await ask(app)).status_code == 200


def page(store: HalfStore, metrics: Metrics) -> MetricsPage:
    return MetricsPage(metrics, store, SystemClock(), lambda: (0, 0), refuse_nobody)  # type: ignore[arg-type]


async def refuse_nobody(_scope: Scope) -> None:
    return None


class Counting(HalfStore):
    """Gives a backlog of so many nodes."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self.lines = lines

    async def read(self, work: Callable[[Reader], T]) -> T:  # noqa: ARG002 (there is but one work)
        self.reads += 1
        if self.error is not None:
            raise self.error
        due = {("ns", f"node-{number}"): DueStates(number, 0) for number in range(1, self.lines + 1)}
        return Backlog(0, tuple(due), due, {})  # type: ignore[return-value]


async def test_the_backlog_is_read_once_in_a_few_seconds_however_often_it_is_looked_at() -> None:
    store = Counting(1)
    app = page(store, Metrics(database="none"))
    texts = [(await ask(app, "/metrics")).text for _ in range(5)]
    assert store.reads == 1
    assert all('exosphere_states_due{exosphere_namespace="ns",exosphere_node="node-1"} 1.0' in text for text in texts)


async def test_a_backlog_that_cannot_be_read_leaves_the_other_metrics() -> None:
    store = Counting(1)
    store.error = ConnectionError("gone")
    answer = await ask(page(store, Metrics(database="none")), "/metrics")
    assert answer.status_code == 200
    assert "exosphere_backlog_up 0.0" in answer.text
    assert "exosphere_states_due{" not in answer.text
    assert "exosphere_build_info{" in answer.text


async def test_beyond_a_thousand_nodes_the_smallest_become_one_sum() -> None:
    answer = await ask(page(Counting(1_010), Metrics(database="none")), "/metrics")
    series = [line for line in answer.text.splitlines() if line.startswith("exosphere_states_due{")]
    assert len(series) == 1_001
    assert (
        f'exosphere_states_due{{exosphere_namespace="_other",exosphere_node="_other"}} {sum(range(1, 11))}.0' in series
    )


async def test_methods_that_nobody_knows_make_no_series_of_their_own() -> None:
    metrics = Metrics(database="none")
    for number in range(50):
        metrics.request_began()
        metrics.request_ended(f"M{number}", "/health", 405, 0.001)
    text = metrics.expose("")[0].decode()
    assert 'exosphere_http_requests_total{method="_other",route="/health",status="405"} 50.0' in text
    assert text.count("exosphere_http_requests_total{") == 1
