"""A graph as a tree for the terminal, and as Mermaid."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text
from rich.tree import Tree

from exospherehost.cli.console.output import plain
from exospherehost.cli.programs.graph_files import GraphFile
from exospherehost.cli.programs.wording import counted
from exospherehost_client.models import GraphNode


def roots(graph: GraphFile) -> list[GraphNode]:
    """Return the nodes that follow no other and join nothing."""
    followers = {name for node in graph.nodes for name in node.next_nodes or ()}
    return [node for node in graph.nodes if node.identifier not in followers]


def tree(graph: GraphFile) -> Iterator[RenderableType]:
    """Yield a graph as a tree; a node that several lead to is drawn once and named after that."""
    by_identifier = {node.identifier: node for node in graph.nodes}
    drawn: set[str] = set()
    top = Tree(plain(graph.name, "bold"))
    waiting = [(top, node.identifier) for node in reversed(roots(graph))]
    while waiting:
        branch, identifier = waiting.pop()
        node = by_identifier.get(identifier)
        if node is None:
            branch.add(plain(f"{identifier} (missing)", "bold red"))
            continue
        if identifier in drawn:
            branch.add(plain(f"{identifier} (above)", "dim"))
            continue
        drawn.add(identifier)
        line = plain(identifier, "bold").append_text(plain(f"  {node.node_name}", "dim"))
        if node.unites is not None:
            line.append_text(plain(f"  joins all below {node.unites.identifier} ({node.unites.strategy})", "cyan"))
        twig = branch.add(line)
        for name, text in node.inputs.items():
            twig.add(plain(f"{name} = {text}", "dim"))
        waiting.extend((twig, following) for following in reversed(node.next_nodes or []))
    yield top


def mermaid(graph: GraphFile) -> str:
    """Return a graph as a Mermaid flowchart."""
    number = {node.identifier: f"n{at}" for at, node in enumerate(graph.nodes)}
    lines = ["flowchart TD"]
    lines += [
        f'    {number[node.identifier]}["{_escaped(node.identifier)}<br/><i>{_escaped(node.node_name)}</i>"]'
        for node in graph.nodes
    ]
    for node in graph.nodes:
        lines += [
            f"    {number[node.identifier]} --> {number[following]}"
            for following in node.next_nodes or ()
            if following in number
        ]
        if node.unites is not None and node.unites.identifier in number:
            lines.append(
                f"    {number[node.unites.identifier]} -. {node.unites.strategy} .-> {number[node.identifier]}"
            )
    return "\n".join([*lines, ""])


def _escaped(text: str) -> str:
    """Return text for a Mermaid label, which is HTML with entities written with a # in place of the ampersand."""
    return "".join(
        letter if letter.isalnum() or letter in " _-./:" else f"#{ord(letter)};"
        for letter in text
        if letter.isprintable()
    )


def summary(graph: GraphFile) -> Text:
    """Return a graph's size and options in one line."""
    parts = [counted(len(graph.nodes), "node")]
    if graph.secrets:
        parts.append(f"secrets {', '.join(graph.secrets)}")
    if graph.triggers:
        parts.append(f"schedules {', '.join(trigger.expression for trigger in graph.triggers)}")
    policy = graph.retry_policy
    parts.append(f"retries: {policy.max_retries}, {policy.strategy} from {policy.backoff_factor} ms")
    return plain("; ".join(parts), "dim")
