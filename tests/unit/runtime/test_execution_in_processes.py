"""A node of kind "process" runs in a process of its own, and behaves as it would in the program's."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from exospherehost import BaseNode, ConfigurationError, Execution
from tests._support.command import Command
from tests._support.eventually import eventually, eventually_sync
from tests._support.fake_state_manager import FakeStateManager, Report
from tests._support.nodes import Echo
from tests._support.process_nodes import Does, DoesAsync, Hangs, WaitsForFile
from tests._support.runtimes import KEY, make_runtime, running

SECRET = "s3cr3t-t0k3n-0123456789abcdef"
LONG = 30.0
"""Seconds; on a busy machine it takes a while to start a process."""

HOW = [name for name in vars(Does) if not name.startswith("_") and name not in ("Inputs", "Outputs", "Secrets")]
HOW = [name for name in HOW if name not in ("execution", "execute")]
FORMS: dict[str, type[BaseNode]] = {"def": Does, "async def": DoesAsync}

Said = Callable[[str], Report]


@asynccontextmanager
async def opened() -> AsyncIterator[object]:
    """Gives what cannot be sent to another process."""
    yield threading.Lock()


@pytest.fixture(scope="module")
def all_reports() -> Mapping[tuple[str, str], Report]:
    """What is reported of each node, having done each thing: in one runtime, since processes start slowly."""

    async def work(service: FakeStateManager) -> dict[tuple[str, str], Report]:
        states = {
            (form, how): service.put_state(node.__name__, {"to-do": how, "text": "input"}, identifier="the-identifier")
            for form, node in FORMS.items()
            for how in HOW
        }
        async with running(make_runtime(service, *FORMS.values(), lifespan=opened, workers=2)):
            await eventually(lambda: all(service.report_of(state_id) for state_id in states.values()), within=60)
        return {key: _there(service.report_of(state_id)) for key, state_id in states.items()}

    with FakeStateManager() as service:
        service.secrets = {"API-TOKEN": SECRET}
        return asyncio.run(work(service))


@pytest.fixture(params=list(FORMS))
def said(request: pytest.FixtureRequest, all_reports: Mapping[tuple[str, str], Report]) -> Said:
    return lambda how: all_reports[request.param, how]


# ---- what goes in and comes out ------------------------------------------------------------------


def test_it_runs_in_another_process(said: Said) -> None:
    assert int(said("pid").body["outputs"][0]["the-text"]) != os.getpid()


@pytest.mark.parametrize(
    ("how", "outputs"),
    [
        ("one", [{"the-text": f"input {len(SECRET)}"}]),
        ("several", [{"the-text": "1"}, {"the-text": "2"}]),
        ("none", []),
    ],
)
def test_inputs_and_secrets_reach_it_and_outputs_are_reported(said: Said, how: str, outputs: list[Any]) -> None:
    assert (said(how).action, said(how).body) == ("executed", {"outputs": outputs})


def test_context_reaches_it(said: Said, request: pytest.FixtureRequest) -> None:
    (text,) = said("context_fields").body["outputs"]

    name = FORMS[request.node.callspec.params["said"]].__name__
    assert text == {"the-text": f"ns {name} the-identifier"}


def test_what_the_lifespan_shares_stays_outside(said: Said) -> None:
    assert said("shared").body["outputs"] == [{"the-text": "None"}]


@pytest.mark.parametrize("how", ["prints", "writes_to_the_descriptor"])
def test_output_of_its_own_does_no_harm(said: Said, how: str) -> None:
    assert said(how).action == "executed", said(how).body


def test_prune(said: Said) -> None:
    assert (said("prune").action, said("prune").body) == ("prune", {"data": {"why": "duplicate"}})


def test_requeue(said: Said) -> None:
    assert (said("requeue").action, said("requeue").body) == ("re-enqueue-after", {"enqueue_after": 2000})


# ---- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("value_error", "ValueError: no such customer: [redacted]"),
        ("empty_error", "RuntimeError"),
        ("exit", "SystemExit: with [redacted]"),
        ("interrupt", "KeyboardInterrupt"),
        ("base_exception", "Ended: everything"),
        ("generator_exit", "GeneratorExit"),
        ("cancelled", "CancelledError: by itself"),
        ("group", "ExceptionGroup: both"),
        ("unpicklable_error", "ValueError: holds a function"),
    ],
)
def test_whatever_it_lets_out_is_reported(said: Said, how: str, text: str) -> None:
    assert said(how).action == "errored"
    error = said(how).body["error"]
    assert error.splitlines()[0].startswith(text)
    assert f"in {how}" in error
    assert "process_nodes.py" in error
    assert "_execution.py" not in error


def test_stop_iteration_is_reported(said: Said) -> None:
    # Python makes it a RuntimeError where it leaves a coroutine.
    assert "StopIteration" in said("stop_iteration").body["error"]


def test_members_of_a_group_are_named(said: Said) -> None:
    error = said("group").body["error"]

    assert "with ValueError: one" in error
    assert "with KeyError: '[redacted]'" in error


@pytest.mark.parametrize("how", HOW)
def test_secret_is_in_no_report(said: Said, how: str) -> None:
    for piece in (SECRET[:8], SECRET[-8:]):
        assert piece not in str(said(how))


def test_long_text_is_bounded(said: Said) -> None:
    error = said("long_error").body["error"]

    assert error.startswith("ValueError: xxx")
    assert len(error) < 20_000


def test_result_that_cannot_be_passed_on_is_reported(said: Said) -> None:
    assert said("unpicklable_result").action == "errored"
    assert said("unpicklable_result").body["error"]


def test_wrong_return_type_is_reported(said: Said) -> None:
    assert "execute returned a str; return" in said("wrong_type").body["error"]


def test_process_that_ends_is_reported_with_what_is_known(said: Said) -> None:
    error = said("hard_exit").body["error"]

    assert said("hard_exit").action == "errored"
    assert "process" in error
    assert "site-packages" not in error


# ---- its life ------------------------------------------------------------------------------------


async def test_states_go_on_after_a_process_has_ended(service: FakeStateManager) -> None:
    service.secrets = {"API-TOKEN": SECRET}

    async with running(make_runtime(service, Does, workers=1)):
        pids: list[str] = []
        for how in ("pid", "pid", "hard_exit", "pid"):
            state_id = service.put_state("Does", {"to-do": how})
            said = await eventually(lambda state_id=state_id: service.report_of(state_id), within=LONG)
            if how == "pid":
                pids.append(said.body["outputs"][0]["the-text"])

    # A process serves one state after the other, until it dies.
    assert pids[0] == pids[1] != pids[2]


async def test_states_go_on_after_an_idle_process_was_killed(service: FakeStateManager) -> None:
    service.secrets = {"API-TOKEN": SECRET}

    async def executed(state_id: str) -> str:
        said = await eventually(lambda: service.report_of(state_id), within=LONG)
        return str(said.body["outputs"][0]["the-text"])

    async with running(make_runtime(service, Does, workers=1)):
        first = await executed(service.put_state("Does", {"to-do": "pid"}))
        for _ in range(3):
            os.kill(int(first), signal.SIGKILL)
            await eventually(lambda pid=first: pid not in _children(), within=LONG)
            second = await executed(service.put_state("Does", {"to-do": "pid"}))
            assert first != second
            first = second


async def test_no_process_is_left_when_the_runtime_has_ended(service: FakeStateManager) -> None:
    service.secrets = {"API-TOKEN": SECRET}
    # One for the whole program, and for as long as it runs.
    resource_tracker.ensure_running()
    before = _children()

    async with running(make_runtime(service, Does)):
        state_id = service.put_state("Does", {"to-do": "pid"})
        said = await eventually(lambda: service.report_of(state_id), within=LONG)
        assert said.body["outputs"][0]["the-text"] in _children()

    assert _children() <= before


async def test_running_process_may_end_within_the_grace_period(service: FakeStateManager, tmp_path: Path) -> None:
    started, file = tmp_path / "started", tmp_path / "file"
    state_id = service.put_state("WaitsForFile", {"started": str(started), "file": str(file)})

    runtime = make_runtime(service, WaitsForFile, grace_period=60)
    async with running(runtime):
        await eventually(started.exists, within=LONG)
        runtime.stop()
        file.touch()

    assert _there(service.report_of(state_id)).body == {"outputs": [{"the-text": "seen"}]}


async def test_running_process_is_killed_after_the_grace_period(service: FakeStateManager, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    state_id = service.put_state("Hangs", {"file": str(file)})

    async with running(make_runtime(service, Hangs, grace_period=0.05)):
        await eventually(file.exists, within=LONG)

    assert file.read_text() not in _children()
    said = _there(service.report_of(state_id))
    assert (said.action, said.body) == ("re-enqueue-after", {"enqueue_after": 1})


# ---- whole programs ------------------------------------------------------------------------------

PROGRAM = """
import os, sys, time
from pathlib import Path
from pydantic import BaseModel
from exospherehost import BaseNode, Execution, Runtime

