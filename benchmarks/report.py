"""Shows tables to a person and writes them as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid

from benchmarks.measure import Row, Table


def show(table: Table, console: Console) -> None:
    """Print a table."""
    grid = Grid(title=f"{table.benchmark}: {table.title}", title_justify="left", title_style="bold")
    grid.add_column("row", overflow="fold")
    grid.add_column("ratio", justify="right")
    grid.add_column("rounds", justify="right")
    grid.add_column("goal", justify="right")
    grid.add_column("met")
    grid.add_column("medians, only for this table", overflow="fold")
    for row in table.rows:
        met = "" if row.met is None else "yes" if row.met else "NO"
        spread = f"{_short(min(row.ratios))} to {_short(max(row.ratios))}" if len(row.ratios) > 1 else "one"
        medians = f"{row.metric}: {_short(row.median)} over {_short(row.to_median)}"
        grid.add_row(row.row, f"{_short(row.ratio)}", spread, row.goal or "", met, medians)
    console.print(grid)
    console.print(f"Held equal: {table.held_equal}", style="dim", highlight=False)
    for name, value in table.checks.items():
        console.print(f"Counted: {name}: {value:,g}", style="dim", highlight=False)
    for note in table.notes:
        console.print(f"Note: {note}", style="dim", highlight=False)
    console.print()


def write(tables: Iterable[Table], path: Path) -> None:
    """Write all rows as a list of objects; the notes and checks of a table stand in each of its rows."""
    rows = [_object(row, table) for table in tables for row in table.rows]
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _object(row: Row, table: Table) -> dict[str, object]:
    return {**asdict(row), "checks": table.checks, "notes": table.notes}


def _short(value: float) -> str:
    if value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
