from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests._support.command import COMMAND, Command
from tests._support.eventually import eventually_sync
from tests._support.service import Api

# The documented Quick Start, as it stands.
QUICK_START = """\
from exospherehost import Runtime, BaseNode
from pydantic import BaseModel

class SampleNode(BaseNode):
    class Inputs(BaseModel):
        name: str
        data: str  # v1: strings only

    class Outputs(BaseModel):
        message: str
        processed_data: str  # v1: strings only

    async def execute(self) -> Outputs:
        print(f"Processing data for: {self.inputs.name}")
        # Your processing logic here; serialize complex data to strings (e.g., JSON)
        processed_data = f"completed:{self.inputs.data}"
        return self.Outputs(
            message="success",
            processed_data=processed_data
        )

# Initialize the runtime
Runtime(
    namespace="MyProject",
    name="DataProcessor",
    nodes=[SampleNode]
).start()
"""

# Says what it is, then waits for a signal and says which came.
PATIENT = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _frame: (print("got", number, flush=True), sys.exit(7)))
print("pid", os.getpid(), flush=True)
while True:
    signal.pause()
"""

STUBBORN = """
import os, signal
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _frame: print("ignored", number, flush=True))
print("pid", os.getpid(), flush=True)
while True:
    signal.pause()
"""

# Runs its arguments on a new terminal of their own, which sends Ctrl-C as terminals do.
TAKE_TERMINAL = """
import fcntl, os, sys, termios
terminal = int(sys.argv[1])
fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
os.dup2(terminal, 0)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Terminal:
    """A terminal whose keyboard is the test."""

    def __init__(self) -> None:
        self._keyboard, self._terminal = os.openpty()

    def run(self, folder: Path, text: str) -> Command:
        """Run a script under `dev` in the foreground of the terminal."""
        script = folder / "script.py"
        script.write_text(text, encoding="utf-8")
        return Command(
            str(self._terminal),
            *(*COMMAND, "dev", script),
            folder=folder,
            command=(sys.executable, "-c", TAKE_TERMINAL),
            inherited=(self._terminal,),
        )

    def press_ctrl_c(self) -> None:
        os.write(self._keyboard, b"\x03")

    def close(self) -> None:
        os.close(self._keyboard)
        os.close(self._terminal)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with closing(Terminal()) as made:
        yield made


def dev(folder: Path, text: str, *arguments: str, options: tuple[str, ...] = ()) -> Command:
    script = folder / "script.py"
    script.write_text(text, encoding="utf-8")
    # Elsewhere than the script, so that paths are seen to be what they should.
    return Command("dev", *options, script, *arguments, folder=folder.parent)


def pid_of(command: Command) -> int:
    command.wait_for("pid ")
    eventually_sync(lambda: command.output.count("\n"))
    return int(command.output.split()[1])


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def assert_service_is_gone(command: Command) -> None:
    address = urlsplit(command.exports()["EXOSPHERE_STATE_MANAGER_URI"])
    assert address.hostname is not None
    assert address.port is not None
    with socket.socket() as probe:
        assert probe.connect_ex((address.hostname, address.port)) != 0


def trigger_quick_start(command: Command) -> Api:
    with command.connect() as http:
        api = Api(http, "MyProject")
        eventually_sync(lambda: api.get("/nodes/").json()["count"] == 1)
        api.graph("greeting", api.node("only", {"name": "ann", "data": "d"}, node="SampleNode"))
        run_id = api.trigger("greeting", inputs={"data": "payload"})
        eventually_sync(lambda: api.run(run_id)["status"] == "SUCCESS")
        [state] = api.states(run_id)
        assert api.state("greeting", run_id, state["id"])["outputs"] == {
            "message": "success",
            "processed_data": "completed:payload",
        }
        return api


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_quick_start_works_until_a_signal_ends_it_and_the_service(tmp_path: Path, number: signal.Signals) -> None:
    with dev(tmp_path, QUICK_START) as command:
        trigger_quick_start(command)
        command.process.send_signal(number)
        assert command.wait() == 0
        assert command.output == "Processing data for: ann\n"
        assert "MyProject/greeting" in command.errors
        assert "1 SUCCESS" in command.errors
        assert "Traceback" not in command.errors
        assert_service_is_gone(command)


