"""What happens in a namespace, as a screen that is drawn again and again."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from rich.console import Console, ConsoleOptions, RenderableType
from rich.text import Text

from exospherehost.cli.console.output import plain, table
from exospherehost.cli.console.run_list import runs_table
from exospherehost.cli.programs.wording import ago, counted, spelled
from exospherehost_client.models import RunSummary

RATE_SECONDS = 10.0
"""The span that the rate is computed over."""
_OTHER_LINES = 14
"""Lines of the screen that are not rows of runs."""


class ActivityView:
    """Shows the runs that were added last, and how they changed since those before.

    Args:
        uri: The service.
        namespace: Its namespace.
    """

    def __init__(self, uri: str, namespace: str) -> None:
        self._title = Text("exospherehost top", "bold").append(f"  {uri}  namespace {namespace}", "dim")
        self._runs: Sequence[RunSummary] = ()
        self._done: dict[str, int] = {}
        self._total_done = 0
        self._steps: deque[tuple[float, int]] = deque()
        self._problem = ""
        self._seen: datetime | None = None

    def add(self, runs: Sequence[RunSummary]) -> None:
        """Take the newest runs, newest first."""
        done = {run.run_id: run.total_count - run.pending_count for run in runs}
        if self._seen is not None:
            self._total_done += sum(max(0, count - self._done.get(run_id, 0)) for run_id, count in done.items())
        self._done = done
        now = time.monotonic()
        self._steps.append((now, self._total_done))
        while len(self._steps) > 2 and now - self._steps[1][0] >= RATE_SECONDS:
            self._steps.popleft()
        self._runs, self._seen, self._problem = runs, datetime.now(UTC), ""

    def lose(self, problem: str) -> None:
        """Show that the service cannot be reached; what was seen last stays."""
        self._problem = problem

    @property
    def states_per_second(self) -> float:
        """States that ended per second, in the last ten seconds."""
        if len(self._steps) < 2:
            return 0.0
        (began, before), (ended, after) = self._steps[0], self._steps[-1]
        return (after - before) / (ended - began) if ended > began else 0.0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Draw the screen."""
        yield self._title
        if self._problem:
            yield plain(f"The service is away, last seen {ago(self._seen)}: {self._problem}", "bold red")
        pending = [run for run in self._runs if run.pending_count > 0]
        failed = [run for run in self._runs if run.status == "FAILED"]
        states = sum(run.pending_count for run in pending)
        yield Text("  ").join(
            (
                Text(f"{self.states_per_second:,.1f} states/s", "bold"),
                Text(f"{counted(len(pending), 'run')} going on", "cyan" if pending else "dim"),
                Text(f"{counted(states, 'state')} pending"),
                Text(f"{len(failed):,} of the newest {len(self._runs):,} failed", "red" if failed else "dim"),
            )
        )
        if pending:
            oldest = datetime.now(UTC) - min(run.created_at for run in pending)
            yield Text(f"the oldest run that goes on began {spelled(oldest)} ago", "dim")
        yield ""
        yield self._graphs()
        yield ""
        rows = max(3, (options.height or console.height) - _OTHER_LINES)
        # Those that go on come first, then the newest.
        yield runs_table([*pending, *(run for run in self._runs if run.pending_count == 0)][:rows])

    def _graphs(self) -> RenderableType:
        by_graph: defaultdict[str, list[RunSummary]] = defaultdict(list)
        for run in self._runs:
            by_graph[run.graph_name].append(run)
        most_failed = sorted(by_graph.items(), key=lambda each: -sum(run.status == "FAILED" for run in each[1]))
        return table(
            "GRAPH",
            "RUNS",
            "GOING ON",
            "FAILED",
            "NEWEST",
            rows=[
                (
                    name,
                    f"{len(runs):,}",
                    f"{sum(run.pending_count > 0 for run in runs):,}",
                    f"{sum(run.status == 'FAILED' for run in runs):,}",
                    ago(runs[0].created_at),
                )
                for name, runs in most_failed[:5]
            ],
            right=("RUNS", "GOING ON", "FAILED"),
        )
