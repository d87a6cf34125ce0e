"""Stop signals of a command that runs a user's program."""

from __future__ import annotations

import signal


def take_stop_signals() -> None:
    """Have SIGINT and SIGTERM raise KeyboardInterrupt, also where a shell started this process to ignore Ctrl-C."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