# Triggers a run of a node that takes a second.
LASTING = """
import asyncio
from exospherehost import BaseNode, GraphNodeModel, Runtime, StateManager

class Lasts(BaseNode):
    async def execute(self):
        print("executing", flush=True)
        await asyncio.sleep(1)

class Triggers(Runtime):
    async def run(self):
        await asyncio.gather(super().run(), self.trigger())

    async def trigger(self):
        await asyncio.wait_for(self.ready(), 30)
        manager = StateManager("ns")
        node = GraphNodeModel(node_name="Lasts", namespace="ns", identifier="only")
        await manager.upsert_graph("lasting", [node], secrets={})
        await manager.trigger("lasting", inputs={})

Triggers("ns", "r", [Lasts], poll_interval=0.05).start()
"""


def test_a_signal_to_the_whole_group_is_one_to_the_runtime(tmp_path: Path) -> None:
    """Without a terminal it is passed on as well, so it comes twice."""
    with dev(tmp_path, LASTING) as command:
        command.wait_for("executing")
        os.killpg(command.process.pid, signal.SIGINT)
        assert command.wait() == 0
        assert "grace_period_cut_short" not in command.errors
        assert "1 SUCCESS" in command.errors


def test_ctrl_c_on_a_terminal_ends_the_quick_start_as_gently(tmp_path: Path, terminal: Terminal) -> None:
    with terminal.run(tmp_path, QUICK_START) as command:
        trigger_quick_start(command)
        terminal.press_ctrl_c()
        assert command.wait() == 0
        assert "Traceback" not in command.errors
        assert "event=runtime_ended" in command.errors
        assert_service_is_gone(command)


def test_one_ctrl_c_on_a_terminal_reaches_the_script_once(tmp_path: Path, terminal: Terminal) -> None:
    with terminal.run(tmp_path, STUBBORN) as command:
        pid_of(command)
        terminal.press_ctrl_c()
        command.wait_for("ignored 2")
        # What is sent after it arrives after whatever the first one brought.
        command.process.send_signal(signal.SIGTERM)
        command.wait_for("ignored 15")
        assert command.output.count("ignored 2") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_and_the_scripts_own_status_returned(tmp_path: Path, number: signal.Signals) -> None:
    with dev(tmp_path, PATIENT) as command:
        pid = pid_of(command)
        command.process.send_signal(number)
        assert command.wait() == 7
        assert f"got {number.value}" in command.output
        assert not is_running(pid)


def test_the_third_signal_kills_a_script_that_will_not_end(tmp_path: Path) -> None:
    with dev(tmp_path, STUBBORN) as command:
        pid = pid_of(command)
        for number in (signal.SIGINT, signal.SIGTERM):
            command.process.send_signal(number)
            command.wait_for(f"ignored {number.value}")
        command.process.send_signal(signal.SIGTERM)
        assert command.wait() == 128 + signal.SIGKILL
        assert not is_running(pid)
        assert_service_is_gone(command)


def test_a_script_ended_by_a_signal_gives_the_shells_status(tmp_path: Path) -> None:
    with dev(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGTERM); signal.pause()") as command:
        assert command.wait() == 128 + signal.SIGTERM


def test_the_scripts_status_and_arguments_pass_through(tmp_path: Path) -> None:
    with dev(tmp_path, "import sys; print(sys.argv[1:]); sys.exit(3)", "--help", "--", "-x", "two words") as command:
        assert command.wait() == 3
        assert command.output == "['--help', '--', '-x', 'two words']\n"
        assert "No run was triggered." in command.errors


def test_the_script_is_main_and_imports_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("HERE = 'beside it'", encoding="utf-8")
    script = "import json, neighbour, sys; print(json.dumps([__name__, neighbour.HERE, sys.path[0], sys.executable]))"
    with dev(tmp_path, script) as command:
        assert command.wait() == 0
        assert json.loads(command.output) == ["__main__", "beside it", str(tmp_path), sys.executable]


