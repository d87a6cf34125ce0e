"""`exospherehost top`: what runs now, live."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import click
from rich.live import Live

from exospherehost._errors import APIConnectionError
from exospherehost._state_manager.state_manager import StateManager
from exospherehost.cli.console.activity_view import ActivityView
from exospherehost.cli.console.output import new_console
from exospherehost.cli.options.connection import Connection, connection_options
from exospherehost.cli.programs.service_calls import call

LATEST_RUNS = 200
"""How many of the newest runs are looked at."""


@click.command(epilog="Example: exospherehost top --namespace hello", short_help="Show what runs now, live.")
@click.option(
    "--interval", type=click.FloatRange(0.2, 60), default=1.0, show_default=True, help="Seconds between two looks."
)
@click.option("--once", is_flag=True, help="Look once, print it, and end.")
@connection_options
def top(connection: Connection, *, interval: float, once: bool) -> None:
    """Show what runs now, live: states per second, runs, and the graphs that fail.

    It looks at the newest 200 runs. Ctrl-C ends it.
    """
    console = new_console()
    if not once and not console.is_terminal:
        raise click.UsageError(
            "standard output is not a terminal: give --once, or use `exospherehost runs list --json`"
        )

    async def work(manager: StateManager) -> None:
        view = ActivityView(connection.uri, manager.namespace)
        await _look(manager, view)
        if once:
            console.print(view)
            return
        with Live(view, console=console, screen=True, auto_refresh=False) as live:
            while True:
                live.refresh()
                await asyncio.sleep(interval)
                try:
                    await _look(manager, view)
                except APIConnectionError as error:
                    view.lose(str(error))

    try:
        call(connection, work)
    except KeyboardInterrupt:
        return


async def _look(manager: StateManager, view: ActivityView) -> None:
    async with aclosing(manager.list_runs(limit=LATEST_RUNS)) as runs:
        view.add([run async for run in runs])
