"""A run on the terminal until it ends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import click
from rich.console import RenderableType

from exospherehost._state_manager.runs import Run
from exospherehost.cli.console import run_tree
from exospherehost.cli.console.output import new_console, show
from exospherehost.cli.console.run_view import RunView
from exospherehost.cli.options.connection import Connection
from exospherehost.cli.programs.run_following import followed
from exospherehost.cli.programs.service_calls import FAILED, call


def watch_run(connection: Connection, run_id: str, limit: timedelta | None, *, as_json: bool) -> int:
    """Show a run until it ends, and return the exit status."""
    with RunView(new_console(stderr=as_json), run_id) as view:
        try:
            run = call(connection, lambda manager: followed(manager, run_id, view.add, limit))
        except KeyboardInterrupt:
            click.echo(f"The run goes on: `exospherehost runs watch {run_id}` shows it again.", err=True)
            return 130
    show_end(run, as_json=as_json)
    return exit_status(run)


def show_end(run: Run, *, as_json: bool) -> None:
    """Show how a run ended."""

    def rendered() -> Iterator[RenderableType]:
        yield from run_tree.header(run)
        if run.failed_states:
            yield ""
            yield from run_tree.errors(run, lambda _: True)
            yield f"`exospherehost runs retry {run.run_id}` tries its failed states again."

    show(run.model_dump(mode="json", by_alias=True), rendered, as_json=as_json)


def exit_status(run: Run) -> int:
    """Return the exit status for a run that has ended: 1 if it failed or was cancelled."""
    return FAILED if str(run.status) == "FAILED" else 0
