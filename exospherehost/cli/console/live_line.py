"""A line at the foot of the terminal that shows a runtime's progress, with the log above it."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from exospherehost._runtime.runtime import Runtime
from exospherehost._runtime.stats import RuntimeStats

REFRESHES_PER_SECOND = 4
RATE_SECONDS = 5.0
"""The span that the rate is computed over, in seconds."""


class LiveLine:
    """A line with a runtime's counters, shown while the block runs.

    Lines that the program writes to standard error, and to standard output if that is a terminal too, appear above it.

    Args:
        console: Writes to the terminal.
        title: The beginning of the line.
    """

    def __init__(self, console: Console, title: str) -> None:
        self._title = title
        self._runtime: Runtime | None = None
        self._settled: deque[tuple[float, int]] = deque()
        # ASCII, because the terminal's font is unknown.
        self._spinner = Spinner("line")
        self._live = Live(
            console=console,
            get_renderable=self._rendered,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )

    def show(self, runtime: Runtime) -> None:
        """Show this runtime's counters from now on."""
        self._runtime = runtime
        self._live.refresh()

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def _rendered(self) -> Spinner:
        if self._runtime is None:
            text = Text(f"{self._title}  loading")
        else:
            stats = self._runtime.stats()
            text = line_of(self._title, stats, self._rate(time.monotonic(), stats))
        self._spinner.update(text=text)
        return self._spinner

    def _rate(self, now: float, stats: RuntimeStats) -> float:
        self._settled.append((now, stats.succeeded + stats.errored + stats.pruned + stats.requeued))
        while len(self._settled) > 2 and now - self._settled[1][0] >= RATE_SECONDS:
            self._settled.popleft()
        (began, before), (_, after) = self._settled[0], self._settled[-1]
        return (after - before) / (now - began) if now > began else 0.0


class AboveTheLine(logging.Handler):
    """A log handler that writes to a console, which keeps its live line below."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as a plain stream handler would."""
        try:
            self._console.print(Text(self.format(record)), soft_wrap=True)
        except Exception:  # noqa: BLE001 - a log that cannot be written must not end the program
            self.handleError(record)


def can_show(console: Console) -> bool:
    """Return whether standard error is a terminal on which a line can be rewritten."""
    return sys.stderr.isatty() and not console.is_dumb_terminal


def line_of(title: str, stats: RuntimeStats, rate: float) -> Text:
    """Return the text of the line: counters and faults."""
    parts = [
        (title, "bold"),
        (f"claimed {stats.claimed:,}", ""),
        (f"running {stats.running:,}", "cyan" if stats.running else ""),
        (f"done {stats.succeeded + stats.pruned:,}", "green" if stats.succeeded else ""),
        (f"errors {stats.errored + stats.refused:,}", "bold red" if stats.errored + stats.refused else ""),
    ]
    if stats.requeued:
        parts.append((f"requeued {stats.requeued:,}", ""))
    if stats.undelivered:
        parts.append((f"undelivered {stats.undelivered:,}", "yellow"))
    parts.append((f"{rate:,.1f}/s", ""))
    if stats.claims_failing:
        parts.append(("claims failing", "bold red"))
    line = Text("  ", no_wrap=True, overflow="crop").join(Text(text, style) for text, style in parts)
    line.no_wrap, line.overflow = True, "crop"
    return line
