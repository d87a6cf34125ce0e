"""Stored graphs as files, and what a file changes in them."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import click

from exospherehost._errors import NotFoundError
from exospherehost._state_manager.state_manager import StateManager
from exospherehost.cli.programs.graph_files import GraphFile, ReadGraph
from exospherehost_client.models import GraphResponse, RegisteredNode

SECRET_VARIABLE = "EXOSPHERE_SECRET_"  # noqa: S105 - the beginning of a variable's name
"""The beginning of the variables that hold secrets; `openai-key` is in EXOSPHERE_SECRET_OPENAI_KEY."""


def stored_graph(name: str, document: Mapping[str, Any]) -> GraphFile:
    """Return a stored graph as its file."""
    graph = GraphResponse.model_validate(document)
    return GraphFile.model_validate(
        {
            "name": name,
            "nodes": [
                {key: value for key, value in node.model_dump(mode="json").items() if value not in (None, [])}
                for node in graph.nodes
            ],
            "secrets": sorted(graph.secrets),
            "retry_policy": graph.retry_policy.model_dump(mode="json"),
            "store_config": graph.store_config.model_dump(mode="json"),
            "triggers": [{"expression": str(trigger.value.get("expression", ""))} for trigger in graph.triggers],
        }
    )


async def find_stored(manager: StateManager, name: str) -> GraphFile | None:
    """Read a stored graph as its file; None if there is none."""
    try:
        return stored_graph(name, await manager.get_graph(name))
    except NotFoundError:
        return None


def difference(stored: GraphFile | None, wanted: GraphFile) -> list[str]:
    """Return the lines of a unified diff from what is stored to what is wanted; empty if nothing changes."""
    before = "" if stored is None else _sorted(stored).text()
    return list(
        difflib.unified_diff(
            before.splitlines(), _sorted(wanted).text().splitlines(), "stored", "file", lineterm="", n=2
        )
    )


def _sorted(graph: GraphFile) -> GraphFile:
    # The service keeps secrets without an order.
    return graph.model_copy(update={"secrets": sorted(graph.secrets)})


def secret_values(read: ReadGraph, given: Mapping[str, str]) -> dict[str, str]:
    """Return the value of each secret that a graph names: given ones first, then variables.

    Raises:
        click.ClickException: One is missing or empty, or one is given that the graph does not name.
    """
    names = read.graph.secrets
    if unknown := sorted(set(given) - set(names)):
        known = ", ".join(names) or "none"
        raise click.UsageError(f"{read.path} has no secret {unknown[0]!r}: it names {known}")
    values = {name: given.get(name) or os.environ.get(variable_of(name), "") for name in names}
    if missing := [name for name in names if not values[name]]:
        lines = [f"{read.place('secrets')}: the secret {name!r} has no value" for name in missing]
        remedy = f"give --secret {missing[0]}=@FILE, or set the variable {variable_of(missing[0])}"
        raise click.ClickException("\n".join([*lines, remedy]))
    return values


def variable_of(secret: str) -> str:
    """Return the variable that holds a secret."""
    return SECRET_VARIABLE + re.sub(r"[^A-Za-z0-9]", "_", secret).upper()


async def registered_nodes(manager_of: Mapping[str, StateManager], graphs: Sequence[ReadGraph]) -> list[RegisteredNode]:
    """Read the nodes of every namespace that graphs use.

    Args:
        manager_of: A state manager for each namespace.
        graphs: The graphs.
    """
    used = {node.namespace for each in graphs for node in each.graph.nodes}
    return [node for namespace in sorted(used) for node in await manager_of[namespace].list_nodes()]
