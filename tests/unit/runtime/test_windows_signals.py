"""Where an event loop takes no signal handlers, as on Windows, Ctrl-C and Ctrl-Break stop a runtime all the same."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

from exospherehost._runtime.foreground import ONE_STOP_SECONDS
from tests._support.command import Command
from tests._support.eventually import eventually_sync
from tests._support.fake_state_manager import FakeStateManager
from tests._support.runtimes import KEY

PROGRAM = """
import asyncio, signal, sys

if not hasattr(signal, "SIGBREAK"):
    signal.SIGBREAK = signal.SIGUSR1  # Ctrl-Break

from pydantic import BaseModel
from exospherehost import BaseNode, Runtime
from exospherehost._runtime import foreground

class Loop(asyncio.SelectorEventLoop):
    def add_signal_handler(self, *_):
        raise NotImplementedError

    def remove_signal_handler(self, *_):
        raise NotImplementedError

foreground._fast_loop_factory = lambda: Loop

class Waits(BaseNode):
    class Inputs(BaseModel):
        seconds: str

    async def execute(self):
        assert type(asyncio.get_running_loop()) is Loop
        print("executing", flush=True)
        await asyncio.sleep(float(self.inputs.seconds))

if "own" in sys.argv:
    signal.signal(signal.SIGTERM, lambda *_: print("own handler", flush=True))
before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGBREAK)]
Runtime("ns", "rt", [Waits], poll_interval=0.05, grace_period=60).start()
after = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGBREAK)]
print("ended, handlers restored:", after == before, flush=True)
"""


@pytest.fixture
def program(service: FakeStateManager, tmp_path: Path) -> Command:
    return _program(service, tmp_path)


def _program(service: FakeStateManager, folder: Path, *arguments: str) -> Command:
    script = folder / "program.py"
    script.write_text(PROGRAM)
    environment = {"EXOSPHERE_STATE_MANAGER_URI": service.uri, "EXOSPHERE_API_KEY": KEY}
    command = (sys.executable, "-W", "error", str(script), *arguments)
    return Command(folder=folder, environment=environment, command=command)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGUSR1, signal.SIGTERM], ids=["Ctrl-C", "Ctrl-Break", "TERM"]
)
def test_idle_runtime_ends(service: FakeStateManager, program: Command, number: signal.Signals) -> None:
    with program:
        eventually_sync(lambda: service.claims, within=30)
        program.process.send_signal(number)
        assert program.wait() == 0, program.errors
        assert program.output == "ended, handlers restored: True\n"
        assert "event=runtime_ended" in program.errors
        assert "Traceback" not in program.errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1], ids=["Ctrl-C", "Ctrl-Break"])
def test_running_state_may_end(service: FakeStateManager, program: Command, number: signal.Signals) -> None:
    state_id = service.put_state("Waits", {"seconds": "0.5"})
    with program:
        program.wait_for("executing")
        program.process.send_signal(number)
        assert program.wait() == 0, program.errors
        assert program.output == "executing\nended, handlers restored: True\n"

    report = service.report_of(state_id)
    assert report is not None
    assert report.action == "executed"


def test_second_signal_cuts_the_grace_period_short(service: FakeStateManager, program: Command) -> None:
    state_id = service.put_state("Waits", {"seconds": "600"})
    with program:
        program.wait_for("executing")
        program.process.send_signal(signal.SIGINT)
        program.wait_for("event=stopping")
        time.sleep(ONE_STOP_SECONDS)
        program.process.send_signal(signal.SIGUSR1)
        assert program.wait() == 0, program.errors
        assert program.output.endswith("ended, handlers restored: True\n")

    report = service.report_of(state_id)
    assert report is not None
    assert (report.action, report.body) == ("re-enqueue-after", {"enqueue_after": 1})


def test_handler_of_the_program_is_left_alone(service: FakeStateManager, tmp_path: Path) -> None:
    with _program(service, tmp_path, "own") as program:
        eventually_sync(lambda: service.claims, within=30)
        program.process.send_signal(signal.SIGTERM)
        program.wait_for("own handler")
        claims = len(service.claims)
        eventually_sync(lambda: len(service.claims) > claims + 2)
        program.process.send_signal(signal.SIGINT)
        assert program.wait() == 0, program.errors
        assert program.output == "own handler\nended, handlers restored: True\n"
