"""A user's script as a child process that receives the stop signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)
PATIENCE = 3
"""The number of the stop signal that kills the script: the first asks it to end, the second to hurry."""


class Script:
    """A Python script run by this interpreter as `__main__`, with our input and output.

    Args:
        path: The script.
        arguments: Its arguments, as in `sys.argv`.
        environment: All of its environment variables.
    """

    def __init__(self, path: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = [sys.executable, str(path), *arguments]
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._signals: list[int] = []

    def run(self) -> int:
        """Run the script to its end and return its exit status, or 128 + n if signal n ended it.

        SIGINT, SIGTERM and SIGHUP are passed on; the third of them kills the script.
        """
        with self._stop_signals_taken():
            if self._signals:
                return 128 + self._signals[0]
            self._process = subprocess.Popen(self._command, env=self._environment)  # noqa: S603 - the user's own script
            try:
                for number in self._signals:
                    self._pass_on(self._process, number)
                status = self._process.wait()
            finally:
                if self._process.poll() is None:
                    self._process.kill()
                    self._process.wait()
        return status if status >= 0 else 128 - status

    @contextmanager
    def _stop_signals_taken(self) -> Generator[None, None, None]:
        before = {number: signal.signal(number, self._on_signal) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                # None stands for a handler that was not set from Python and cannot be set again.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)
        if self._process is not None:
            self._pass_on(self._process, number)

    def _pass_on(self, process: subprocess.Popen[bytes], number: int) -> None:
        if len(self._signals) >= PATIENCE:
            process.kill()
        elif number == signal.SIGTERM or not _is_in_foreground():
            process.send_signal(number)


def _is_in_foreground() -> bool:
    """Return whether the terminal sends Ctrl-C and hang-ups to this process, and thereby to its child.

    If they were passed on as well, one Ctrl-C would reach the script twice, and twice means to hurry.
    """
    try:
        terminal = os.open(os.ctermid(), os.O_RDONLY | os.O_NOCTTY)
    except (AttributeError, OSError):  # no controlling terminal, or Windows, where a console does the same
        return sys.platform == "win32"
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
