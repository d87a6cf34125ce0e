"""`exospherehost run` on a terminal: a line that tells how the runtime gets on, below the log."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from exospherehost._runtime.stats import RuntimeStats
from exospherehost.cli.console.live_line import LiveLine, line_of
from tests._support.command import COMMAND, TIMEOUT, Command
from tests._support.eventually import eventually_sync
from tests._support.fake_state_manager import FakeStateManager
from tests._support.http_service import Answer
from tests._support.runtimes import KEY

WIDTH = 200
_SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")

APP = """
import logging, sys
from exospherehost import BaseNode, Runtime
from pydantic import BaseModel

class Echo(BaseNode):
    class Inputs(BaseModel):
        text: str

    async def execute(self):
        print("printed", self.inputs.text, flush=True)
        logging.getLogger("app").info("logged %s", self.inputs.text)
        sys.stderr.write(f"written {self.inputs.text}\\n")
        if self.inputs.text == "bad":
            raise ValueError("no luck")

runtime = Runtime("ns", "rt", [Echo], poll_interval=0.05)
"""


class Screen:
    """What a terminal shows after a text: enough of one for what is written to it here."""

    def __init__(self, text: str) -> None:
        self.lines = [""]
        self._row = self._column = 0
        at = 0
        while at < len(text):
            sequence = _SEQUENCE.match(text, at)
            if sequence is not None:
                self._obey(sequence[1], sequence[2])
                at = sequence.end()
            else:
                self._type(text[at])
                at += 1

    def _obey(self, parameters: str, command: str) -> None:
        match parameters, command:
            case _, "m" | "h" | "l":
                """Colours, and whether the cursor is shown."""
            case "2", "K":
                self.lines[self._row] = ""
            case _, "A":
                self._row = max(0, self._row - int(parameters or 1))
            case _:
                raise AssertionError(f"unknown to this terminal: {parameters}{command}")

    def _type(self, letter: str) -> None:
        if letter == "\r":
            self._column = 0
        elif letter == "\n":
            self._row += 1
            if self._row == len(self.lines):
                self.lines.append("")
        else:
            line = self.lines[self._row].ljust(self._column)
            self.lines[self._row] = line[: self._column] + letter + line[self._column + 1 :]
            self._column += 1


class OnTerminal:
    """`exospherehost run app:runtime` with standard error, and if wanted standard output, on a terminal."""

    def __init__(self, folder: Path, service: FakeStateManager, *, stdout: bool = False, term: str = "xterm") -> None:
        (folder / "app.py").write_text(APP, encoding="utf-8")
        master, terminal = os.openpty()
        self._master = master
        self._written = bytearray()
        self.process = subprocess.Popen(
            [*COMMAND, "run", "app:runtime"],
            cwd=folder,
            env={
                **os.environ,
                "EXOSPHERE_STATE_MANAGER_URI": service.uri,
                "EXOSPHERE_API_KEY": KEY,
                "TERM": term,
                "COLUMNS": str(WIDTH),
            },
            stdin=subprocess.DEVNULL,
            stdout=terminal if stdout else subprocess.PIPE,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def text(self) -> str:
        """All that was written to the terminal."""
        return bytes(self._written).decode().replace("\r\n", "\n").replace("\n", "\r\n")

    @property
    def plain(self) -> str:
        """The same without colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self.text)

    def wait_for(self, pattern: str) -> None:
        """Wait until something was written, colours aside."""
        eventually_sync(lambda: re.search(pattern, self.plain) or self._ended(), TIMEOUT)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit status when all that was written has been read."""
        self.process.send_signal(number)
        status = self.process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(TIMEOUT)
        if self.process.stdout is not None:
            self.process.stdout.close()
        os.close(self._master)

    def _ended(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"ended with {self.process.returncode}: {self.text}")
        return False

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self._master, 65_536)
            except OSError:  # how Linux says that nobody holds the other end
                return
            if not part:
                return
            self._written += part


@pytest.fixture
def started() -> Iterator[list[OnTerminal]]:
    running: list[OnTerminal] = []
    yield running
    for each in running:
        each.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_line_tells_the_counts_and_leaves_the_log_whole(
    tmp_path: Path, service: FakeStateManager, started: list[OnTerminal], number: int
) -> None:
    texts = ["a", "b", "bad", "c"]
    for text in texts:
        service.put_state("Echo", {"text": text})
    started.append(command := OnTerminal(tmp_path, service))
    command.wait_for(r"app:runtime  claimed 4  running 0  done 3  errors 1  [0-9.]+/s")
    assert command.stop(number) == 0
    assert command.process.stdout is not None
    out = command.process.stdout.read().decode()

    lines = [line for line in Screen(command.text).lines if line]
    # The line is gone, and every other is as it was written.
    assert [line for line in lines if "app:runtime" in line] == []
    assert [line for line in lines if not re.match(r"written |\d{4}-\d\d-\d\d .* \| (INFO|WARNING) \| ", line)] == []
    assert sorted(line for line in lines if line.startswith("written ")) == [f"written {text}" for text in texts]
    assert sum(" | app | logged " in line for line in lines) == 4
    assert any(line.endswith("error=ValueError: no luck") for line in lines)
    assert "event=runtime_ended" in lines[-1]
    # Standard output is no terminal here, and belongs to the program alone.
    assert sorted(out.splitlines()) == [f"printed {text}" for text in texts]


def test_what_is_printed_goes_above_the_line(
    tmp_path: Path, service: FakeStateManager, started: list[OnTerminal]
) -> None:
    service.put_state("Echo", {"text": "a"})
    started.append(command := OnTerminal(tmp_path, service, stdout=True))
    command.wait_for("done 1")
    assert command.stop() == 0

    assert Screen(command.text).lines.count("printed a") == 1


def test_line_says_when_claims_fail(tmp_path: Path, service: FakeStateManager, started: list[OnTerminal]) -> None:
    service.before = lambda asked: Answer(503) if asked.path.endswith("/enqueue") else None
    started.append(command := OnTerminal(tmp_path, service))
    command.wait_for("claims failing")

    assert command.stop() == 0


def test_terminal_that_knows_no_sequences_gets_a_plain_log(
    tmp_path: Path, service: FakeStateManager, started: list[OnTerminal]
) -> None:
    service.put_state("Echo", {"text": "a"})
    started.append(command := OnTerminal(tmp_path, service, term="dumb"))
    command.wait_for("written a")
    assert command.stop() == 0

    assert "\x1b" not in command.text
    assert "claimed 1  " not in command.text
    assert "event=runtime_ended" in command.text


def test_line_names_what_is_amiss_only_where_something_is() -> None:
    well = RuntimeStats(claimed=1_234, running=3, succeeded=1_200, pruned=30)
    ill = RuntimeStats(claimed=9, errored=2, refused=1, requeued=4, undelivered=5, claims_failing=True)

    assert line_of("app:r", well, 41.25).plain == "app:r  claimed 1,234  running 3  done 1,230  errors 0  41.2/s"
    assert line_of("app:r", ill, 0).plain == (
        "app:r  claimed 9  running 0  done 0  errors 3  requeued 4  undelivered 5  0.0/s  claims failing"
    )


def test_rate_is_that_of_the_last_seconds() -> None:
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - no file is meant
        line = LiveLine(Console(file=nowhere), "app:r")
    rates = [line._rate(float(now), RuntimeStats(succeeded=done)) for now, done in ((0, 0), (2, 20), (4, 20), (10, 20))]
    rates += [line._rate(float(now), RuntimeStats(succeeded=done)) for now, done in ((12, 120), (15, 180), (40, 180))]

    # Over 0, 2, 4 and 10 seconds; from 10 on, at 12, 15 and 40.
    assert rates == [0.0, 10.0, 5.0, 0.0, pytest.approx(100 / 8), pytest.approx(160 / 5), 0.0]


def test_without_a_terminal_the_log_is_plain(tmp_path: Path, service: FakeStateManager) -> None:
    (tmp_path / "app.py").write_text(APP, encoding="utf-8")
    service.put_state("Echo", {"text": "a"})
    # The variables make rich take anything for a terminal.
    environment = {
        "EXOSPHERE_STATE_MANAGER_URI": service.uri,
        "EXOSPHERE_API_KEY": KEY,
        "FORCE_COLOR": "1",
        "TERM": "xterm",
    }
    with Command("run", "app:runtime", folder=tmp_path, environment=environment) as command:
        command.wait_for("written a")
        eventually_sync(lambda: service.reports)
        assert command.interrupt() == 0
        out, err = command.output, command.errors

    assert out == "printed a\n"
    assert "\x1b" not in err
    assert "claimed 1  " not in err
    assert [line for line in err.splitlines() if not re.match(r"written a$|\d{4}-.* \| INFO \| ", line)] == []
