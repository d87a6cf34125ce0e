"""`exospherehost doctor`: looks for what keeps graphs from running."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import click
from rich.console import RenderableType
from rich.text import Text

from exospherehost._errors import APIError
from exospherehost._state_manager.state_manager import StateManager
from exospherehost.cli.console.output import json_option, plain, show
from exospherehost.cli.options.connection import Connection, connection_options
from exospherehost.cli.options.durations import duration_option
from exospherehost.cli.programs.diagnosis.findings import Finding, Level, error, note, warning
from exospherehost.cli.programs.diagnosis.graphs import graph_findings
from exospherehost.cli.programs.diagnosis.runs import run_findings
from exospherehost.cli.programs.diagnosis.service import service_findings
from exospherehost.cli.programs.service_calls import FAILED, call
from exospherehost.cli.programs.wording import counted
from exospherehost_client.models import RunSummary

MOST_RUNS = 1_000
LEAST_FREE = 0.05
"""The share of a disk that must be free."""

_SIGNS = {Level.ERROR: ("✗", "bold red"), Level.WARNING: ("!", "yellow"), Level.NOTE: ("·", "dim")}


@click.command(
    epilog="Example: exospherehost doctor --namespace hello", short_help="Look for what keeps graphs from running."
)
@click.option(
    "--patience",
    metavar="DURATION",
    default="5m",
    show_default=True,
    callback=duration_option,
    help="How long a state may wait or be held before it is reported.",
)
@click.option(
    "--database",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The server's SQLite file, if it is on this machine: checks its size and its disk.",
)
@json_option
@connection_options
@click.pass_context
def doctor(
    context: click.Context, connection: Connection, *, patience: timedelta, database: Path | None, as_json: bool
) -> None:
    """Look for what keeps graphs from running, and say how to mend it.

    The exit status is 1 if there is an error, and 0 with warnings alone.
    """
    findings = list(service_findings(connection))
    if not any(finding.level is Level.ERROR and finding.check == "address" for finding in findings):
        findings += call(connection, lambda manager: _namespace_findings(connection, manager, patience))
    if database is not None:
        findings += _disk_findings(database)
    show({"findings": findings}, lambda: _rendered(findings), as_json=as_json)
    context.exit(FAILED if any(finding.level is Level.ERROR for finding in findings) else 0)


async def _namespace_findings(connection: Connection, manager: StateManager, patience: timedelta) -> list[Finding]:
    graphs = await manager.list_graphs()
    runs: list[RunSummary] = []
    async with aclosing(manager.list_runs(limit=MOST_RUNS)) as listed:
        runs.extend([run async for run in listed])
    found: list[Finding] = []
    checks: tuple[AsyncIterator[Finding], ...] = (
        graph_findings(connection, manager, graphs, runs),
        run_findings(manager, graphs, runs, patience),
    )
    for check in checks:
        try:
            found.extend([finding async for finding in check])
        except APIError as problem:
            # The other checks still say what they find.
            found.append(warning("doctor", f"a check was cut short: {problem}", "run it again"))
    found.append(note("runs", f"{counted(len(runs), 'run')} looked at, the newest of namespace {manager.namespace!r}"))
    return found


def _disk_findings(database: Path) -> Iterator[Finding]:
    size = sum(
        file.stat().st_size for suffix in ("", "-wal") if (file := database.with_name(database.name + suffix)).exists()
    )
    disk = shutil.disk_usage(database.parent)
    yield note("disk", f"{database} has {size / 1e6:,.1f} MB; {disk.free / 1e9:,.1f} GB of its disk are free")
    if disk.free < disk.total * LEAST_FREE or disk.free < size:
        yield error(
            "disk",
            f"only {disk.free / 1e9:,.2f} GB of the disk of {database} are free",
            "free some, or delete old runs: `exospherehost db prune --older-than 30d`",
        )


def _rendered(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    order = list(Level)
    for finding in sorted(findings, key=lambda each: order.index(each.level)):
        sign, style = _SIGNS[finding.level]
        yield Text(f"{sign} {finding.check:<11}", style).append_text(plain(finding.problem))
        if finding.remedy:
            yield Text(" " * 13 + "→ ", "dim").append_text(plain(finding.remedy))
    errors, warnings = (sum(finding.level is level for finding in findings) for level in (Level.ERROR, Level.WARNING))
    yield ""
    yield f"{counted(errors, 'error')}, {counted(warnings, 'warning')}."
