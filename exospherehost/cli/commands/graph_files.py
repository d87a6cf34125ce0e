"""`exospherehost graphs apply` and `graphs diff`: graphs in files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType

from exospherehost._errors import GraphValidationError
from exospherehost._state_manager.state_manager import StateManager
from exospherehost.cli.console.output import json_option, plain, show
from exospherehost.cli.options.connection import Connection, connection_options
from exospherehost.cli.options.pairs import pairs
from exospherehost.cli.programs.graph_changes import difference, find_stored, registered_nodes, secret_values
from exospherehost.cli.programs.graph_files import ReadGraph, read_graph
from exospherehost.cli.programs.service_calls import FAILED, call

_files = click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.command(epilog="Example: exospherehost graphs apply greetings.yaml --secret token=@token.txt")
@_files
@click.option("--secret", "secrets", multiple=True, metavar="NAME=VALUE", help="A secret's value; NAME=@FILE reads it.")
@click.option("--dry-run", is_flag=True, help="Check the files and show what would change, and store nothing.")
@json_option
@connection_options
def apply(
    connection: Connection, *, files: Sequence[Path], secrets: Sequence[str], dry_run: bool, as_json: bool
) -> None:
    """Store the graphs of YAML or JSON files, and wait until they are VALID.

    All files are checked by the state manager's own rules before the first is stored. A secret's value comes from
    --secret, or from a variable such as EXOSPHERE_SECRET_TOKEN for the secret `token`.
    """
    given = pairs(secrets, "--secret")

    async def work(manager: StateManager) -> list[dict[str, Any]]:
        read = await _checked(connection, manager, files)
        named = {name for each in read for name in each.graph.secrets}
        if unknown := sorted(set(given) - named):
            raise click.UsageError(
                f"no file names the secret {unknown[0]!r}: they name {', '.join(sorted(named)) or 'none'}"
            )
        values = [
            {} if dry_run else secret_values(each, {name: given[name] for name in each.graph.secrets if name in given})
            for each in read
        ]
        return [await _applied(manager, each, found, dry_run=dry_run) for each, found in zip(read, values, strict=True)]

    done = call(connection, work)
    show({"dry_run": dry_run, "graphs": done}, lambda: _rendered(done, dry_run=dry_run), as_json=as_json)


@click.command(epilog="Example: exospherehost graphs diff greetings.yaml")
@_files
@json_option
@connection_options
@click.pass_context
def diff(context: click.Context, connection: Connection, *, files: Sequence[Path], as_json: bool) -> None:
    """Show how the graphs of files differ from the stored ones; the exit status is 1 if one does."""

    async def work(manager: StateManager) -> list[dict[str, Any]]:
        read = [read_graph(file, manager.namespace) for file in files]
        return [
            {"name": each.graph.name, "diff": difference(await find_stored(manager, each.graph.name), each.graph)}
            for each in read
        ]

    found = call(connection, work)
    show({"graphs": found}, lambda: _rendered(found, dry_run=True), as_json=as_json)
    context.exit(FAILED if any(each["diff"] for each in found) else 0)


async def _checked(connection: Connection, manager: StateManager, files: Iterable[Path]) -> list[ReadGraph]:
    read = [read_graph(file, manager.namespace) for file in files]
    async with AsyncExitStack() as stack:
        managers = {manager.namespace: manager}
        for namespace in {node.namespace for each in read for node in each.graph.nodes} - {manager.namespace}:
            other = StateManager(namespace, connection.uri, connection.key)
            managers[namespace] = await stack.enter_async_context(other)
        registered = await registered_nodes(managers, read)
    problems = [problem for each in read for problem in each.problems(manager.namespace, registered)]
    if problems:
        raise click.ClickException("\n".join(problems))
    return read


async def _applied(manager: StateManager, read: ReadGraph, secrets: dict[str, str], *, dry_run: bool) -> dict[str, Any]:
    graph = read.graph
    changes = difference(await find_stored(manager, graph.name), graph)
    if not dry_run:
        try:
            await manager.upsert_graph(
                graph.name, graph.nodes, secrets, graph.retry_policy, graph.store_config, graph.triggers
            )
        except GraphValidationError as error:
            problems = [f"{read.place()}: {problem}" for problem in error.validation_errors]
            raise click.ClickException("\n".join(problems)) from error
    return {"name": graph.name, "diff": changes}


def _rendered(graphs: Sequence[dict[str, Any]], *, dry_run: bool) -> Iterator[RenderableType]:
    for graph in graphs:
        for line in graph["diff"]:
            yield plain(line, _COLOURS.get(line[:1], ""))
        if not graph["diff"]:
            yield f"Graph {graph['name']}: nothing changes."
        elif not dry_run:
            yield f"Graph {graph['name']} is stored and VALID."
