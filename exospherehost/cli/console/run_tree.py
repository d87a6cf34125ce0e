"""A run as a tree of its states, and its errors."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator

from rich.console import RenderableType
from rich.text import Text
from rich.tree import Tree

from exospherehost._state_manager.runs import Run
from exospherehost.cli.console.output import block, first_line, plain, status_text
from exospherehost.cli.programs.wording import counted
from exospherehost_client.models import RunGraphNode

MOST_SIBLINGS = 12
"""How many states of one identifier are shown below one parent; the others are counted."""

STATUS_ORDER = (
    "ERRORED",
    "NEXT_CREATED_ERROR",
    "QUEUED",
    "EXECUTED",
    "CREATED",
    "RETRY_CREATED",
    "SUCCESS",
    "PRUNED",
)


def header(run: Run) -> Iterator[RenderableType]:
    """Yield the lines that describe a run."""
    line = Text("Run ").append(run.run_id, "bold").append(" of graph ").append_text(plain(run.graph_name, "bold"))
    yield line.append("  ").append_text(status_text("CANCELLED" if run.cancelled_at else str(run.status)))
    yield counts_line(Counter({status: count for status, count in run.execution_summary.items() if count}))


def counts_line(counts: Counter[str]) -> Text:
    """Return counts of states by status in one line, failures first."""
    total = sum(counts.values())
    parts = [Text(counted(total, "state"))]
    parts += [Text(f"{counts[status]:,} ").append_text(status_text(status)) for status in sorted(counts, key=_place)]
    return Text("  ").join(parts)


def tree(run: Run, takes: Callable[[RunGraphNode], bool]) -> Iterator[RenderableType]:
    """Yield the trees of a run: each state below the state that created it.

    Args:
        run: The run.
        takes: Whether a state is shown; the states above one that is shown are shown, too.
    """
    by_id = {node.id: node for node in run.nodes}
    children: defaultdict[str, list[RunGraphNode]] = defaultdict(list)
    has_parent: set[str] = set()
    for edge in run.edges:
        child = by_id.get(edge.target)
        # A join has several parents; it is shown below the first.
        if child is not None and edge.source in by_id and child.id not in has_parent:
            has_parent.add(child.id)
            children[edge.source].append(child)
    roots = [node for node in run.nodes if node.id not in has_parent]
    kept = _with_ancestors(roots, children, takes)
    # One node at a time, since a chain may be longer than Python's stack.
    forest = Tree("", hide_root=True)
    waiting = [(forest, roots)]
    while waiting:
        branch, nodes = waiting.pop()
        for shown, below in _grouped(nodes, kept):
            twig = branch.add(shown)
            if below is not None and children[below]:
                waiting.append((twig, children[below]))
    yield forest


def errors(run: Run, takes: Callable[[RunGraphNode], bool]) -> Iterator[RenderableType]:
    """Yield the errors of states that failed for good, equal ones together, the most frequent first."""
    groups: defaultdict[tuple[str, str], list[RunGraphNode]] = defaultdict(list)
    for node in run.failed_states:
        if takes(node):
            groups[node.identifier, node.error or "(no error text)"].append(node)
    for (identifier, error), nodes in sorted(groups.items(), key=lambda each: -len(each[1])):
        times = f", {counted(len(nodes), 'state')}" if len(nodes) > 1 else ""
        ids = ", ".join(node.id for node in nodes[:3]) + (", …" if len(nodes) > 3 else "")
        yield Text("✗ ", "bold red").append_text(plain(identifier, "bold")).append(f"{times}  ({ids})", "dim")
        yield block(error)
        yield Text("")


def _with_ancestors(
    roots: Iterable[RunGraphNode], children: dict[str, list[RunGraphNode]], takes: Callable[[RunGraphNode], bool]
) -> set[str]:
    order: list[tuple[str, str | None]] = []
    kept: set[str] = set()
    waiting = [(node, None) for node in roots]
    todo: list[tuple[RunGraphNode, str | None]] = list(waiting)
    while todo:
        node, parent = todo.pop()
        order.append((node.id, parent))
        if takes(node):
            kept.add(node.id)
        todo.extend((child, node.id) for child in children.get(node.id, ()))
    for node_id, parent in reversed(order):
        if node_id in kept and parent is not None:
            kept.add(parent)
    return kept


def _grouped(nodes: Iterable[RunGraphNode], kept: set[str]) -> Iterator[tuple[Text, str | None]]:
    by_identifier: defaultdict[str, list[RunGraphNode]] = defaultdict(list)
    for node in nodes:
        if node.id in kept:
            by_identifier[node.identifier].append(node)
    for identifier, same in by_identifier.items():
        # Failures first, so that none is among those that are only counted.
        same.sort(key=lambda node: _place(str(node.status)))
        for node in same[:MOST_SIBLINGS]:
            yield _line(node), node.id
        if rest := same[MOST_SIBLINGS:]:
            counts = counts_line(Counter(str(node.status) for node in rest))
            yield Text(f"… {identifier}: ", "dim").append_text(counts), None


def _line(node: RunGraphNode) -> Text:
    line = plain(node.identifier, "bold").append(f"  {node.id}  ", "dim")
    line.append_text(status_text(str(node.status)))
    if error := first_line(node.error):
        line.append("  ").append_text(plain(error, "red"))
    return line


def _place(status: str) -> int:
    return STATUS_ORDER.index(status) if status in STATUS_ORDER else len(STATUS_ORDER)
