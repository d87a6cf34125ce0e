"""The processes of a chaos run: servers and runtimes that are killed and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_END_SECONDS = 60.0
_LINES_SHOWN = 12


class ChaosError(Exception):
    """The chaos run itself cannot go on."""


@dataclass
class Member:
    """A process that is started again whenever it has been killed.

    Attributes:
        name: what it is called.
        command: makes the command line of its next life, given that life's number from 1 on.
        folder: takes its log.
        environment: makes the variables of its next life, beside this process's own.
        kills: how often it was killed.
        failures: what it did that only a kill should have made it do.
    """

    name: str
    command: Callable[[int], Sequence[str]]
    folder: Path
    environment: Callable[[int], Mapping[str, str]] = field(default=lambda _life: {})
    kills: int = 0
    failures: list[str] = field(default_factory=list)
    _lives: int = 0
    _process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What all of its lives have logged."""
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Begin its next life."""
        self._lives += 1
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                list(self.command(self._lives)),
                env={**os.environ, **self.environment(self._lives)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # With whatever it starts, it is a group to be killed at once, which Ctrl-C here does not reach.
                start_new_session=True,
            )

    def kill(self) -> None:
        """Kill -9 it, if it lives."""
        self.must_live()
        process = self._process
        if process is None:
            return
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._process = None
        self.kills += 1

    def must_live(self) -> None:
        """Note it as a failure if it has ended by itself, and start it again."""
        if self._process is not None and (code := self._process.poll()) is not None:
            self.failures.append(f"{self.name} ended by itself with {code}: {_tail(self.log)}")
            self.start()

    async def end(self) -> None:
        """Ask it to end, as an orchestrator would, and note as a failure if it does so badly."""
        self.must_live()
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            code = await asyncio.to_thread(process.wait, _END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = None
        if code != 0:
            self.failures.append(
                f"{self.name} did not end well at SIGTERM ({'killed' if code is None else code}): {_tail(self.log)}"
            )

    def abandon(self) -> None:
        """Kill it without counting that, at the end of everything."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(condition: Callable[[], bool], *, within: float, what: str) -> None:
    """Wait for a condition.

    Raises:
        ChaosError: it did not come true in time.
    """
    deadline = time.monotonic() + within
    while not await asyncio.to_thread(condition):
        if time.monotonic() > deadline:
            raise ChaosError(f"{what}: not within {within:.0f} s")
        await asyncio.sleep(0.05)


def count_errors(members: Sequence[Member]) -> int:
    """Count the errors that the members have logged."""
    return sum(
        1
        for member in members
        if member.log.exists()
        for line in member.log.read_text(errors="replace").splitlines()
        if " ERROR " in line or " CRITICAL " in line
    )


def _tail(log: Path) -> str:
    return " / ".join(log.read_text(errors="replace").splitlines()[-_LINES_SHOWN:])
