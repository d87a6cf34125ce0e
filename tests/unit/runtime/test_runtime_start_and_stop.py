"""A runtime starts where it is told to, and ends in good order."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from exospherehost import AuthenticationError, BaseNode, Runtime
from tests._support.command import Command
from tests._support.eventually import eventually, eventually_sync
from tests._support.fake_state_manager import FakeStateManager
from tests._support.http_service import DROP, Answer, Asked
from tests._support.nodes import Echo
from tests._support.runtimes import KEY, make_runtime, running, threads_left


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """Every test ends without a task or a thread of the runtime."""
    yield
    ours = asyncio.current_task()
    await eventually(lambda: not [task for task in asyncio.all_tasks() if task is not ours])
    await eventually(lambda: not threads_left())


class Waits(BaseNode):
    """Waits until it is cancelled or released."""

    started = 0
    cancelled = 0
    release: asyncio.Event

    async def execute(self) -> None:
        Waits.started += 1
        try:
            await Waits.release.wait()
        except asyncio.CancelledError:
            Waits.cancelled += 1
            raise


@pytest.fixture(autouse=True)
async def fresh_waits() -> None:
    Waits.started = Waits.cancelled = 0
    Waits.release = asyncio.Event()


def in_thread(runtime: Runtime) -> tuple[threading.Thread, list[Any]]:
    """Call start() in a thread of its own; the list gets what it returned or raised."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(runtime.start())
        except BaseException as error:  # noqa: BLE001 - given to the test
            results.append(error)

    thread = threading.Thread(target=run, name="test-start")
    thread.start()
    return thread, results


async def test_start_inside_a_loop_returns_the_task(service: FakeStateManager) -> None:
    runtime = make_runtime(service, Echo)

    task = runtime.start()

    assert isinstance(task, asyncio.Task)
    state_id = service.put_state("Echo", {"text": "x"})
    await eventually(lambda: service.report_of(state_id))
    runtime.stop()
    assert await asyncio.wait_for(task, 10) is None


async def test_start_in_another_thread_blocks_until_stopped(service: FakeStateManager) -> None:
    runtime = make_runtime(service, Echo)

    thread, results = in_thread(runtime)
    state_id = service.put_state("Echo", {"text": "x"})
    await eventually(lambda: service.report_of(state_id))
    assert thread.is_alive()
    runtime.stop()
    await asyncio.to_thread(thread.join, 10)

    assert results == [None]


async def test_start_raises_what_the_registration_raises(service: FakeStateManager) -> None:
    from exospherehost import AuthenticationError

    service.before = lambda _: Answer(401, {"detail": "Invalid API key"})

    thread, results = in_thread(make_runtime(service, Echo))
    await asyncio.to_thread(thread.join, 10)

    assert [type(each) for each in results] == [AuthenticationError]


def test_blocking_start_leaves_the_thread_without_a_loop(service: FakeStateManager) -> None:
    runtime = make_runtime(service, Echo)
    stopper = threading.Thread(target=lambda: (eventually_sync(lambda: service.claims), runtime.stop()))
    stopper.start()

    assert runtime.start() is None

    stopper.join()
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


