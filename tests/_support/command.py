"""Runs the `exospherehost` command as a process of its own, as a person would."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests._support.eventually import eventually_sync

COMMAND = (sys.executable, "-m", "exospherehost.cli")
TIMEOUT = 90.0
"""Seconds; long, because it is waited out only by a test that fails."""

_EXPORT = re.compile(r"^\s*export (\w+)=(\S+)$", re.MULTILINE)


class Command:
    """A running command, whose output can be read while it runs; killed at the end of its `with` block.

    Args:
        arguments: what stands behind `exospherehost`.
        folder: where it runs.
        environment: variables beside the test's own.
        command: what runs in place of `exospherehost`.
        stdin: a descriptor for its standard input; nothing by default.
        inherited: descriptors that stay open in it.
    """

    def __init__(
        self,
        *arguments: str | Path,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = COMMAND,
        stdin: int = subprocess.DEVNULL,
        inherited: Sequence[int] = (),
    ) -> None:
        # In files rather than pipes, which would have to be emptied; they are closed with the command.
        self._output = tempfile.TemporaryFile("w+b")  # noqa: SIM115
        self._errors = tempfile.TemporaryFile("w+b")  # noqa: SIM115
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=stdin,
            pass_fds=inherited,
            stdout=self._output,
            stderr=self._errors,
            # Signals of the terminal that runs the tests are not for it.
            start_new_session=True,
        )

    @property
    def output(self) -> str:
        """Standard output so far."""
        return _content(self._output.fileno())

    @property
    def errors(self) -> str:
        """Standard error so far."""
        return _content(self._errors.fileno())

    def wait(self) -> int:
        """Wait for its end and return its exit status."""
        return self.process.wait(TIMEOUT)

    def wait_for(self, text: str) -> Self:
        """Wait until it has said something."""
        eventually_sync(lambda: text in self.output + self.errors or self._ended(text), TIMEOUT)
        return self

    def exports(self) -> dict[str, str]:
        """Wait for the lines to paste and return the variables that they set."""
        self.wait_for("export EXOSPHERE_STATE_MANAGER_URI=")
        return dict(_EXPORT.findall(self.output + self.errors))

    def connect(self, key: str | None = None) -> httpx.Client:
        """Return a connection to its service that sends the printed key, or another one."""
        variables = self.exports()
        headers = {"x-api-key": variables["EXOSPHERE_API_KEY"] if key is None else key}
        return httpx.Client(base_url=variables["EXOSPHERE_STATE_MANAGER_URI"], headers=headers, timeout=30)

    def interrupt(self) -> int:
        """Send SIGINT, and return the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._output.close()
        self._errors.close()

    def _ended(self, text: str) -> bool:
        if self.process.poll() is not None and text not in self.output + self.errors:
            raise AssertionError(f"ended with {self.process.returncode} without {text!r}: {self.output}{self.errors}")
        return False


def _content(descriptor: int) -> str:
    # By position, so as not to move where the process writes next.
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode()
