"""`exospherehost states show` and `states retry`."""

from __future__ import annotations

from collections.abc import Iterator

import click
from rich.console import RenderableType
from rich.json import JSON
from rich.text import Text

from exospherehost._state_manager.state_manager import StateManager
from exospherehost.cli.console.output import block, json_option, plain, show, status_text, table
from exospherehost.cli.options.connection import Connection, connection_options
from exospherehost.cli.programs.run_finding import whole_run_id
from exospherehost.cli.programs.service_calls import call
from exospherehost.cli.programs.wording import ago
from exospherehost_client.models import StateDetail


@click.command(name="show", epilog="Example: exospherehost states show 65f0c0ffee65f0c0ffee65f0 --run 0f3b2c4d")
@click.argument("state_id", metavar="ID")
@click.option("--run", "run_id", metavar="RUN", required=True, help="The id of the state's run, or its beginning.")
@json_option
@connection_options
def show_(connection: Connection, *, state_id: str, run_id: str, as_json: bool) -> None:
    """Show a state in full: inputs, outputs, error, parents and times."""

    async def work(manager: StateManager) -> StateDetail:
        run = await manager.get_run(await whole_run_id(manager, run_id))
        return await manager.get_state(state_id, run_id=run.run_id, graph_name=run.graph_name)

    state = call(connection, work)
    show(state, lambda: _rendered(state), as_json=as_json)


@click.command(epilog="Example: exospherehost states retry 65f0c0ffee65f0c0ffee65f0")
@click.argument("state_id", metavar="ID")
@json_option
@connection_options
def retry(connection: Connection, *, state_id: str, as_json: bool) -> None:
    """Execute a state again: a new state takes its place."""
    answer = call(connection, lambda manager: manager.retry(state_id))
    show(answer, lambda: [f"State {answer.id} takes its place: {answer.status}."], as_json=as_json)


def _rendered(state: StateDetail) -> Iterator[RenderableType]:
    line = Text("State ").append(state.id, "bold").append("  ").append_text(status_text(str(state.status)))
    yield line
    parents = ", ".join(f"{identifier} {parent}" for identifier, parent in state.parents.items()) or "-"
    yield table(
        "",
        "",
        rows=[
            ("identifier", state.identifier),
            ("node", state.node_name),
            ("graph", state.graph_name),
            ("run", state.run_id),
            ("parents", parents),
            ("created", f"{state.created_at.isoformat()}  ({ago(state.created_at)})"),
            ("updated", f"{state.updated_at.isoformat()}  ({ago(state.updated_at)})"),
        ],
    )
    for title, values in (("Inputs", state.inputs), ("Outputs", state.outputs)):
        yield plain(title, "bold")
        yield JSON.from_data(values, ensure_ascii=False)
    if state.error:
        yield plain("Error", "bold red")
        yield block(state.error)
