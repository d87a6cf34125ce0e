"""A stop hands back what has not started, delivers what has ended, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from exospherehost import BaseNode, GraphNodeModel, PruneSignal, ReQueueAfterSignal, Runtime, StateManager
from exospherehost._runtime import coordinator
from exospherehost._transport.runtime_session import RuntimeSession
from exospherehost.server import ServerSettings, ServerThread
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.graph_runs import ended, statuses
from tests._support.http_service import DROP, Answer, Asked
from tests._support.nodes import Echo
from tests._support.runtimes import KEY, make_runtime, running, threads_left

HANDED_BACK = ("re-enqueue-after", {"enqueue_after": 1})


class Waits(BaseNode):
    """Waits until it is cancelled or released; quick at first where the test says so."""

    quick = 0
    started = 0
    release: asyncio.Event

    async def execute(self) -> None:
        Waits.started += 1
        if Waits.started > Waits.quick:
            await self.release.wait()


@pytest.fixture(autouse=True)
async def fresh_waits() -> None:
    Waits.quick = Waits.started = 0
    Waits.release = asyncio.Event()


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    yield
    await eventually(lambda: not threads_left())


def said(service: FakeStateManager, state_id: str) -> tuple[str, Any] | None:
    report = service.report_of(state_id)
    return None if report is None else (report.action, report.body)


async def end(runtime: Runtime, task: asyncio.Task[None]) -> None:
    """Stop a runtime; when `run()` returns, not a single task may be left."""
    before = asyncio.all_tasks() - {task}
    runtime.stop()
    await asyncio.wait_for(asyncio.shield(task), 15)
    left = asyncio.all_tasks()
    assert not [each for each in left if each.get_name().startswith("exospherehost-")]
    assert len(left - before - {task}) == 0


async def holding_more_than_it_executes(service: FakeStateManager, runtime: Runtime) -> list[str]:
    """Have a runtime of two workers wait in two states, with others claimed ahead."""
    # Quick ones make it claim ahead; how many there are is the smoothing's matter.
    Waits.quick = 60
    states = [service.put_state("Waits") for _ in range(120)]
    await eventually(lambda: runtime.stats().running == 2 and runtime.stats().waiting > 0 and Waits.started == 62)
    await eventually(lambda: len(service.reports) == 60)
    return states


async def test_states_claimed_ahead_are_handed_back_and_running_ones_end(service: FakeStateManager) -> None:
    runtime = make_runtime(service, Waits, workers=2, grace_period=60)
    task = asyncio.ensure_future(runtime.run())
    states = await holding_more_than_it_executes(service, runtime)
    waiting = runtime.stats().waiting

    runtime.stop()
    # At once, and not only when those that run have ended.
    await eventually(lambda: len(service.reports) >= 60 + waiting)
    assert not task.done()
    Waits.release.set()
    await end(runtime, task)

    taken = [state_id for state_id in states if state_id not in {state["state_id"] for state in service._waiting}]
    assert len(service.reports) == len(taken) == runtime.stats().claimed
    assert {report.state_id for report in service.reports} == set(taken)
    assert Counter(report.action for report in service.reports)["executed"] == 62
    handed_back = [report for report in service.reports if report.action != "executed"]
    assert len(handed_back) >= waiting > 0
    assert all((report.action, report.body) == HANDED_BACK for report in handed_back)
    assert Waits.started == 62


async def test_what_outlasts_the_grace_period_is_handed_back_with_what_waits(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = make_runtime(service, Waits, workers=2, grace_period=0.05)
    task = asyncio.ensure_future(runtime.run())
    await holding_more_than_it_executes(service, runtime)

    await end(runtime, task)

    assert len(service.reports) == runtime.stats().claimed
    assert Counter(report.action for report in service.reports)["executed"] == 60
    assert len({report.state_id for report in service.reports}) == len(service.reports)
    assert "event=grace_period_over namespace=ns seconds=0 cancelled=2 states=handed_back" in caplog.text


async def test_grace_period_is_not_waited_out_when_nothing_runs(service: FakeStateManager) -> None:
    runtime = make_runtime(service, Echo, grace_period=3600)
    task = asyncio.ensure_future(runtime.run())
    await eventually(lambda: service.claims)

    await end(runtime, task)


async def test_nothing_is_claimed_any_more(service: FakeStateManager) -> None:
    state_id = service.put_state("Waits")
    runtime = make_runtime(service, Waits, grace_period=60)
    task = asyncio.ensure_future(runtime.run())
    await eventually(lambda: Waits.started)

    runtime.stop()
    # One may be under way when it is told.
    await eventually(lambda: _is_at_rest(service))
    claims = len(service.claims)
    later = service.put_state("Waits")
    for _ in range(30):
        await asyncio.sleep(0.005)
    assert len(service.claims) == claims
    Waits.release.set()
    await end(runtime, task)

    assert said(service, state_id) == ("executed", {"outputs": []})
    assert said(service, later) is None


@pytest.mark.parametrize("fault", ["refused", "dropped"])
async def test_reports_that_are_being_retried_are_delivered_within_the_grace_period(
    service: FakeStateManager, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that it is the grace period, and not what is granted after it, in which they are delivered.
    monkeypatch.setattr(coordinator, "LAST_REPORTS_SECONDS", 0.05)
    down = Answer(503, {"success": False, "detail": "down"}) if fault == "refused" else DROP
    service.before = lambda asked: down if "/state/" in asked.path else None
    states = [service.put_state("Echo", {"text": str(number)}) for number in range(5)]
    runtime = make_runtime(service, Echo, grace_period=60)
    task = asyncio.ensure_future(runtime.run())
    await eventually(lambda: runtime.stats().report_retries >= 5)

    runtime.stop()
    retries = runtime.stats().report_retries
    # It goes on trying, and what it has is kept.
    await eventually(lambda: runtime.stats().report_retries > retries + 10)
    assert not task.done()
    service.before = lambda _: None
    await end(runtime, task)

    assert sorted(report.state_id for report in service.reports) == states
    assert {report.action for report in service.reports} == {"executed"}
    assert (runtime.stats().undelivered, runtime.stats().succeeded) == (0, 5)


async def test_service_that_does_not_come_back_is_not_waited_for_longer(
    service: FakeStateManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(coordinator, "LAST_REPORTS_SECONDS", 0.1)
    service.before = lambda asked: DROP if "/state/" in asked.path else None
    state_id = service.put_state("Echo", {"text": "x"})
    runtime = make_runtime(service, Echo, grace_period=0.1)
    task = asyncio.ensure_future(runtime.run())
    await eventually(lambda: runtime.stats().report_retries)

    await end(runtime, task)

    assert f"event=report_failed outcome=executed state_id={state_id}" in caplog.text
    assert "undelivered=1" in caplog.text


async def test_second_stop_changes_nothing(service: FakeStateManager) -> None:
    state_id = service.put_state("Waits")
    runtime = make_runtime(service, Waits, grace_period=60)
    task = asyncio.ensure_future(runtime.run())
    await eventually(lambda: Waits.started)

    for _ in range(3):
        runtime.stop()
        await asyncio.sleep(0.01)
    assert not task.done()
    assert said(service, state_id) is None
    Waits.release.set()
    await end(runtime, task)

    assert said(service, state_id) == ("executed", {"outputs": []})


async def test_cancelling_during_the_grace_period_cuts_it_short(service: FakeStateManager) -> None:
    state_id = service.put_state("Waits")
    runtime = make_runtime(service, Waits, grace_period=3600)
    task = asyncio.ensure_future(runtime.run())
    await eventually(lambda: Waits.started)
    runtime.stop()
    await eventually(lambda: _is_at_rest(service))

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 15)

    assert said(service, state_id) == HANDED_BACK


@pytest.mark.parametrize("form", ["async def", "def"])
async def test_node_may_stop_its_own_runtime(service: FakeStateManager, form: str) -> None:
    class Stops(BaseNode):
        async def execute(self) -> Any:
            runtime.stop()

    class StopsPlain(BaseNode):
        def execute(self) -> Any:
            runtime.stop()

    node = Stops if form == "async def" else StopsPlain
    state_id = service.put_state(node.__name__)
    runtime = make_runtime(service, node)

    await asyncio.wait_for(runtime.run(), 15)

    assert said(service, state_id) == ("executed", {"outputs": []})


async def test_end_is_logged_with_counts(service: FakeStateManager, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "exospherehost")

    class Mixed(BaseNode):
        async def execute(self) -> None:
            match self.context.identifier:
                case "fail":
                    raise ValueError
                case "prune":
                    raise PruneSignal
                case "requeue":
                    raise ReQueueAfterSignal(timedelta(seconds=1))
                case "wait":
                    await Waits.release.wait()

    identifiers = ["ok", "ok", "ok", "fail", "fail", "prune", "requeue", "wait"]
    for identifier in identifiers:
        service.put_state("Mixed", identifier=identifier)
    runtime = make_runtime(service, Mixed, grace_period=0)
    task = asyncio.ensure_future(runtime.run())
    await eventually(lambda: len(service.reports) == 7)

    await end(runtime, task)

    (line,) = [record.getMessage() for record in caplog.records if "event=runtime_ended" in record.getMessage()]
    assert line == (
        "event=runtime_ended runtime=test-runtime by=stop claimed=8 succeeded=3 errored=2 pruned=1 requeued=2 "
        "refused=0 lost_leases=0 undelivered=0"
    )


async def test_node_that_ignores_its_cancellation_does_not_hold_up_the_end(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exospherehost._runtime.worker_pool.CANCEL_SECONDS", 0.1)
    started, release = asyncio.Event(), asyncio.Event()

    class Stubborn(BaseNode):
        async def execute(self) -> None:
            started.set()
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

    state_id = service.put_state("Stubborn")
    runtime = make_runtime(service, Stubborn, grace_period=0)
    task = asyncio.ensure_future(runtime.run())
    try:
        await asyncio.wait_for(started.wait(), 10)
        runtime.stop()
        await asyncio.wait_for(asyncio.shield(task), 10)
    finally:
        release.set()
        await asyncio.wait_for(asyncio.shield(task), 10)
        await eventually(lambda: len(asyncio.all_tasks()) == 1)

    assert said(service, state_id) == HANDED_BACK
    assert [report.action for report in service.reports] == ["re-enqueue-after"]
    assert f"event=cancellation_ignored node=Stubborn identifier=only state_id={state_id}" in caplog.text


async def test_claim_that_a_real_service_holds_is_handed_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Event()
    claim = RuntimeSession.claim

    async def noted(self: RuntimeSession, *arguments: Any, **options: Any) -> Any:
        asked.set()
        return await claim(self, *arguments, **options)

    monkeypatch.setattr(RuntimeSession, "claim", noted)
    with ServerThread(ServerSettings(api_key=KEY, database=tmp_path / "e.db", port=0)) as server:
        manager = StateManager("ns", server.url, KEY)
        first, second = (Runtime("ns", "rt", [Echo], server.url, KEY, grace_period=5) for _ in range(2))
        task = asyncio.ensure_future(first.run())
        await first.ready()
        await manager.upsert_graph(
            "g", [GraphNodeModel(node_name="Echo", namespace="ns", identifier="only", inputs={"text": "x"})], {}
        )
        asked.clear()
        await asyncio.wait_for(asked.wait(), 10)
        first.stop()
        run_id = str((await manager.trigger("g", inputs={}))["run_id"])
        await asyncio.wait_for(task, 10)
        async with running(second):
            states = await ended(manager, "ns", run_id)

    assert statuses(states) == {("only", "SUCCESS"): 1}
    assert first.stats().succeeded == 0
    assert first.stats().claimed == first.stats().requeued


async def test_runtime_in_another_thread_leaves_nothing_behind(service: FakeStateManager) -> None:
    """Its loop is closed by then, and no thread of it goes on."""

    class Plain(BaseNode):
        def execute(self) -> None:
            """Do nothing."""

    states = [service.put_state("Plain") for _ in range(5)]
    runtime = make_runtime(service, Plain)
    thread = threading.Thread(target=runtime.start, name="test-start")
    thread.start()
    await eventually(lambda: all(service.report_of(state_id) for state_id in states))

    runtime.stop()
    await asyncio.to_thread(thread.join, 10)

    assert not thread.is_alive()
    await eventually(lambda: service.open_connections == 0)


def _is_at_rest(service: FakeStateManager) -> bool:
    """Tell whether a claim that is sent has been answered."""
    return len([asked for asked in list(service.asked) if _is_claim(asked)]) == len(service.claims)


def _is_claim(asked: Asked) -> bool:
    return asked.path.endswith("/enqueue")
