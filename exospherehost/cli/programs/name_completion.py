"""Completion of names in the shell: graphs, runs and nodes of the service that a command would speak to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

import click
from click.shell_completion import CompletionItem

from exospherehost._state_manager.state_manager import StateManager
from exospherehost.cli.options.connection import find_connection
from exospherehost.cli.programs.run_finding import status_of
from exospherehost.cli.programs.service_calls import call

SECONDS = 2.0
"""How long a person waits for the names."""
MOST_RUNS = 50


def complete_graphs(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the graphs whose names begin so."""

    async def items(manager: StateManager) -> list[CompletionItem]:
        return [CompletionItem(graph.name) for graph in await manager.list_graphs()]

    return _completed(context, incomplete, items)


def complete_nodes(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the registered nodes whose names begin so."""

    async def items(manager: StateManager) -> list[CompletionItem]:
        return [CompletionItem(node.name) for node in await manager.list_nodes()]

    return _completed(context, incomplete, items)


def complete_runs(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the newest runs whose ids begin so."""

    async def items(manager: StateManager) -> list[CompletionItem]:
        async with aclosing(manager.list_runs(limit=MOST_RUNS)) as runs:
            return [CompletionItem(run.run_id, help=f"{run.graph_name} {status_of(run)}") async for run in runs]

    return _completed(context, incomplete, items)


def _completed(
    context: click.Context,
    incomplete: str,
    items: Callable[[StateManager], Coroutine[Any, Any, list[CompletionItem]]],
) -> list[CompletionItem]:
    given = context.params

    async def in_time(manager: StateManager) -> list[CompletionItem]:
        async with asyncio.timeout(SECONDS):
            return await items(manager)

    try:
        connection = find_connection(given.get("uri"), given.get("key"), given.get("namespace"), given.get("profile"))
        found = call(connection, in_time)
    except (click.ClickException, TimeoutError):
        # A message would land in the line that the person is typing.
        return []
    return [item for item in found if item.value.startswith(incomplete)]
