"""Claims ask for no more than can be started, and a service that fails is asked again."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from exospherehost import BaseNode
from exospherehost._runtime import poller as poller_module
from exospherehost._runtime.poller import Poller
from exospherehost._runtime.stats import Counters
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.http_service import DROP, Answer, Asked
from tests._support.nodes import Echo, NeedsSecret
from tests._support.runtimes import make_runtime, running
from tests._support.stand_in import stand_in


class Gate:
    """Counts the states that are inside of a node, and holds them there."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0
        self.open = asyncio.Event()

    def node(self) -> type[BaseNode]:
        gate = self

        class Gated(BaseNode):
            async def execute(self) -> None:
                gate.inside += 1
                gate.most = max(gate.most, gate.inside)
                try:
                    await gate.open.wait()
                finally:
                    gate.inside -= 1

        return Gated


async def test_claim_names_the_nodes(service: FakeStateManager) -> None:
    async with running(make_runtime(service, Echo, NeedsSecret)):
        await eventually(lambda: service.claims)

    assert service.claims[0] == {"nodes": ["Echo", "NeedsSecret"], "batch_size": 4}
    assert "/v0/namespace/ns/states/enqueue" in service.paths("POST")


@pytest.mark.parametrize(("batch_size", "workers"), [(16, 4), (3, 8), (1, 5), (2, 2)])
async def test_never_more_at_once_than_workers(service: FakeStateManager, batch_size: int, workers: int) -> None:
    gate = Gate()
    states = [service.put_state("Gated") for _ in range(20)]

    async with running(make_runtime(service, gate.node(), batch_size=batch_size, workers=workers)):
        await eventually(lambda: gate.inside == workers)
        claimed_while_full = len(service.claims)
        # All are busy, so nothing is claimed that could not be started.
        assert sum(min(claim["batch_size"], batch_size) for claim in service.claims) >= workers
        assert len(service._waiting) == len(states) - workers
        gate.open.set()
        await eventually(lambda: len(service.reports) == len(states))

    assert gate.most == workers
    assert claimed_while_full >= workers // batch_size
    assert all(1 <= claim["batch_size"] <= batch_size for claim in service.claims)
    assert sorted(report.state_id for report in service.reports) == sorted(states)


async def test_full_runtime_does_not_claim(service: FakeStateManager) -> None:
    gate = Gate()
    for _ in range(2):
        service.put_state("Gated")

    async with running(make_runtime(service, gate.node(), Echo, workers=2, poll_interval=0.01)):
        await eventually(lambda: gate.inside == 2)
        asked = len(service.claims)
        waiting = service.put_state("Echo", {"text": "x"})
        with pytest.raises(AssertionError):
            await eventually(lambda: len(service.claims) > asked, within=0.2)
        gate.open.set()
        await eventually(lambda: service.report_of(waiting))


async def test_free_worker_claims_while_others_are_busy(service: FakeStateManager) -> None:
    gate = Gate()
    service.put_state("Gated")

    async with running(make_runtime(service, gate.node(), Echo, workers=3)):
        await eventually(lambda: gate.inside == 1)
        for _ in range(5):
            state_id = service.put_state("Echo", {"text": "x"})
            await eventually(lambda state_id=state_id: service.report_of(state_id))
        gate.open.set()


async def test_more_states_than_asked_for_are_executed_all_the_same(service: FakeStateManager) -> None:
    states = [service.put_state("Echo", {"text": "x"}) for _ in range(9)]

    def generous(asked: Asked) -> Answer | None:
        if asked.path.endswith("/enqueue"):
            return service._claim("ns", {**asked.json, "batch_size": 9})
        return None

    service.before = generous
    async with running(make_runtime(service, Echo, workers=2)):
        await eventually(lambda: len(service.reports) == len(states))

    assert sorted(report.state_id for report in service.reports) == sorted(states)