class InMain(BaseNode):
    class Inputs(BaseModel):
        text: str
    class Outputs(BaseModel):
        text: str
        pid: str
    execution = Execution(kind="process")
    def execute(self):
        return self.Outputs(text=self.inputs.text, pid=str(os.getpid()))

class Fails(BaseNode):
    execution = Execution(kind="process")
    async def execute(self):
        raise LookupError("from the main module")

class WaitsHere(BaseNode):
    execution = Execution(kind="process")
    def execute(self):
        Path("started").touch()
        while not Path("file").exists():
            time.sleep(0.01)

if __name__ == "__main__":
    print("starts", os.getpid(), flush=True)
    Runtime("ns", "rt", [InMain, Fails, WaitsHere], poll_interval=0.05, grace_period=60).start()
    print("ended", flush=True)
"""


@pytest.fixture
def program(service: FakeStateManager, tmp_path: Path) -> Command:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    environment = {"EXOSPHERE_STATE_MANAGER_URI": service.uri, "EXOSPHERE_API_KEY": KEY}
    return Command(folder=tmp_path, environment=environment, command=(sys.executable, "-W", "error", str(script)))


def test_node_of_the_main_module(service: FakeStateManager, program: Command) -> None:
    ok = service.put_state("InMain", {"text": "x"})
    bad = service.put_state("Fails")

    with program:
        said = eventually_sync(lambda: service.report_of(ok), within=LONG)
        failed = eventually_sync(lambda: service.report_of(bad), within=LONG)
        program.process.terminate()
        status = program.wait()
        output = program.output

    assert said.action == "executed", said.body
    assert said.body["outputs"][0]["text"] == "x"
    assert said.body["outputs"][0]["pid"] != output.split()[1]
    assert failed.body["error"].startswith("LookupError: from the main module")
    assert (status, output.count("starts"), output.count("ended")) == (0, 1, 1)


@pytest.mark.skipif(os.name != "posix", reason="a terminal's Ctrl-C is sent to a process group")
def test_interrupt_at_a_terminal_lets_the_process_end(
    service: FakeStateManager, program: Command, tmp_path: Path
) -> None:
    state_id = service.put_state("WaitsHere")

    with program:
        eventually_sync((tmp_path / "started").exists, within=LONG)
        # As a terminal does: the command leads a group of its own, and all of that gets it.
        os.killpg(program.process.pid, signal.SIGINT)
        eventually_sync(lambda: "Traceback" in program.errors or not service.report_of(state_id), within=LONG)
        (tmp_path / "file").touch()
        status = program.wait()

    assert _there(service.report_of(state_id)).action == "executed", service.reports
    assert status == 0


# ---- classes that no other process can import ------------------------------------------------------


def test_class_made_inside_a_function_is_refused() -> None:
    class Local(Echo):
        execution = Execution(kind="process")

    with pytest.raises(ConfigurationError) as caught:
        make_runtime("http://localhost", Local, Echo)

    assert "Local" in str(caught.value)
    assert "process" in str(caught.value)
    assert "import" in str(caught.value)


def test_class_with_a_model_made_inside_a_function_is_refused() -> None:
    class Inputs(BaseModel):
        text: str

    Importable = type("Does", (Does,), {"Inputs": Inputs, "__module__": Does.__module__})  # noqa: N806 - a class

    # Under its name there is another class.
    with pytest.raises(ConfigurationError, match=r"Does.*process"):
        make_runtime("http://localhost", Importable)


def test_class_made_inside_a_function_may_run_elsewhere() -> None:
    class Local(Echo):
        execution = Execution(kind="thread")

    make_runtime("http://localhost", Local, Does)


def _there(report: Report | None) -> Report:
    assert report is not None
    return report


def _children() -> set[str]:
    return {child for listed in Path("/proc/self/task").glob("*/children") for child in listed.read_text().split()}
