"""Runs as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from exospherehost.cli.console.output import plain, status_text, table
from exospherehost.cli.programs.run_finding import status_of
from exospherehost.cli.programs.wording import ago
from exospherehost_client.models import RunSummary


def runs_table(runs: Sequence[RunSummary]) -> Table:
    """Return a table of runs."""
    return table(
        "RUN",
        "GRAPH",
        "STATUS",
        "STATES",
        "FAILED",
        "PROGRESS",
        "CREATED",
        rows=[
            (
                run.run_id,
                run.graph_name,
                status_text(status_of(run)),
                f"{run.total_count:,}",
                plain(f"{run.errored_count:,}", "bold red" if run.errored_count else "dim"),
                progress_bar(run.total_count - run.pending_count, run.total_count),
                ago(run.created_at),
            )
            for run in runs
        ],
        right=("STATES", "FAILED"),
    )


def progress_bar(done: int, total: int, width: int = 12) -> Text:
    """Return a bar of what is done, with its share in percent."""
    share = done / total if total else 0.0
    # Full only when all is done.
    filled = width if done == total and total else min(int(share * width), width - 1)
    percent = 100 if done == total and total else min(int(share * 100), 99)
    return Text("█" * filled, "green").append("░" * (width - filled), "dim").append(f" {percent:3d} %")
