"""Runs benchmarks: `python -m benchmarks [NAME ...] [--rounds N] [--quick] [--json FILE]`; see README.md."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

from rich.console import Console

from benchmarks import environments, report
from benchmarks.measure import Table
from benchmarks.plan import Plan
from benchmarks.processes import MeasurementError

NAMES = (
    "throughput",
    "embedded",
    "cpu",
    "latency",
    "chain",
    "size",
    "imports",
    "command_line",
    "durable",
    "history",
    "waiters",
    "dashboard",
)
DEFAULT_ROUNDS = 5


def main() -> int:
    """Run what is asked for; the exit status is 1 when something could not be measured."""
    parser = argparse.ArgumentParser(prog="scripts/bench.sh", description="Measures the runtime against others.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(NAMES)}; all by default")
    parser.add_argument("--rounds", type=int, help=f"how often each thing is measured; {DEFAULT_ROUNDS} by default")
    parser.add_argument("--quick", action="store_true", help="tiny counts, to see that all works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to a file as well")
    parser.add_argument("--without-published", action="store_true", help="leave out what needs the published SDK")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}")
    rounds = options.rounds if options.rounds is not None else 1 if options.quick else DEFAULT_ROUNDS
    if rounds < 1:
        parser.error("--rounds must be at least 1")
    console, progress = Console(width=None if sys.stdout.isatty() else 160), Console(stderr=True, highlight=False)

    def say(text: str) -> None:
        progress.print(text, style="dim")

    published = None if options.without_published else environments.published_python(say)
    plan = Plan(rounds, options.quick, published, say)
    tables: list[Table] = []
    failed = False
    for name in options.names or NAMES:
        say(f"== {name}")
        load = _load()
        try:
            table = importlib.import_module(f"benchmarks.{name}").run(plan)
        except MeasurementError as error:
            progress.print(f"{name} could not be measured: {error}", style="red")
            failed = True
            continue
        table.notes.append(f"load of the machine before: {load}; its own included, after: {_load()}")
        report.show(table, console)
        tables.append(table)
        if options.json is not None:
            report.write(tables, options.json)
    return 1 if failed else 0


def _load() -> str:
    """The mean length of the run queue over the last minute, by which to see that others were at work."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


if __name__ == "__main__":
    sys.exit(main())
