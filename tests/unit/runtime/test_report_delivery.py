"""Outcomes are delivered beside the executions, and a state that comes twice is executed once."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from exospherehost import BaseNode, ReQueueAfterSignal
from exospherehost._transport.retry import Backoff
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.http_service import DROP, Answer, Asked
from tests._support.nodes import Echo
from tests._support.runtimes import make_runtime, running

BROKEN = Answer(500, {"success": False, "detail": "broken"})


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    from exospherehost._runtime import reporter

    monkeypatch.setattr(reporter, "_BACKOFF", Backoff(initial=0.01, maximum=0.05))


def attempts(service: FakeStateManager, state_id: str) -> int:
    return len([path for path in service.paths("POST") if state_id in path])


@pytest.mark.parametrize("fault", [Answer(520, b""), Answer(599, b""), Answer(408, b""), Answer(425, b""), DROP])
async def test_outcome_is_sent_until_it_is_acknowledged(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture, fault: Answer
) -> None:
    faults: Iterator[Answer] = iter([fault] * 12)
    service.before = lambda asked: next(faults, None) if asked.path.endswith("/executed") else None
    runtime = make_runtime(service, Echo)

    with caplog.at_level(logging.INFO, logger="exospherehost"):
        async with running(runtime):
            state_id = service.put_state("Echo", {"text": "x"})
            await eventually(lambda: service.report_of(state_id))

    assert attempts(service, state_id) == 13
    assert (runtime.stats().report_retries, runtime.stats().succeeded) == (12, 1)
    assert caplog.text.count("event=reports_failing") == 1
    assert caplog.text.count("event=reports_recovered") == 1


async def test_slow_report_holds_up_no_execution(service: FakeStateManager) -> None:
    go_on = threading.Event()

    def before(asked: Asked) -> None:
        if slow in asked.path:
            assert go_on.wait(20)

    service.before = before
    slow = service.put_state("Echo", {"text": "slow"})
    try:
        async with running(make_runtime(service, Echo, workers=1)):
            await eventually(lambda: attempts(service, slow))
            others = [service.put_state("Echo", {"text": str(number)}) for number in range(10)]
            await eventually(lambda: all(service.report_of(state_id) for state_id in others))
            assert service.report_of(slow) is None
            go_on.set()
            await eventually(lambda: service.report_of(slow))
    finally:
        go_on.set()


async def test_outcome_that_fails_holds_up_no_other(service: FakeStateManager) -> None:
    failing = True
    service.before = lambda asked: BROKEN if failing and first in asked.path else None
    first = service.put_state("Echo", {"text": "first"})
    async with running(make_runtime(service, Echo, workers=1)):
        await eventually(lambda: attempts(service, first) > 2)
        others = [service.put_state("Echo", {"text": str(number)}) for number in range(10)]
        await eventually(lambda: all(service.report_of(state_id) for state_id in others))
        failing = False
        await eventually(lambda: service.report_of(first))

    assert sorted(report.state_id for report in service.reports) == sorted([first, *others])


async def test_outcome_is_delivered_while_the_runtime_ends(service: FakeStateManager) -> None:
    failing = True
    service.before = lambda asked: BROKEN if failing and "/state/" in asked.path else None
    states = [service.put_state("Echo", {"text": str(number)}) for number in range(5)]
    runtime = make_runtime(service, Echo)
    async with running(runtime) as task:
        await eventually(lambda: runtime.stats().undelivered == len(states))
        runtime.stop()
        tried = attempts(service, states[0])
        await eventually(lambda: attempts(service, states[0]) > tried + 1)
        failing = False
        await asyncio.wait_for(task, 15)

    assert sorted(report.state_id for report in service.reports) == sorted(states)
    assert {report.action for report in service.reports} == {"executed"}


async def test_cancelled_execution_leaves_the_reports_of_others_alone(service: FakeStateManager) -> None:
    arrived, go_on = threading.Event(), threading.Event()
    started = asyncio.Event()

    class Waits(BaseNode):
        async def execute(self) -> None:
            started.set()
            await asyncio.Event().wait()

    def before(asked: Asked) -> None:
        if asked.path.endswith("/executed"):
            arrived.set()
            assert go_on.wait(20)

    service.before = before
    done = service.put_state("Echo", {"text": "x"})
    waits = service.put_state("Waits")
    task = asyncio.ensure_future(make_runtime(service, Echo, Waits).run())
    await eventually(arrived.is_set)
    await asyncio.wait_for(started.wait(), 10)
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 15)

    assert {report.state_id: report.action for report in service.reports} == {
        done: "executed",
        waits: "re-enqueue-after",
    }


# ---- claimed twice ---------------------------------------------------------------------------------


class Counted:
    """Counts executions, and holds them until the test lets them go on."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.times = 0

    def node(self) -> type[BaseNode]:
        counted = self

        class Counts(BaseNode):
            async def execute(self) -> None:
                counted.times += 1
                await counted.go_on.wait()

        return Counts


