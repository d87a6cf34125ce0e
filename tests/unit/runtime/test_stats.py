"""`Runtime.stats()`: a frozen snapshot of what a runtime has done."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from exospherehost import BaseNode, PruneSignal, ReQueueAfterSignal
from exospherehost._errors import APIConnectionError
from exospherehost._runtime import poller as poller_module
from exospherehost._runtime.poller import Poller
from exospherehost._runtime.stats import Counters, RuntimeStats
from exospherehost_client.extensions import WAIT
from exospherehost_client.models import ClaimedState
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.http_service import Answer, Asked
from tests._support.runtimes import make_runtime, running
from tests._support.stand_in import stand_in


class Does(BaseNode):
    class Inputs(BaseModel):
        what: str

    async def execute(self) -> None:
        match self.inputs.what:
            case "prune":
                raise PruneSignal
            case "requeue":
                raise ReQueueAfterSignal(timedelta(seconds=1))
            case "fail":
                raise ValueError("no luck")


class Waits(BaseNode):
    async def execute(self) -> None:
        await asyncio.Event().wait()


def test_snapshot_has_every_counter_and_stays_as_it_is() -> None:
    counters = Counters()
    assert counters.snapshot() == RuntimeStats()
    for number, name in enumerate(Counters.__slots__, 1):
        setattr(counters, name, number)
    before = counters.snapshot()
    counters.claimed = 1_000

    assert dataclasses.astuple(before) == tuple(range(1, len(Counters.__slots__) + 1))
    assert [each.name for each in dataclasses.fields(RuntimeStats)] == list(Counters.__slots__)
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.claimed = 1  # type: ignore[misc]


async def test_each_outcome_is_counted_and_the_counts_stay_after_the_end(service: FakeStateManager) -> None:
    for what in ("return", "return", "return", "prune", "prune", "requeue", "fail"):
        service.put_state("Does", {"what": what})
    runtime = make_runtime(service, Does)
    async with running(runtime):
        await eventually(lambda: len(service.reports) == 7)

    stats = runtime.stats()
    assert (stats.claimed, stats.succeeded, stats.pruned, stats.requeued, stats.errored) == (7, 3, 2, 1, 1)
    assert (stats.waiting, stats.running, stats.undelivered, stats.refused) == (0, 0, 0, 0)
    assert stats.claims >= 1
    assert stats.claim_failures == 0
    assert stats.poll_latency is not None
    assert 0 < stats.poll_latency < 10


async def test_what_is_under_way_is_told_and_gone_at_the_end(service: FakeStateManager) -> None:
    for _ in range(5):
        service.put_state("Waits")
    runtime = make_runtime(service, Waits, workers=2, grace_period=0)
    assert runtime.stats() == RuntimeStats()
    async with running(runtime):
        await eventually(lambda: runtime.stats().running == 2)

    stats = runtime.stats()
    assert (stats.running, stats.waiting, stats.undelivered) == (0, 0, 0)
    assert stats.claimed == stats.requeued


async def test_next_run_counts_from_nothing(service: FakeStateManager) -> None:
    service.put_state("Does", {"what": "return"})
    runtime = make_runtime(service, Does)
    async with running(runtime):
        await eventually(lambda: runtime.stats().succeeded == 1)
    again = asyncio.ensure_future(runtime.run())
    await asyncio.sleep(0)
    runtime.stop()
    await again

    assert runtime.stats() == RuntimeStats()


async def test_reports_sent_again_and_refused_are_counted(service: FakeStateManager) -> None:
    again, refused = (service.put_state("Does", {"what": "return"}) for _ in range(2))
    answers = {again: [Answer(503), Answer(503)], refused: [Answer(404, {"detail": "State not found"})]}

    def before(asked: Asked) -> Answer | None:
        state_id = asked.path.split("/")[-2]
        return answers[state_id].pop(0) if answers.get(state_id) else None

    service.before = before
    runtime = make_runtime(service, Does)
    async with running(runtime):
        await eventually(lambda: runtime.stats().succeeded + runtime.stats().refused == 2)

    assert (runtime.stats().report_retries, runtime.stats().refused, runtime.stats().succeeded) == (2, 1, 1)


async def test_claims_that_fail_are_counted_and_told_until_one_goes_through(service: FakeStateManager) -> None:
    failing = True
    service.before = lambda asked: Answer(503) if failing and asked.path.endswith("/enqueue") else None
    runtime = make_runtime(service, Does)
    async with running(runtime):
        await eventually(lambda: runtime.stats().claims_failing)
        assert runtime.stats().claim_failures >= 1
        assert runtime.stats().claims == 0
        failing = False
        await eventually(lambda: not runtime.stats().claims_failing)
        assert runtime.stats().claims >= 1


# ---- the latency of claims ---------------------------------------------------------------------


class Service:
    """Answers claims after given times, which pass at once."""

    def __init__(self, *extensions: str) -> None:
        self.extensions = extensions
        self.now = 0.0
        self.next: tuple[float, int] = (0.0, 0)

    async def offers(self, extension: str) -> bool:
        return extension in self.extensions

    async def claim(self, *_: Any, **__: Any) -> list[ClaimedState]:
        seconds, count = self.next
        self.now += seconds
        if count < 0:
            raise APIConnectionError("gone", sent=True)
        state = ClaimedState(
            state_id="a" * 24, node_name="N", identifier="i", inputs={}, created_at=datetime(2025, 1, 1, tzinfo=UTC)
        )
        return [state] * count


@pytest.fixture
def claim(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    async def latencies(service: Service, *claims: tuple[float, int]) -> list[float | None]:
        stand_in(monkeypatch, poller_module, "time", monotonic=lambda: service.now)
        counters = Counters()
        poller = Poller(service, counters, batch_size=4, poll_interval=1, lease=None, read_timeout=40)  # type: ignore[arg-type]
        told = []
        for service.next in claims:
            await poller.claim(["N"], 4, may_hold=True)
            told.append(counters.poll_latency)
        return told

    return latencies


async def test_without_wait_the_latency_is_what_the_last_claim_took(claim: Callable[..., Any]) -> None:
    assert await claim(Service(), (0.5, 0), (0.25, 4), (0.125, 1)) == [0.5, 0.25, 0.125]


async def test_time_that_a_claim_is_held_is_no_latency(claim: Callable[..., Any]) -> None:
    # Held in vain for 2 seconds; then held until something came, full or not.
    assert await claim(Service(WAIT), (2.25, 0), (1, 2), (1.5, 4)) == [0.25, 0.25, 0.25]


async def test_full_claim_after_a_full_one_was_not_held(claim: Callable[..., Any]) -> None:
    assert await claim(Service(WAIT), (3, 4), (0.5, 4), (5, 1), (6, 4)) == [None, 0.5, 0.5, 0.5]


async def test_failed_claim_tells_no_latency(claim: Callable[..., Any]) -> None:
    assert await claim(Service(), (30, -1)) == [None]
