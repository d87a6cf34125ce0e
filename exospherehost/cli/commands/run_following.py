"""`exospherehost runs watch` and `runs wait`: a run until it ends."""

from __future__ import annotations

from datetime import timedelta

import click

from exospherehost.cli.console.output import json_option
from exospherehost.cli.console.run_watching import exit_status, show_end, watch_run
from exospherehost.cli.options.connection import Connection, connection_options
from exospherehost.cli.options.durations import duration_option
from exospherehost.cli.programs.name_completion import complete_runs
from exospherehost.cli.programs.run_following import followed
from exospherehost.cli.programs.service_calls import call

timeout_option = click.option(
    "--timeout",
    "limit",
    metavar="DURATION",
    callback=duration_option,
    help="The longest time to wait, such as 5m; the run goes on after it.",
)


@click.command(epilog="Example: exospherehost runs watch 0f3b2c4d")
@click.argument("run_id", metavar="ID", shell_complete=complete_runs)
@timeout_option
@json_option
@connection_options
@click.pass_context
def watch(
    context: click.Context, connection: Connection, *, run_id: str, limit: timedelta | None, as_json: bool
) -> None:
    """Watch a run until it ends, with its states by node and status.

    ID is a run's id, or its beginning. The exit status is 1 if the run failed. Ctrl-C ends the view; the run goes on.
    """
    context.exit(watch_run(connection, run_id, limit, as_json=as_json))


@click.command(epilog="Example: exospherehost runs wait 0f3b2c4d --timeout 10m")
@click.argument("run_id", metavar="ID", shell_complete=complete_runs)
@timeout_option
@json_option
@connection_options
@click.pass_context
def wait(
    context: click.Context, connection: Connection, *, run_id: str, limit: timedelta | None, as_json: bool
) -> None:
    """Wait until a run has ended, in silence.

    ID is a run's id, or its beginning. The exit status is 1 if the run failed.
    """
    run = call(connection, lambda manager: followed(manager, run_id, lambda _: None, limit))
    show_end(run, as_json=as_json)
    context.exit(exit_status(run))
