"""`exospherehost nodes` and `namespaces`: what runtimes have registered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from exospherehost._rules.json_values import as_object
from exospherehost.cli.console.output import json_option, plain, show, table
from exospherehost.cli.options.connection import Connection, connection_options
from exospherehost.cli.programs.name_completion import complete_nodes
from exospherehost.cli.programs.service_calls import NotFoundFailure, call, call_raw
from exospherehost.cli.programs.wording import ago
from exospherehost_client.api.nodes import list_namespaces
from exospherehost_client.models import RegisteredNode


@click.command(name="list", epilog="Example: exospherehost nodes list --namespace hello")
@json_option
@connection_options
def list_(connection: Connection, *, as_json: bool) -> None:
    """List the nodes that runtimes have registered."""
    nodes = sorted(call(connection, lambda manager: manager.list_nodes()), key=lambda node: node.name)

    def rendered() -> Iterator[RenderableType]:
        if not nodes:
            yield "No node is registered: a runtime registers its nodes when it starts (`exospherehost run`)."
            return
        yield table(
            "NODE",
            "INPUTS",
            "OUTPUTS",
            "SECRETS",
            "RUNTIME",
            "REGISTERED",
            rows=[
                (
                    node.name,
                    ", ".join(_fields(node.inputs_schema)) or "-",
                    ", ".join(_fields(node.outputs_schema)) or "-",
                    ", ".join(node.secrets) or "-",
                    node.runtime_name,
                    ago(node.updated_at),
                )
                for node in nodes
            ],
        )

    show({"nodes": [node.model_dump(mode="json", by_alias=True) for node in nodes]}, rendered, as_json=as_json)


@click.command(name="show", epilog="Example: exospherehost nodes show Greet")
@click.argument("name", metavar="NAME", shell_complete=complete_nodes)
@json_option
@connection_options
def show_(connection: Connection, *, name: str, as_json: bool) -> None:
    """Show a node: its inputs, outputs and secrets, and who registered it."""
    nodes = call(connection, lambda manager: manager.list_nodes())
    found = next((node for node in nodes if node.name == name), None)
    if found is None:
        nearest = get_close_matches(name, [node.name for node in nodes], n=1)
        remedy = f"did you mean {nearest[0]!r}?" if nearest else "`exospherehost nodes list` shows those that there are"
        raise NotFoundFailure(f"no node {name!r} is registered in this namespace: {remedy}")
    show(found.model_dump(mode="json", by_alias=True), lambda: _rendered(found), as_json=as_json)


@click.command(name="list", epilog="Example: exospherehost namespaces list --json")
@json_option
@connection_options
def list_namespaces_(connection: Connection, *, as_json: bool) -> None:
    """List the namespaces that the key may use."""
    names = sorted(call_raw(connection, lambda client: list_namespaces.sync(client=client)).namespaces)

    def rendered() -> Iterator[RenderableType]:
        yield from map(plain, names)
        if not names:
            yield "There is no namespace yet: the first node or graph makes one."

    show({"namespaces": names}, rendered, as_json=as_json)


def _rendered(node: RegisteredNode) -> Iterator[RenderableType]:
    yield Text("Node ").append_text(plain(node.name, "bold")).append(f"  namespace {node.namespace}", "dim")
    yield f"Registered by {node.runtime_name}, {ago(node.updated_at)}; secrets: {', '.join(node.secrets) or 'none'}"
    for title, schema in (("INPUT", node.inputs_schema), ("OUTPUT", node.outputs_schema)):
        fields = _fields(schema)
        required = schema.get("required", [])
        yield ""
        yield table(
            title,
            "TYPE",
            "REQUIRED",
            "DESCRIPTION",
            rows=[
                (
                    field,
                    str(properties.get("type", "any")),
                    "yes" if field in required else "no",
                    str(properties.get("description", "")),
                )
                for field, properties in fields.items()
            ],
        )


def _fields(schema: dict[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {name: as_object(value) or {} for name, value in (as_object(schema.get("properties")) or {}).items()}