async def test_stop_is_idempotent_and_thread_safe(service: FakeStateManager) -> None:
    runtime = make_runtime(service, Echo)

    async with running(runtime) as task:
        await eventually(lambda: service.claims)
        threads = [threading.Thread(target=runtime.stop) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        await asyncio.wait_for(asyncio.shield(task), 10)
    runtime.stop()


async def test_stop_before_the_start_ends_it_at_once(service: FakeStateManager) -> None:
    runtime = make_runtime(service, Echo)
    runtime.stop()

    await asyncio.wait_for(runtime.run(), 10)

    assert service.claims == []


async def test_runtime_can_run_again(service: FakeStateManager) -> None:
    runtime = make_runtime(service, Echo)
    for number in (1, 2):
        async with running(runtime):
            state_id = service.put_state("Echo", {"text": str(number)})
            await eventually(lambda state_id=state_id: service.report_of(state_id))

    assert len(service.registrations) == 2


async def test_second_run_at_the_same_time_is_refused(service: FakeStateManager) -> None:
    runtime = make_runtime(service, Echo)

    async with running(runtime):
        await eventually(lambda: service.claims)
        with pytest.raises(RuntimeError, match="running already"):
            await runtime.run()
        state_id = service.put_state("Echo", {"text": "x"})
        await eventually(lambda: service.report_of(state_id))


async def test_stop_lets_running_states_end(service: FakeStateManager) -> None:
    states = [service.put_state("Waits") for _ in range(3)]
    runtime = make_runtime(service, Waits, grace_period=60)

    async with running(runtime) as task:
        await eventually(lambda: Waits.started == 3)
        runtime.stop()
        claims = len(service.claims)
        service.put_state("Waits")
        assert not task.done()
        Waits.release.set()
        await asyncio.wait_for(asyncio.shield(task), 10)

    assert [service.report_of(state_id).action for state_id in states] == ["executed"] * 3  # type: ignore[union-attr]
    assert Waits.cancelled == 0
    assert len(service.claims) <= claims + 1


async def test_states_that_outlast_the_grace_period_are_handed_back(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture
) -> None:
    states = [service.put_state("Waits") for _ in range(3)]
    runtime = make_runtime(service, Waits, grace_period=0.05)

    async with running(runtime):
        await eventually(lambda: Waits.started == 3)

    assert Waits.cancelled == 3
    assert "cancelled=3 states=handed_back" in caplog.text
    for state_id in states:
        said = service.report_of(state_id)
        assert said is not None
        assert (said.action, said.body) == ("re-enqueue-after", {"enqueue_after": 1})


async def test_claimed_states_that_have_not_started_are_handed_back(service: FakeStateManager) -> None:
    claimed = threading.Event()
    go_on = threading.Event()

    def slow_claim(asked: Asked) -> Answer | None:
        if asked.path.endswith("/enqueue") and service.report_of(states[0]) is None:
            claimed.set()
            assert go_on.wait(20)
        return None

    states = [service.put_state("Waits") for _ in range(3)]
    service.before = slow_claim
    runtime = make_runtime(service, Waits)

    async with running(runtime):
        await eventually(claimed.is_set)
        runtime.stop()
        go_on.set()

    assert Waits.started == 0
    assert {report.state_id: report.action for report in service.reports} == dict.fromkeys(states, "re-enqueue-after")


@pytest.mark.parametrize("moment", ["registering", "claiming", "executing", "idle"])
async def test_cancelled_task_hands_back_and_ends(service: FakeStateManager, moment: str) -> None:
    go_on = threading.Event()
    reached = threading.Event()

    def hold(asked: Asked) -> Answer | None:
        held = {"registering": "/nodes/", "claiming": "/enqueue"}.get(moment)
        if held and asked.path.endswith(held):
            reached.set()
            assert go_on.wait(20)
        return None

    service.before = hold
    state_id = service.put_state("Waits") if moment in ("claiming", "executing") else None
    task = make_runtime(service, Waits, grace_period=60).start()
    assert task is not None
    match moment:
        case "executing":
            await eventually(lambda: Waits.started)
        case "idle":
            await eventually(lambda: len(service.claims) > 1)
        case _:
            await eventually(reached.is_set)

    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 15)

    if state_id is not None:
        said = await eventually(lambda: service.report_of(state_id))
        assert said.action == "re-enqueue-after"


async def test_outcome_of_a_node_that_ends_while_it_is_cancelled_is_reported(service: FakeStateManager) -> None:
    started = asyncio.Event()

    class Finishes(Echo):
        async def execute(self) -> Echo.Outputs:
            started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return self.Outputs(text="saved")
            raise AssertionError

    state_id = service.put_state("Finishes", {"text": "x"})
    async with running(make_runtime(service, Finishes, grace_period=0)):
        await asyncio.wait_for(started.wait(), 10)

    said = service.report_of(state_id)
    assert said is not None
    assert (said.action, said.body) == ("executed", {"outputs": [{"text": "saved"}]})


async def test_report_in_flight_is_finished_when_the_task_is_cancelled(service: FakeStateManager) -> None:
    arrived = threading.Event()
    go_on = threading.Event()

    def slow_report(asked: Asked) -> Answer | None:
        if asked.path.endswith("/executed"):
            arrived.set()
            assert go_on.wait(20)
        return None

    service.before = slow_report
    state_id = service.put_state("Echo", {"text": "x"})
    task = make_runtime(service, Echo).start()
    assert task is not None
    await eventually(arrived.is_set)

    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 15)

    assert [report.action for report in service.reports if report.state_id == state_id] == ["executed"]


