"""A live view of a run: its states by node and status, progress, and errors as they come."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from exospherehost._state_manager.runs import Transition
from exospherehost.cli.console.output import plain, status_text, table
from exospherehost.cli.console.run_list import progress_bar
from exospherehost.cli.console.run_tree import counts_line
from exospherehost.cli.programs.wording import counted, spelled

REFRESHES_PER_SECOND = 8
_UNFINISHED = ("CREATED", "QUEUED", "EXECUTED")
_FAILED = ("ERRORED", "NEXT_CREATED_ERROR")


class RunView:
    """Shows a run's transitions while the block runs.

    On a terminal it rewrites itself; elsewhere each failure is one line.

    Args:
        console: Writes to the terminal.
        run_id: The run.
        graph_name: Its graph; empty if it is unknown.
    """

    def __init__(self, console: Console, run_id: str, graph_name: str = "") -> None:
        self._console = console
        self._title = Text("Run ").append(run_id, "bold")
        if graph_name:
            self._title.append(" of graph ").append_text(plain(graph_name, "bold"))
        self._statuses: dict[str, tuple[str, str]] = {}
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._failures = 0
        self._began = time.monotonic()
        self._live = Live(
            console=console, get_renderable=self._rendered, refresh_per_second=REFRESHES_PER_SECOND, transient=True
        )
        self._is_live = console.is_terminal and not console.is_dumb_terminal

    def __enter__(self) -> Self:
        if self._is_live:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_live:
            self._live.stop()

    def add(self, transition: Transition) -> None:
        """Count a transition, and show it if it is a failure for good."""
        status = str(transition.status)
        before = self._statuses.get(transition.state_id)
        if before is not None:
            self._counts[before[0]][before[1]] -= 1
        self._statuses[transition.state_id] = (transition.identifier, status)
        self._counts[transition.identifier][status] += 1
        if status in _FAILED:
            self._failures += 1
            line = Text("✗ ", "bold red").append_text(plain(transition.identifier, "bold"))
            self._console.print(line.append(f"  {transition.state_id}  ", "dim").append_text(status_text(status)))

    def _rendered(self) -> RenderableType:
        total = len(self._statuses)
        pending = sum(self._counts[identifier][status] for identifier in self._counts for status in _UNFINISHED)
        elapsed = spelled(timedelta(seconds=int(time.monotonic() - self._began)))
        summary = Text("  ").join(
            (progress_bar(total - pending, total, 24), Text(counted(total, "state")), Text(elapsed, "dim"))
        )
        rows = [(identifier, counts_line(+counts)) for identifier, counts in self._counts.items()]
        return Group(self._title, summary, table("NODE", "STATES", rows=rows))