OUTAGES: dict[str, Answer] = {
    "connection lost": DROP,
    "500": Answer(500, {"success": False, "detail": "broken"}),
    "503 with Retry-After": Answer(503, {"detail": "wait"}, {"retry-after": "0"}),
    "401": Answer(401, {"detail": "Invalid API key"}),
    "404": Answer(404, {"detail": "Not Found"}),
    "422": Answer(422, {"detail": [{"type": "t", "loc": ["body"], "msg": "m"}]}),
    "redirect": Answer(307, b"", {"location": "/elsewhere"}),
    "no JSON": Answer(200, b"<html>", content_type="text/html"),
    "odd JSON": Answer(200, {"states": "none"}),
    "nothing": Answer(200, b""),
    "odd Retry-After": Answer(429, {"detail": "m"}, {"retry-after": "soon"}),
}


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
async def test_outage_logs_one_warning_and_one_recovery(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, outage: Answer
) -> None:
    from exospherehost._runtime import poller
    from exospherehost._transport.retry import Backoff

    monkeypatch.setattr(poller, "_FAULTS", Backoff(initial=0.01, maximum=0.01))
    failed = threading.Semaphore(0)
    over = False

    def failing(asked: Asked) -> Answer | None:
        if not asked.path.endswith("/enqueue") or over:
            return None
        failed.release()
        return outage

    service.before = failing
    with caplog.at_level(logging.INFO, logger="exospherehost"):
        async with running(make_runtime(service, Echo)):
            await eventually(lambda: failed._value >= 3)
            over = True
            state_id = service.put_state("Echo", {"text": "after"})
            await eventually(lambda: service.report_of(state_id))

    assert caplog.text.count("event=claim_failing") == 1
    assert caplog.text.count("event=claim_recovered") == 1
    (recovered,) = [record for record in caplog.records if "claim_recovered" in record.getMessage()]
    assert recovered.levelno == logging.INFO


async def test_second_outage_is_logged_again(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exospherehost._runtime import poller
    from exospherehost._transport.retry import Backoff

    monkeypatch.setattr(poller, "_FAULTS", Backoff(initial=0.01, maximum=0.01))
    broken = True
    service.before = lambda asked: DROP if broken and asked.path.endswith("/enqueue") else None

    with caplog.at_level(logging.INFO, logger="exospherehost"):
        async with running(make_runtime(service, Echo)):
            for times in (1, 2):
                broken = True
                await eventually(lambda times=times: caplog.text.count("event=claim_failing") == times)
                broken = False
                await eventually(lambda times=times: caplog.text.count("event=claim_recovered") == times)


class _FailingSession:
    def __init__(self, error: Exception) -> None:
        self.error = error

    async def claim(self, *_: Any, **__: Any) -> list[Any]:
        raise self.error

    async def offers(self, _: str) -> bool:
        return False


@pytest.mark.parametrize("retry_after", [86_400.0, float("inf"), None])
async def test_wait_after_a_failure_is_bounded(retry_after: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    from exospherehost import RateLimitError

    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    stand_in(monkeypatch, poller_module, "asyncio", sleep=sleep)
    error = RateLimitError("m", status_code=429, detail="m", retry_after=retry_after)
    session: Any = _FailingSession(error)
    poller = Poller(session, Counters(), batch_size=1, poll_interval=1.0, lease=None, read_timeout=30.0)
    for _ in range(50):
        assert (await poller.claim(["N"], 1, may_hold=True)).states == ()
        await poller.rest()

    assert max(waits) <= 30.0


async def test_idle_runtime_asks_no_more_often_than_its_interval(service: FakeStateManager) -> None:
    loop = asyncio.get_running_loop()

    async with running(make_runtime(service, Echo, poll_interval=0.3)):
        # The waits double up to the interval: after these, every one is the interval.
        await eventually(lambda: len(service.claims) >= 7)
        count, started = len(service.claims), loop.time()
        await eventually(lambda: len(service.claims) >= count + 3)
        elapsed = loop.time() - started

    assert elapsed >= 0.55


async def test_work_that_a_report_makes_due_is_claimed_at_once(service: FakeStateManager) -> None:
    class Chain(BaseNode):
        async def execute(self) -> None:
            if len(service.reports) < 10:
                service.put_state("Chain")

    loop = asyncio.get_running_loop()
    async with running(make_runtime(service, Chain, poll_interval=20)):
        started = loop.time()
        service.put_state("Chain")
        await eventually(lambda: len(service.reports) >= 11, within=15)

    assert loop.time() - started < 15
