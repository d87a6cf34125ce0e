"""`exospherehost run MODULE:RUNTIME`."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests._support.command import COMMAND, Command
from tests._support.eventually import eventually_sync
from tests._support.fake_state_manager import FakeStateManager
from tests._support.http_service import Answer
from tests._support.runtimes import KEY

APP = """
import asyncio
from exospherehost import BaseNode, Runtime

class Waits(BaseNode):
    async def execute(self):
        print("executing", flush=True)
        await asyncio.sleep(3600)

class Empty(BaseNode):
    async def execute(self):
        print("executed", flush=True)

class Holder:
    runtime = Runtime("ns", "rt", [Empty, Waits], poll_interval=0.05, grace_period=0.1)

runtime = Holder.runtime
def make(): return runtime
def wants(argument): return runtime
async def later(): return runtime
def other(): return 3
number = 3
"""


def run(folder: Path, service: FakeStateManager | None, *arguments: str, app: str = APP) -> Command:
    (folder / "app.py").write_text(app, encoding="utf-8")
    environment = {"EXOSPHERE_API_KEY": KEY}
    if service is not None:
        environment["EXOSPHERE_STATE_MANAGER_URI"] = service.uri
    return Command("run", *arguments, folder=folder, environment=environment)


@pytest.mark.parametrize("spec", ["app:runtime", "app:make", "app:Holder.runtime"])
def test_it_runs_a_runtime_or_what_a_function_returns(tmp_path: Path, service: FakeStateManager, spec: str) -> None:
    state_id = service.put_state("Empty")
    with run(tmp_path, service, spec) as command:
        command.wait_for("executed")
        eventually_sync(lambda: service.report_of(state_id))
        assert command.interrupt() == 0
        assert "event=runtime_ended" in command.errors
        assert "Traceback" not in command.errors


def test_command_without_python_in_front_finds_the_module_too(tmp_path: Path, service: FakeStateManager) -> None:
    program = Path(COMMAND[0]).with_name("exospherehost")
    if not program.exists():
        pytest.skip("the package is not installed")
    (tmp_path / "app.py").write_text(APP, encoding="utf-8")
    environment = {"EXOSPHERE_API_KEY": KEY, "EXOSPHERE_STATE_MANAGER_URI": service.uri}
    with Command("run", "app:runtime", folder=tmp_path, environment=environment, command=[str(program)]) as command:
        command.wait_for("event=runtime_started")
        assert command.interrupt() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_signal_hands_back_what_runs_and_exits_with_0(
    tmp_path: Path, service: FakeStateManager, number: signal.Signals
) -> None:
    state_id = service.put_state("Waits")
    with run(tmp_path, service, "app:runtime") as command:
        command.wait_for("executing")
        command.process.send_signal(number)
        assert command.wait() == 0
        assert "Traceback" not in command.errors
    report = service.report_of(state_id)
    assert report is not None
    assert report.action == "re-enqueue-after"


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("app", "'app' is not MODULE:NAME"),
        ("app:", "'app:' is not MODULE:NAME"),
        (":runtime", "':runtime' is not MODULE:NAME"),
        ("app.py:runtime", "'app.py' is a file; name it as it is imported, such as app:runtime"),
        ("./sub/app.py:runtime", "such as sub.app:runtime"),
        ("missing:runtime", "there is no module 'missing' in"),
        ("missing.below:runtime", "there is no module 'missing' in"),
        ("app.below:runtime", "there is no module 'app.below' in"),
        ("app:none", "module 'app' has no 'none'; it has runtime"),
        ("app:runtime.none", "module 'app' has no 'runtime.none'"),
        ("app:number", "app:number is an object of type int; name a Runtime or a function that returns one"),
        ("app:Empty", "app:Empty is an object of type ABCMeta; name a Runtime"),
        ("app:wants", "app:wants needs arguments"),
        ("app:other", "app:other returned an object of type int; return a Runtime"),
        ("app:later", "app:later is an async function"),
    ],
)
def test_what_is_no_runtime_is_a_usage_error(tmp_path: Path, service: FakeStateManager, spec: str, text: str) -> None:
    with run(tmp_path, service, spec) as command:
        assert command.wait() == 2
        # click breaks lines where it likes.
        assert text in " ".join(command.errors.split())
        assert "Traceback" not in command.errors


def test_missing_setting_is_one_line(tmp_path: Path) -> None:
    with run(tmp_path, None, "app:runtime") as command:
        assert command.wait() == 1
        assert "Error: state_manager_uri is missing" in command.errors
        assert "Traceback" not in command.errors


def test_refused_registration_is_one_line(tmp_path: Path, service: FakeStateManager) -> None:
    service.before = lambda _: Answer(401, {"detail": "Invalid API key"})
    with run(tmp_path, service, "app:runtime") as command:
        assert command.wait() == 1
        assert "Error: " in command.errors
        assert "401" in command.errors
        assert "Traceback" not in command.errors


@pytest.mark.parametrize(
    ("app", "last"),
    [
        ("import not_installed_here", "ModuleNotFoundError: No module named 'not_installed_here'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def runtime(): 1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_fault_of_the_module_shows_its_trace(tmp_path: Path, service: FakeStateManager, app: str, last: str) -> None:
    with run(tmp_path, service, "app:runtime", app=app) as command:
        assert command.wait() == 1
        assert command.errors.splitlines()[-1] == last
        assert "app.py" in command.errors
        # And nothing of what led there.
        assert command.errors.count("File ") == 1


def test_interrupt_while_the_module_is_imported_ends_it(tmp_path: Path, service: FakeStateManager) -> None:
    app = "import time; print('importing', flush=True); time.sleep(60)"
    with run(tmp_path, service, "app:runtime", app=app) as command:
        command.wait_for("importing")
        assert command.interrupt() == 130
        assert "Traceback" not in command.errors
