"""SIGINT and SIGTERM end a blocking runtime in good order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exospherehost._runtime.foreground import ONE_STOP_SECONDS
from tests._support.command import Command
from tests._support.eventually import eventually_sync
from tests._support.fake_state_manager import FakeStateManager
from tests._support.runtimes import KEY

PROGRAM = """
import asyncio, signal, sys, threading
from exospherehost import BaseNode, Runtime

class Waits(BaseNode):
    async def execute(self):
        print("started", flush=True)
        await asyncio.Event().wait()

class Lasts(BaseNode):
    async def execute(self):
        print("started", flush=True)
        await asyncio.sleep(1)

class Blocks(BaseNode):
    def execute(self):
        print("started", flush=True)
        threading.Event().wait()

if "own-handler" in sys.argv:
    signal.signal(signal.SIGTERM, lambda *_: print("own handler", flush=True))
Runtime("ns", "rt", [Waits, Lasts, Blocks], poll_interval=0.05, grace_period=float(sys.argv[1])).start()
print("ended", signal.getsignal(signal.SIGINT) is signal.default_int_handler, flush=True)
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(service: FakeStateManager, tmp_path: Path) -> Iterator[Start]:
    processes: list[subprocess.Popen[str]] = []
    timers: list[threading.Timer] = []
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)

    def begin(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", str(script), *arguments],
            env={**os.environ, "EXOSPHERE_STATE_MANAGER_URI": service.uri, "EXOSPHERE_API_KEY": KEY},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        # So that no test waits for ever for a line of a program that hangs.
        timer = threading.Timer(60, process.kill)
        timers.append(timer)
        timer.start()
        return process

    yield begin
    for timer in timers:
        timer.cancel()
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_idle_runtime_ends_with_success(service: FakeStateManager, start: Start, number: signal.Signals) -> None:
    process = start("30")
    eventually_sync(lambda: service.claims, within=30)

    process.send_signal(number)
    out, err = process.communicate(timeout=20)

    assert process.returncode == 0, err
    assert out == "ended True\n"
    assert "Traceback" not in err


@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)])
def test_second_signal_cuts_the_grace_period_short(
    service: FakeStateManager, start: Start, numbers: tuple[signal.Signals, signal.Signals]
) -> None:
    state_id = service.put_state("Waits")
    process = start("600")
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"

    assert process.stderr is not None
    process.send_signal(numbers[0])
    while "event=stopping" not in process.stderr.readline():
        assert process.poll() is None
    time.sleep(ONE_STOP_SECONDS)
    process.send_signal(numbers[1])
    out, err = process.communicate(timeout=20)

    assert process.returncode == 0, err
    assert out == "ended True\n"
    report = service.report_of(state_id)
    assert report is not None
    assert report.action == "re-enqueue-after"


def test_signals_at_once_are_one(service: FakeStateManager, start: Start) -> None:
    state_id = service.put_state("Lasts")
    process = start("600")
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"

    # Two different ones, since the system may deliver two equal ones as one.
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)

    assert process.returncode == 0, err
    report = service.report_of(state_id)
    assert report is not None
    assert report.action == "executed"


def test_grace_period_ends_by_itself(service: FakeStateManager, start: Start) -> None:
    state_id = service.put_state("Waits")
    process = start("0.2")
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"

    process.terminate()
    process.communicate(timeout=20)

    assert process.returncode == 0
    assert service.report_of(state_id) is not None


def test_plain_function_that_never_ends_can_be_interrupted(service: FakeStateManager, start: Start) -> None:
    state_id = service.put_state("Blocks")
    process = start("0")
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"

    process.send_signal(signal.SIGINT)
    eventually_sync(lambda: service.report_of(state_id))
    # From here on Python waits for the thread, with its own handlers.
    assert process.stdout.readline() == "ended True\n"
    process.terminate()

    assert process.wait(timeout=20) == -signal.SIGTERM


def test_handler_of_the_program_is_left_alone(service: FakeStateManager, start: Start) -> None:
    process = start("0", "own-handler")
    eventually_sync(lambda: service.claims, within=30)

    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    assert process.stdout.readline() == "own handler\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)

    assert process.returncode == 0, err
    assert out == "ended True\n"


TWO = """
from exospherehost import BaseNode, Runtime

class Only(BaseNode):
    async def execute(self): ...

Runtime("ns", "first", [Only], poll_interval=0.02).start()
print("between", flush=True)
Runtime("ns", "second", [Only], poll_interval=0.02).start()
print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_ends_the_starts_that_follow_too(
    service: FakeStateManager, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "program.py").write_text(TWO)
    environment = {"EXOSPHERE_STATE_MANAGER_URI": service.uri, "EXOSPHERE_API_KEY": KEY}
    with Command(folder=tmp_path, environment=environment, command=(sys.executable, "program.py")) as command:
        command.wait_for("event=runtime_started")
        command.process.send_signal(number)
        assert command.wait() == 0
        assert command.output == "between\nended\n"
        assert "event=start_after_stop_signal runtime=second" in command.errors
