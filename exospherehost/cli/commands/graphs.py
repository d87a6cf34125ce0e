"""`exospherehost graphs list`, `show`, `export`, `draw` and `delete`: stored graphs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from exospherehost._state_manager.state_manager import StateManager
from exospherehost.cli.console import graph_drawing
from exospherehost.cli.console.output import json_option, plain, show, status_text, table
from exospherehost.cli.options.connection import Connection, connection_options
from exospherehost.cli.programs.graph_changes import stored_graph
from exospherehost.cli.programs.name_completion import complete_graphs
from exospherehost.cli.programs.service_calls import call
from exospherehost.cli.programs.wording import ago, counted


@click.command(name="list", epilog="Example: exospherehost graphs list --namespace hello")
@json_option
@connection_options
def list_(connection: Connection, *, as_json: bool) -> None:
    """List the graphs of a namespace."""
    graphs = sorted(call(connection, lambda manager: manager.list_graphs()), key=lambda graph: graph.name)

    def rendered() -> Iterator[RenderableType]:
        if not graphs:
            yield "There is no graph yet: `exospherehost graphs apply FILE` stores one."
            return
        yield table(
            "GRAPH",
            "STATUS",
            "NODES",
            "SCHEDULES",
            "UPDATED",
            rows=[
                (
                    graph.name,
                    status_text(str(graph.validation_status)),
                    str(len(graph.nodes)),
                    ", ".join(str(trigger.value.get("expression", "")) for trigger in graph.triggers) or "-",
                    ago(graph.updated_at),
                )
                for graph in graphs
            ],
            right=("NODES",),
        )
        for graph in graphs:
            for problem in graph.validation_errors or ():
                yield plain(f"{graph.name}: {problem}", "red")

    # Values of secrets are masks, or ciphertexts on the hosted service: of no use to a script.
    listed = [
        {**graph.model_dump(mode="json", by_alias=True, exclude={"secrets"}), "secrets": sorted(graph.secrets)}
        for graph in graphs
    ]
    show({"graphs": listed}, rendered, as_json=as_json)


@click.command(name="show", epilog="Example: exospherehost graphs show greetings")
@click.argument("name", metavar="NAME", shell_complete=complete_graphs)
@json_option
@connection_options
def show_(connection: Connection, *, name: str, as_json: bool) -> None:
    """Show a graph: its nodes as a tree, and its validation."""
    document = call(connection, lambda manager: manager.get_graph(name))
    graph = stored_graph(name, document)

    def rendered() -> Iterator[RenderableType]:
        yield (
            Text("Graph ")
            .append_text(plain(name, "bold"))
            .append("  ")
            .append_text(status_text(str(document["validation_status"])))
        )
        yield graph_drawing.summary(graph)
        for problem in document.get("validation_errors") or ():
            yield plain(f"✗ {problem}", "red")
        yield from graph_drawing.tree(graph)

    show(document, rendered, as_json=as_json)


@click.command(epilog="Example: exospherehost graphs export greetings > greetings.yaml")
@click.argument("name", metavar="NAME", shell_complete=complete_graphs)
@json_option
@connection_options
def export(connection: Connection, *, name: str, as_json: bool) -> None:
    """Print a graph as a file for `graphs apply`; of secrets it has the names alone."""
    graph = stored_graph(name, call(connection, lambda manager: manager.get_graph(name)))
    if as_json:
        show(graph.document(), lambda: (), as_json=True)
    else:
        click.echo(graph.text(), nl=False)


@click.command(epilog="Example: exospherehost graphs draw greetings --output greetings.mmd")
@click.argument("name", metavar="NAME", shell_complete=complete_graphs)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write a Mermaid flowchart (.mmd) rather than drawing to the terminal.",
)
@connection_options
def draw(connection: Connection, *, name: str, output: Path | None) -> None:
    """Draw a graph."""
    if output is not None and output.suffix != ".mmd":
        raise click.UsageError(f"{output}: the file's name ends with .mmd")
    graph = stored_graph(name, call(connection, lambda manager: manager.get_graph(name)))
    if output is None:
        show(None, lambda: graph_drawing.tree(graph), as_json=False)
        return
    try:
        output.write_text(graph_drawing.mermaid(graph), encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"cannot write {output}: {error.strerror}") from error
    click.echo(f"Wrote {output}.", err=True)


@click.command(epilog="Example: exospherehost graphs delete greetings --yes")
@click.argument("name", metavar="NAME", shell_complete=complete_graphs)
@click.option("-y", "--yes", is_flag=True, help="Do it without asking.")
@json_option
@connection_options
def delete(connection: Connection, *, name: str, yes: bool, as_json: bool) -> None:
    """Delete a graph: its schedules end, and its running runs are cancelled.

    Runs that ended stay readable.
    """

    async def work(manager: StateManager) -> dict[str, Any]:
        # A graph that does not exist needs no question.
        await manager.get_graph(name)
        if not yes:
            click.confirm(f"Delete the graph {name!r} and cancel its running runs?", abort=True, err=True)
        return (await manager.delete_graph(name)).model_dump(mode="json")

    done = call(connection, work)
    show(
        done,
        lambda: [f"Deleted the graph {name}; {counted(done['cancelled_runs'], 'run')} cancelled."],
        as_json=as_json,
    )