async def test_service_that_is_gone_does_not_hold_up_the_end_for_ever(
    service: FakeStateManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from exospherehost._runtime import coordinator

    monkeypatch.setattr(coordinator, "LAST_REPORTS_SECONDS", 0.2)
    for _ in range(3):
        service.put_state("Waits")
    service.put_state("Echo", {"text": "x"})

    async with running(make_runtime(service, Waits, Echo, grace_period=0.05)):
        service.before = lambda asked: DROP if "/state/" in asked.path else None
        await eventually(lambda: Waits.started == 3)
        await eventually(lambda: any(path.endswith("/executed") for path in service.paths()))

    assert caplog.text.count("event=report_failed") == 4
    assert service.reports == []


async def test_plain_function_that_outlasts_the_grace_period_is_left_alone(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()
    entered = threading.Event()

    class Blocks(BaseNode):
        def execute(self) -> None:
            entered.set()
            assert release.wait(30)

    state_id = service.put_state("Blocks")
    runtime = make_runtime(service, Blocks, grace_period=0)
    async with running(runtime) as task:
        await eventually(entered.is_set)
        runtime.stop()
        await asyncio.wait_for(task, 15)
    release.set()

    said = service.report_of(state_id)
    assert said is not None
    assert said.action == "re-enqueue-after"
    assert "event=threads_left" in caplog.text


async def test_tasks_have_names(service: FakeStateManager) -> None:
    state_id = service.put_state("Waits")
    runtime = make_runtime(service, Waits, grace_period=0)
    task = runtime.start()
    assert task is not None
    await eventually(lambda: Waits.started)

    names = {each.get_name() for each in asyncio.all_tasks()}
    runtime.stop()
    await task

    assert "exospherehost-runtime-test-runtime" in names
    assert f"exospherehost-state-{state_id}" in names


async def test_ready_after_a_run_that_failed_says_so(service: FakeStateManager) -> None:
    service.before = lambda asked: Answer(401, {"detail": "no"}) if asked.path.endswith("/nodes/") else None
    runtime = make_runtime(service, Echo)
    with pytest.raises(AuthenticationError):
        await runtime.run()

    with pytest.raises(RuntimeError, match="ended before its nodes were registered"):
        await asyncio.wait_for(runtime.ready(), 5)


async def test_ready_waits_for_the_run_that_follows(service: FakeStateManager) -> None:
    runtime = make_runtime(service, Echo)
    for _ in range(2):
        task = asyncio.create_task(runtime.run())
        await asyncio.wait_for(runtime.ready(), 5)
        runtime.stop()
        await task


async def test_stop_after_the_end_does_not_stop_the_next_run(service: FakeStateManager) -> None:
    runtime = make_runtime(service, Echo)
    async with running(runtime):
        pass
    runtime.stop()
    runtime.stop()

    state_id = service.put_state("Echo", {"text": "again"})
    async with running(runtime):
        assert (await eventually(lambda: service.report_of(state_id))).action == "executed"


async def test_a_failed_start_beside_a_running_loop_is_logged(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture
) -> None:
    service.before = lambda asked: Answer(401, {"detail": "no"}) if asked.path.endswith("/nodes/") else None
    task = make_runtime(service, Echo).start()
    assert task is not None
    await asyncio.wait((task,))
    await asyncio.sleep(0)

    assert "event=runtime_failed runtime=test-runtime reason=" in caplog.text
    assert "401" in caplog.text
    with pytest.raises(AuthenticationError):
        task.result()


EXITS = """
import asyncio, sys
from exospherehost import BaseNode, Runtime

class Exits(BaseNode):
    async def execute(self):
        async def leave():
            sys.exit("a mistake")
        await asyncio.create_task(leave())

class Lasts(BaseNode):
    async def execute(self):
        print("lasting", flush=True)
        await asyncio.sleep(0.3)

Runtime("ns", "rt", [Exits, Lasts], workers=4, poll_interval=0.02).start()
"""


def test_exit_in_a_task_of_a_node_ends_neither_runtime_nor_neighbours(
    service: FakeStateManager, tmp_path: Path
) -> None:
    lasting = service.put_state("Lasts")
    (tmp_path / "program.py").write_text(EXITS)
    environment = {"EXOSPHERE_STATE_MANAGER_URI": service.uri, "EXOSPHERE_API_KEY": KEY}
    with Command(folder=tmp_path, environment=environment, command=(sys.executable, "program.py")) as command:
        command.wait_for("lasting")
        exiting = service.put_state("Exits")
        eventually_sync(lambda: service.report_of(lasting))
        eventually_sync(lambda: service.report_of(exiting))
        later = service.put_state("Lasts")
        eventually_sync(lambda: service.report_of(later))
        command.process.send_signal(signal.SIGTERM)
        assert command.wait() == 0
        assert "event=exit_ignored" in command.errors

    reports = [service.report_of(each) for each in (lasting, later, exiting)]
    assert [report and report.action for report in reports] == ["executed", "executed", "errored"]
    assert "SystemExit: a mistake" in reports[2].body["error"]  # type: ignore[union-attr]