async def test_claim_answered_twice_is_executed_once(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture
) -> None:
    counted = Counted()
    state_id = service.put_state("Counts")
    runtime = make_runtime(service, counted.node(), Echo, workers=3)
    async with running(runtime):
        await eventually(lambda: counted.times == 1)
        service.put_again(state_id)
        await eventually(lambda: "event=claimed_twice" in caplog.text)
        counted.go_on.set()
        await eventually(lambda: service.report_of(state_id))
        # No worker has been lost by it.
        after = [service.put_state("Echo", {"text": str(number)}) for number in range(6)]
        await eventually(lambda: all(service.report_of(each) for each in after))

    assert counted.times == 1
    assert [report.action for report in service.reports if report.state_id == state_id] == ["executed"]
    assert state_id in caplog.text


async def test_state_twice_in_one_claim_is_executed_once(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture
) -> None:
    counted = Counted()
    counted.go_on.set()
    state_id = service.put_state("Counts")
    service.put_again(state_id)
    async with running(make_runtime(service, counted.node(), workers=4)):
        await eventually(lambda: service.report_of(state_id))
        after = service.put_state("Counts")
        await eventually(lambda: service.report_of(after))

    assert caplog.text.count("event=claimed_twice") == 1
    assert counted.times == 2
    assert attempts(service, state_id) == 1


async def test_state_that_waits_for_a_worker_is_taken_once(service: FakeStateManager) -> None:
    counted = Counted()
    states = [service.put_state("Counts") for _ in range(3)]

    def generous(asked: Asked) -> Answer | None:
        return service._claim("ns", {**asked.json, "batch_size": 9}) if asked.path.endswith("/enqueue") else None

    service.before = generous
    service.put_again(states[2])
    runtime = make_runtime(service, counted.node(), workers=1)
    async with running(runtime):
        await eventually(lambda: counted.times == 1)
        counted.go_on.set()
        await eventually(lambda: len(service.reports) == 3)

    assert counted.times == 3
    assert sorted(report.state_id for report in service.reports) == states


async def test_state_whose_outcome_is_on_its_way_is_not_executed_again(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture
) -> None:
    counted = Counted()
    counted.go_on.set()
    failing = True
    service.before = lambda asked: DROP if failing and asked.path.endswith("/executed") else None
    state_id = service.put_state("Counts")
    runtime = make_runtime(service, counted.node())
    async with running(runtime):
        await eventually(lambda: runtime.stats().undelivered)
        service.put_again(state_id)
        await eventually(lambda: "event=claimed_twice" in caplog.text)
        failing = False
        await eventually(lambda: service.report_of(state_id))

    assert counted.times == 1
    assert [report.action for report in service.reports] == ["executed"]


async def test_claim_of_a_state_that_was_to_be_enqueued_again_settles_that(service: FakeStateManager) -> None:
    requests: list[Any] = []
    finished = asyncio.Event()

    class Returns(BaseNode):
        times = 0

        async def execute(self) -> None:
            Returns.times += 1
            if Returns.times == 1:
                raise ReQueueAfterSignal(timedelta(milliseconds=1))
            await finished.wait()

    def before(asked: Asked) -> Answer | None:
        if not asked.path.endswith("/re-enqueue-after"):
            return None
        requests.append(asked.path)
        if len(requests) == 1:
            # It has been acted on, and the answer is lost.
            service.put_again(state_id)
        return DROP

    service.before = before
    state_id = service.put_state("Returns")
    runtime = make_runtime(service, Returns)
    async with running(runtime):
        await eventually(lambda: Returns.times == 2)
        sent = len(requests)
        assert runtime.stats().undelivered == 0
        finished.set()
        await eventually(lambda: service.report_of(state_id))

    # One may have been on its way when the claim was answered; none is begun after that.
    assert len(requests) <= sent + 1
    assert [report.action for report in service.reports] == ["executed"]
    assert (runtime.stats().requeued, runtime.stats().succeeded) == (1, 1)
