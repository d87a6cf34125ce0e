"""However the loop of a program ends, finished outcomes are delivered and unfinished states handed back."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

from tests._support.command import Command
from tests._support.eventually import eventually_sync
from tests._support.fake_state_manager import FakeStateManager
from tests._support.http_service import Asked

PROGRAM = Path(__file__).with_name("quick_start.py")


def program(service: FakeStateManager, folder: Path, *arguments: str) -> Command:
    return Command(folder=folder, command=(sys.executable, str(PROGRAM), service.uri, *arguments))


def put(service: FakeStateManager) -> tuple[list[str], list[str]]:
    """States that end at once, and states that outlast the program."""
    ending = [service.put_state("Waits", {"seconds": "0"}) for _ in range(20)]
    lasting = [service.put_state(name, {"seconds": "600"}) for name in ("Waits", "WaitsForATask") for _ in range(3)]
    return ending, lasting


def actions(service: FakeStateManager, states: list[str]) -> set[str | None]:
    return {None if (report := service.report_of(state)) is None else report.action for state in states}


def slow_report(asked: Asked) -> None:
    if asked.path.endswith(("/executed", "/re-enqueue-after")):
        time.sleep(0.4)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("how", ["wait", "return", "raise", "cancel-all", "loop-stop"])
def test_nothing_that_was_claimed_is_lost(service: FakeStateManager, tmp_path: Path, how: str, loop: str) -> None:
    ending, lasting = put(service)
    with program(service, tmp_path, how, loop) as command:
        command.wait_for("busy")
        if how == "wait":
            command.process.send_signal(signal.SIGINT)
        status = command.wait()
        errors = command.errors

    assert status == {"wait": -signal.SIGINT, "raise": 1, "loop-stop": 1}.get(how, 0)
    assert actions(service, ending) <= {"executed", "re-enqueue-after", None}
    assert actions(service, lasting) == {"re-enqueue-after"}
    claimed = {*ending, *lasting} - {state["state_id"] for state in service._waiting}
    assert {state for state in claimed if service.report_of(state) is None} == set()
    ours = [line for line in errors.splitlines() if "event=" in line]
    assert [line for line in ours if "event=runtime_ended" in line and "by=cancellation" in line]
    assert [line for line in ours if "| WARNING |" in line or "| ERROR |" in line] == []
    assert "was never awaited" not in errors
    assert "was destroyed" not in errors
    assert "exospherehost" not in errors.partition("Traceback")[2].replace(ours[-1], "")


def test_outcomes_that_the_service_is_slow_to_take_are_delivered(service: FakeStateManager, tmp_path: Path) -> None:
    ending, lasting = put(service)
    with program(service, tmp_path, "wait") as command:
        command.wait_for("busy")
        service.before = slow_report
        late = [service.put_state("Waits", {"seconds": "0"}) for _ in range(2)]
        eventually_sync(lambda: command.output.count("executing 0") >= len(ending) + len(late))
        command.process.send_signal(signal.SIGINT)
        command.wait()

    assert actions(service, late) == {"executed"}
    assert actions(service, lasting) == {"re-enqueue-after"}
