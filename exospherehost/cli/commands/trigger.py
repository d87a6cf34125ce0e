"""`exospherehost trigger`: starts a run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import click

from exospherehost._state_manager.state_manager import StateManager
from exospherehost.cli.console.output import json_option, show
from exospherehost.cli.console.run_watching import watch_run
from exospherehost.cli.options.connection import Connection, connection_options
from exospherehost.cli.options.durations import duration_option
from exospherehost.cli.options.pairs import pairs
from exospherehost.cli.programs.name_completion import complete_graphs
from exospherehost.cli.programs.service_calls import call


@click.command(
    epilog="Example: exospherehost trigger greetings -i name=World --wait", short_help="Start a run of a graph."
)
@click.argument("graph", metavar="GRAPH", shell_complete=complete_graphs)
@click.option("-i", "--input", "inputs", multiple=True, metavar="KEY=VALUE", help="An input of the graph's first node.")
@click.option("-s", "--store", multiple=True, metavar="KEY=VALUE", help="A value of the run's store.")
@click.option(
    "--delay",
    metavar="DURATION",
    callback=duration_option,
    help="How long to wait before the first node, such as 5m.",
)
@click.option("--idempotency-key", metavar="KEY", help="The same key starts no second run within 24 hours.")
@click.option("--wait", is_flag=True, help="Watch the run until it ends; the exit status is 1 if it failed.")
@json_option
@connection_options
@click.pass_context
def trigger(
    context: click.Context,
    connection: Connection,
    *,
    graph: str,
    inputs: Sequence[str],
    store: Sequence[str],
    delay: timedelta | None,
    idempotency_key: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Start a run of GRAPH.

    Values are text; `key=@FILE` takes the content of a file.
    """
    given, stored = pairs(inputs, "--input"), pairs(store, "--store")
    milliseconds = 0 if delay is None else int(delay.total_seconds() * 1000)

    async def work(manager: StateManager) -> dict[str, Any]:
        return await manager.trigger(
            graph, inputs=given, store=stored, start_delay=milliseconds, idempotency_key=idempotency_key
        )

    answer = call(connection, work)
    run_id = answer["run_id"]
    if not wait:
        show(
            answer,
            lambda: (f"Started run {run_id}.", f"`exospherehost runs watch {run_id}` shows it."),
            as_json=as_json,
        )
        return
    context.exit(watch_run(connection, run_id, None, as_json=as_json))