def test_the_script_gets_both_variables_over_those_of_the_shell(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import json, os; print(json.dumps({name: os.environ[name] for name in"
        " ('EXOSPHERE_STATE_MANAGER_URI', 'EXOSPHERE_API_KEY')}))",
        encoding="utf-8",
    )
    shell = {"EXOSPHERE_STATE_MANAGER_URI": "http://production", "EXOSPHERE_API_KEY": "productions-key"}
    with Command("dev", script, folder=tmp_path, environment=shell) as command:
        assert command.wait() == 0
        assert json.loads(command.output) == command.exports()
        assert "production" not in command.output + command.errors


def test_a_proxy_of_the_shell_is_not_asked_for_the_service(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import asyncio, exospherehost as e; m = e.StateManager('ns')\n"
        "try: asyncio.run(m.get_graph('none'))\n"
        "except e.NotFoundError: print('asked')",
        encoding="utf-8",
    )
    shell = {"http_proxy": "http://127.0.0.1:9", "no_proxy": "example.org"}
    with Command("dev", script, folder=tmp_path, environment=shell) as command:
        assert command.wait() == 0
        assert command.output == "asked\n"


def test_standard_input_is_the_scripts(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("print(input().upper())", encoding="utf-8")
    read, write = os.pipe()
    os.write(write, b"typed in\n")
    os.close(write)
    with Command("dev", script, folder=tmp_path, stdin=read) as command:
        os.close(read)
        assert command.wait() == 0
        assert command.output == "TYPED IN\n"


FAILING = """
import asyncio
from exospherehost import BaseNode, GraphNodeModel, RetryPolicyModel, Runtime, StateManager
from exospherehost_client.api.nodes import list_nodes
from exospherehost_client.api.runs import list_runs

class Fails(BaseNode):
    async def execute(self):
        raise ValueError("[red]no luck[/red] today")

async def main():
    runtime = Runtime("ns", "r", [Fails], poll_interval=0.05)
    task = runtime.start()
    async with StateManager("ns") as manager:
        while not (await list_nodes.asyncio("ns", client=manager.raw_client)).nodes:
            await asyncio.sleep(0.01)
        node = GraphNodeModel(node_name="Fails", namespace="ns", identifier="only")
        await manager.upsert_graph("doomed", [node], secrets={}, retry_policy=RetryPolicyModel(max_retries=0))
        await manager.trigger("doomed", inputs={})
        while (await list_runs.asyncio("ns", 1, 10, client=manager.raw_client)).runs[0].status == "PENDING":
            await asyncio.sleep(0.01)
    runtime.stop()
    await task

asyncio.run(main())
"""


def test_what_failed_is_shown_and_does_not_change_the_scripts_status(tmp_path: Path) -> None:
    with dev(tmp_path, FAILING) as command:
        assert command.wait() == 0
        assert "ns/doomed" in command.errors
        assert "FAILED" in command.errors
        assert "1 ERRORED" in command.errors
        assert "doomed / only: ValueError: [red]no luck[/red] today" in command.errors


@pytest.mark.parametrize(
    ("end", "status", "reason"),
    [("", 1, "Exit status 1, because of --fail: 1 run failed.\n"), ("\nimport sys; sys.exit(3)", 3, "")],
)
def test_a_failed_run_fails_dev_if_asked_to(tmp_path: Path, end: str, status: int, reason: str) -> None:
    with dev(tmp_path, FAILING + end, options=("--fail",)) as command:
        assert command.wait() == status
        assert "1 ERRORED" in command.errors
        assert command.errors.endswith(reason)
        assert ("Exit status" in command.errors) == bool(reason)


def test_without_a_failed_run_dev_ends_with_the_scripts_status(tmp_path: Path) -> None:
    options = ("--database", str(tmp_path / "kept.db"))
    with dev(tmp_path, FAILING, options=options) as command:
        assert command.wait() == 0
    # The failed run in the database is one of an earlier script.
    with dev(tmp_path, FAILING.replace("raise ValueError", "str"), options=(*options, "--fail")) as command:
        assert command.wait() == 0, command.errors
        assert "1 SUCCESS" in command.errors
        assert "Exit status" not in command.errors


def test_a_database_is_kept_and_only_what_ran_this_time_is_shown(tmp_path: Path) -> None:
    options = ("--database", str(tmp_path / "kept.db"))
    with dev(tmp_path, FAILING, options=options) as command:
        assert command.wait() == 0
        key = command.exports()["EXOSPHERE_API_KEY"]
    with dev(tmp_path, "print('nothing')", options=options) as command:
        assert command.wait() == 0
        assert "No run was triggered." in command.errors
        assert command.exports()["EXOSPHERE_API_KEY"] == key


def test_a_temporary_database_is_gone_afterwards(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    script = tmp_path / "script.py"
    script.write_text("import os; print(sorted(os.listdir(os.environ['TMPDIR'])))", encoding="utf-8")
    with Command("dev", script, folder=tmp_path, environment={"TMPDIR": str(temporary)}) as command:
        assert command.wait() == 0
        assert "exospherehost-" in command.output
    assert list(temporary.iterdir()) == []


def test_a_script_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with Command("dev", "missing.py", folder=tmp_path) as command:
        assert command.wait() == 2
        assert "'missing.py' does not exist" in command.errors
        assert "Traceback" not in command.errors
