"""A node that takes too long is cancelled, reported as failed with the reason, and holds up nobody."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import signal
import sys
import threading
from contextlib import suppress
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from exospherehost import BaseNode, Execution
from exospherehost._runtime import node_runner
from tests._support.command import Command
from tests._support.eventually import eventually, eventually_sync
from tests._support.fake_state_manager import FakeStateManager, Report
from tests._support.nodes import Echo
from tests._support.process_nodes import Does, EndsBeforeItStarts, HangsTooLong, QuickInProcess
from tests._support.runtimes import KEY, make_runtime, running, threads_left

SHORT = Execution(timeout=0.03)


class Out(BaseModel):
    text: str


async def report(service: FakeStateManager, node: type[BaseNode]) -> Report:
    """Execute one state, see that the only worker still works, and return what was reported."""
    state_id = service.put_state(node.__name__)
    async with running(make_runtime(service, node, Echo, workers=1)) as run:
        said = await eventually(lambda: service.report_of(state_id))
        after = service.put_state("Echo", {"text": "still here"})
        assert (await eventually(lambda: service.report_of(after))).action == "executed"
        assert not run.done()
    return said


async def test_coroutine_is_cancelled_and_reported(service: FakeStateManager, caplog: pytest.LogCaptureFixture) -> None:
    cancelled: list[str] = []

    class Slow(BaseNode):
        execution = SHORT

        async def execute(self) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(self.context.state_id)
                raise

    said = await report(service, Slow)

    assert said.action == "errored"
    assert said.body["error"].startswith("TimeoutError: Slow ran longer than its timeout of 0.03 s")
    assert cancelled == [said.state_id]
    assert f"event=state_errored node=Slow identifier=only state_id={said.state_id}" in caplog.text


async def test_node_that_ends_in_time_is_left_alone(service: FakeStateManager) -> None:
    class Quick(BaseNode[Any, Out]):
        execution = Execution(timeout=30)

        async def execute(self) -> Out:
            await asyncio.sleep(0)
            return Out(text="done")

    assert (await report(service, Quick)).body == {"outputs": [{"text": "done"}]}


@pytest.mark.parametrize("form", ["def", "async def"])
async def test_functions_in_threads_are_left_alone_and_take_no_worker(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture, form: str
) -> None:
    release = threading.Event()
    entered: list[str] = []

    class Hangs(BaseNode):
        execution = Execution(timeout=0.03, kind="thread")

        def execute(self) -> Any:
            entered.append(self.context.state_id)
            assert release.wait(30)

    class HangsAsync(Hangs):
        async def execute(self) -> Any:
            Hangs.execute(self)

    class Plain(BaseNode[Any, Out]):
        def execute(self) -> Out:
            return Out(text=threading.current_thread().name)

    node = Hangs if form == "def" else HangsAsync
    # More than there are workers, each of which would otherwise have lost its thread.
    hanging = [service.put_state(node.__name__) for _ in range(7)]
    async with running(make_runtime(service, node, Plain, workers=2)):
        said = [await eventually(lambda state_id=state_id: service.report_of(state_id)) for state_id in hanging]
        after = service.put_state("Plain")
        assert (await eventually(lambda: service.report_of(after))).action == "executed"
    release.set()

    assert sorted(entered) == sorted(hanging)
    assert all("ran longer than its timeout of 0.03 s" in each.body["error"] for each in said)
    assert "event=threads_left runtime=test-runtime count=7" in caplog.text
    assert len(service.reports) == 8
    await eventually(lambda: not threads_left())


async def test_result_of_a_function_that_was_given_up_is_dropped(service: FakeStateManager) -> None:
    release = threading.Event()
    left = threading.Event()

    class Hangs(BaseNode[Any, Out]):
        execution = SHORT

        def execute(self) -> Out:
            assert release.wait(30)
            left.set()
            return Out(text="too late")

    state_id = service.put_state("Hangs")
    async with running(make_runtime(service, Hangs, Echo)):
        await eventually(lambda: service.report_of(state_id))
        release.set()
        await eventually(left.is_set)
        after = service.put_state("Echo", {"text": "x"})
        await eventually(lambda: service.report_of(after))

    assert [each.action for each in service.reports if each.state_id == state_id] == ["errored"]


async def test_process_is_killed(service: FakeStateManager, tmp_path: Path) -> None:
    service.secrets = {"API-TOKEN": "0123456789"}
    file = tmp_path / "pid"

    async with running(make_runtime(service, Does, HangsTooLong, workers=1)):
        # The process is there by then, so that the time-out is not spent on its start.
        before = service.put_state("Does", {"to-do": "pid"})
        await eventually(lambda: service.report_of(before), within=30)
        state_id = service.put_state("HangsTooLong", {"file": str(file)})
        said = await eventually(lambda: service.report_of(state_id))
        pid = int(file.read_text())
        await eventually(lambda: not _is_running(pid))
        after = service.put_state("Does", {"to-do": "pid"})
        assert (await eventually(lambda: service.report_of(after), within=30)).action == "executed"

    assert "HangsTooLong ran longer than its timeout of 0.5 s" in said.body["error"]


async def test_process_that_had_no_time_to_start_is_not_left_behind(service: FakeStateManager, tmp_path: Path) -> None:
    # One for the whole program, and for as long as it runs.
    resource_tracker.ensure_running()
    before = _children()
    async with running(make_runtime(service, EndsBeforeItStarts, workers=1)):
        for number in range(2):
            state_id = service.put_state("EndsBeforeItStarts", {"file": str(tmp_path / f"pid{number}")})
            said = await eventually(lambda state_id=state_id: service.report_of(state_id), within=30)
            assert "ran longer than its timeout of 0.01 s" in said.body["error"]

    await eventually(lambda: _children() <= before)


async def test_process_that_took_too_long_to_start_serves_the_next_state(service: FakeStateManager) -> None:
    async with running(make_runtime(service, QuickInProcess, workers=1)):
        for _ in range(40):
            state_id = service.put_state("QuickInProcess")
            said = await eventually(lambda state_id=state_id: service.report_of(state_id))
            if said.action == "executed":
                break

    assert said.action == "executed"


async def test_result_that_comes_after_the_deadline_is_dropped(service: FakeStateManager) -> None:
    class Saves(BaseNode[Any, Out]):
        execution = SHORT

        async def execute(self) -> Out:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.sleep(0)
                return Out(text="saved")
            raise AssertionError

    said = await report(service, Saves)

    assert said.action == "errored"
    assert said.body["error"].startswith("TimeoutError: Saves ran longer than its timeout of 0.03 s")


async def test_node_that_swallows_its_cancellation_frees_its_worker_and_the_end(
    service: FakeStateManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(node_runner, "CANCEL_SECONDS", 0.05)
    release = asyncio.Event()

    class Deaf(BaseNode):
        execution = SHORT

        async def execute(self) -> None:
            while not release.is_set():
                with suppress(asyncio.CancelledError):
                    await release.wait()

    states = [service.put_state("Deaf") for _ in range(4)]
    well = service.put_state("Echo", {"text": "well"})
    try:
        # More of them than workers: without the limit nothing would ever be executed again.
        async with running(make_runtime(service, Deaf, Echo, workers=2, grace_period=1)):
            said = [await eventually(lambda each=each: service.report_of(each)) for each in [*states, well]]
    finally:
        release.set()

    assert [each.action for each in said] == ["errored"] * 4 + ["executed"]
    assert all("ran longer than its timeout of 0.03 s" in each.body["error"] for each in said[:4])
    assert caplog.text.count("event=timeout_ignored node=Deaf") == 4


PROGRAM = """
import asyncio, contextlib
from exospherehost import BaseNode, Execution, Runtime

