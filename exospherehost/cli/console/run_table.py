"""Tables of runs for a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from exospherehost.cli.console.run_history import History, Run
from exospherehost.cli.programs.wording import counted

MOST_FAILURES = 10
LONGEST_ERROR = 200
"""The most characters shown of an error's first line; the state has the whole text."""

_STYLES = {
    "SUCCESS": "green",
    "PRUNED": "green",
    "RETRY_CREATED": "yellow",
    "ERRORED": "bold red",
    "NEXT_CREATED_ERROR": "bold red",
    "FAILED": "bold red",
}


def show_history(console: Console, history: History) -> None:
    """Print a table of runs, and below it the errors of states that failed."""
    if not history.runs:
        console.print("No run was triggered.")
        return
    console.print("Runs", style="bold")
    table = Table()
    table.add_column("Graph", overflow="fold")
    table.add_column("Run", no_wrap=True)
    table.add_column("Status", no_wrap=True)
    table.add_column("States", overflow="fold")
    table.add_column("Duration", justify="right", no_wrap=True)
    for run in history.runs:
        table.add_row(
            escape(f"{run.namespace}/{run.graph_name}"),
            # Enough to distinguish runs; triggering them returned the whole id.
            run.run_id.partition("-")[0],
            Text(run.status, _STYLES.get(run.status, "")),
            _counts(run),
            spelled(run.duration),
        )
    console.print(table)
    if history.left_out:
        verb = "is" if history.left_out == 1 else "are"
        console.print(f"{counted(history.left_out, 'older run')} {verb} not shown.", highlight=False)
    _show_failures(console, history.runs)


def spelled(duration: timedelta | None) -> str:
    """Return a duration as text, or a dash for None."""
    if duration is None:
        return "-"
    seconds = duration.total_seconds()
    return f"{seconds:.2f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


def _counts(run: Run) -> Text:
    return Text("\n").join(Text(f"{count} {status}", _STYLES.get(status, "")) for status, count in run.counts.items())


def _show_failures(console: Console, runs: Sequence[Run]) -> None:
    failures = [(run, *key, count) for run in runs for key, count in run.failures.items()]
    if not failures:
        return
    console.print("States that failed for good:", style="bold red")
    for run, identifier, error, count in failures[:MOST_FAILURES]:
        line = error.partition("\n")[0][:LONGEST_ERROR] or "(no error text)"
        times = f" ({count} times)" if count > 1 else ""
        console.print(f"  {run.graph_name} / {identifier}{times}: {line}", markup=False, highlight=False)
    if len(failures) > MOST_FAILURES:
        console.print(f"  and {len(failures) - MOST_FAILURES} more")
