"""`exospherehost runs list`, `show` and `errors`: what runs did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import click
from rich.console import RenderableType

from exospherehost._state_manager.runs import Run
from exospherehost._state_manager.state_manager import StateManager
from exospherehost.cli.console import run_tree
from exospherehost.cli.console.output import json_option, show
from exospherehost.cli.console.run_list import runs_table
from exospherehost.cli.options.connection import Connection, connection_options
from exospherehost.cli.options.run_filters import run_filter_options
from exospherehost.cli.programs.name_completion import complete_runs
from exospherehost.cli.programs.run_finding import RunFilter, find_runs, status_of, whole_run_id
from exospherehost.cli.programs.service_calls import call
from exospherehost.cli.programs.wording import counted
from exospherehost_client.models import RunGraphNode, RunSummary

FAILED_STATUSES = ("ERRORED", "NEXT_CREATED_ERROR")


@click.command(name="list", epilog="Example: exospherehost runs list --status failed --since 1d")
@run_filter_options
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="The most runs.")
@json_option
@connection_options
def list_(
    connection: Connection,
    *,
    statuses: Sequence[str],
    graphs: Sequence[str],
    since: datetime | None,
    until: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """List runs, newest first."""
    chosen = RunFilter(statuses, graphs, since, until)
    runs, has_more = call(connection, lambda manager: find_runs(manager, chosen, limit))

    def rendered() -> Iterator[RenderableType]:
        if not runs:
            yield (
                "No run fits."
                if not chosen.is_empty
                else "There is no run yet: `exospherehost trigger GRAPH` starts one."
            )
            return
        yield runs_table(runs)
        if has_more:
            yield f"There are more: --limit shows more than {limit}."

    show({"runs": [json_of(run) for run in runs], "has_more": has_more}, rendered, as_json=as_json)


@click.command(name="show", epilog="Example: exospherehost runs show 0f3b2c4d --failed")
@click.argument("run_id", metavar="ID", shell_complete=complete_runs)
@click.option("--failed", is_flag=True, help="Show only the states that failed for good, and those above them.")
@click.option(
    "--node", "identifiers", multiple=True, metavar="IDENTIFIER", help="Show only its states; may be repeated."
)
@json_option
@connection_options
def show_(connection: Connection, *, run_id: str, failed: bool, identifiers: Sequence[str], as_json: bool) -> None:
    """Show a run as a tree of its states.

    ID is a run's id, or its beginning.
    """
    run = call(connection, lambda manager: read_run(manager, run_id))
    takes = _filter(identifiers, failed=failed)

    def rendered() -> Iterator[RenderableType]:
        yield from run_tree.header(run)
        yield from run_tree.tree(run, takes)
        if run.failed_states and not failed:
            yield f"`exospherehost runs errors {run.run_id}` shows the errors in full."

    content = run.model_dump(mode="json", by_alias=True)
    content["nodes"] = [node for node, model in zip(content["nodes"], run.nodes, strict=True) if takes(model)]
    show(content, rendered, as_json=as_json)


@click.command(epilog="Example: exospherehost runs errors 0f3b2c4d")
@click.argument("run_id", metavar="ID", shell_complete=complete_runs)
@click.option(
    "--node", "identifiers", multiple=True, metavar="IDENTIFIER", help="Show only its errors; may be repeated."
)
@json_option
@connection_options
def errors(connection: Connection, *, run_id: str, identifiers: Sequence[str], as_json: bool) -> None:
    """Show the errors of a run's states that failed for good.

    ID is a run's id, or its beginning.
    """
    run = call(connection, lambda manager: read_run(manager, run_id))
    takes = _filter(identifiers, failed=True)

    def rendered() -> Iterator[RenderableType]:
        yield from run_tree.header(run)
        yield ""
        yield from run_tree.errors(run, takes)
        if not run.failed_states:
            yield "No state failed for good."

    failures = [node.model_dump(mode="json") for node in run.failed_states if takes(node)]
    show({"run_id": run.run_id, "graph_name": run.graph_name, "errors": failures}, rendered, as_json=as_json)


async def read_run(manager: StateManager, beginning: str) -> Run:
    """Read the run whose id begins so."""
    return await manager.get_run(await whole_run_id(manager, beginning))


def json_of(run: RunSummary) -> dict[str, Any]:
    """Return a run as its JSON document."""
    return {**run.model_dump(mode="json", by_alias=True), "status": status_of(run)}


def runs_counted(runs: Sequence[RunSummary]) -> str:
    """Return the number of runs in words."""
    return counted(len(runs), "run")


def _filter(identifiers: Sequence[str], *, failed: bool) -> Callable[[RunGraphNode], bool]:
    def takes(node: RunGraphNode) -> bool:
        return (not identifiers or node.identifier in identifiers) and (not failed or node.status in FAILED_STATUSES)

    return takes