class Deaf(BaseNode):
    execution = Execution(timeout=TIMEOUT)

    async def execute(self):
        print("executing", flush=True)
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

Runtime("ns", "rt", [Deaf], workers=2, poll_interval=0.02, grace_period=0.1).start()
print("ended", flush=True)
"""


@pytest.mark.parametrize("timeout", ["0.05", "None"])
def test_start_returns_although_nodes_swallow_their_cancellation(
    service: FakeStateManager, tmp_path: Path, timeout: str
) -> None:
    states = [service.put_state("Deaf") for _ in range(2)]
    (tmp_path / "program.py").write_text(PROGRAM.replace("TIMEOUT", timeout))
    environment = {"EXOSPHERE_STATE_MANAGER_URI": service.uri, "EXOSPHERE_API_KEY": KEY}
    with Command(folder=tmp_path, environment=environment, command=(sys.executable, "program.py")) as command:
        eventually_sync(lambda: command.output.count("executing") == 2)
        if timeout != "None":
            eventually_sync(lambda: all(service.report_of(each) for each in states))
        command.process.send_signal(signal.SIGTERM)
        assert command.wait() == 0
        assert command.output.endswith("ended\n")
        assert "was destroyed" not in command.errors

    expected = "re-enqueue-after" if timeout == "None" else "errored"
    assert {report.action for each in states if (report := service.report_of(each))} == {expected}


@pytest.mark.parametrize("how", ["other error", "own time-out", "in finally"])
async def test_error_on_the_way_out_does_not_hide_the_time_out(service: FakeStateManager, how: str) -> None:
    class Fails(BaseNode):
        execution = SHORT

        async def execute(self) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if how == "other error":
                    raise ConnectionError("cannot roll back") from None
                if how == "own time-out":
                    raise TimeoutError("cannot roll back") from None
                raise
            finally:
                if how == "in finally":
                    {}["cannot roll back"]

    said = await report(service, Fails)

    assert said.action == "errored"
    assert "Fails ran longer than its timeout of 0.03 s" in said.body["error"]


@pytest.mark.parametrize("limit", [None, 30])
@pytest.mark.parametrize("how", ["raised", "asyncio.timeout", "asyncio.wait_for"])
async def test_time_out_of_the_nodes_own_is_an_error_like_others(
    service: FakeStateManager, limit: float | None, how: str
) -> None:
    class OwnTimeout(BaseNode):
        execution = Execution(timeout=limit)

        async def execute(self) -> None:
            if how == "raised":
                raise TimeoutError("the database is late")
            if how == "asyncio.timeout":
                async with asyncio.timeout(0.001):
                    await asyncio.Event().wait()
            await asyncio.wait_for(asyncio.Event().wait(), 0.001)

    said = await report(service, OwnTimeout)

    assert said.body["error"].startswith("TimeoutError")
    assert "in execute" in said.body["error"]
    assert "ran longer" not in said.body["error"]


@pytest.mark.parametrize("form", ["async def", "def"])
async def test_deadline_is_known_to_the_node(service: FakeStateManager, form: str) -> None:
    deadlines: list[dt.datetime | None] = []

    class Limited(BaseNode):
        execution = Execution(timeout=3600)

        async def execute(self) -> Any:
            deadlines.append(self.context.deadline)

    class LimitedPlain(Limited):
        def execute(self) -> Any:
            deadlines.append(self.context.deadline)

    before = dt.datetime.now(dt.UTC)
    await report(service, Limited if form == "async def" else LimitedPlain)
    after = dt.datetime.now(dt.UTC)

    (deadline,) = deadlines
    assert deadline is not None
    assert deadline.utcoffset() == dt.timedelta(0)
    assert before <= deadline - dt.timedelta(hours=1) <= after


async def test_without_a_time_out_there_is_no_deadline(service: FakeStateManager) -> None:
    class Unlimited(BaseNode[Any, Out]):
        async def execute(self) -> Out:
            return Out(text=repr(self.context.deadline))

    assert (await report(service, Unlimited)).body == {"outputs": [{"text": "None"}]}


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _children() -> set[str]:
    return {child for listed in Path("/proc/self/task").glob("*/children") for child in listed.read_text().split()}
