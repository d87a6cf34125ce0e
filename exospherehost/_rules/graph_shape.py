"""Template-level rules of a graph template (400): names, shape, references."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from exospherehost._rules.model import GraphNodeSpec, GraphSpec
from exospherehost._rules.placeholders import PlaceholderError, StoreReference, parse
from exospherehost._rules.topology import Topology


def check_template(graph: GraphSpec, *, empty_secrets: Collection[str] = ()) -> list[str]:
    """Return why a template is refused as a whole; nothing means that it is accepted.

    The rules come in groups. All problems of a group are returned together, and a group is looked
    at only if those before it found nothing.

    Args:
        graph: The version, trimmed.
        empty_secrets: The names of the secrets whose value is empty.
    """
    if problems := _names(graph, empty_secrets):
        return problems
    if problems := _unites_targets(graph):
        return problems
    topology = Topology(graph)
    groups: tuple[Callable[[Topology], list[str]], ...] = (
        _one_root,
        _stalled,
        _unreached,
        _cycle,
        _unions,
        _inputs,
    )
    for group in groups:
        if problems := group(topology):
            return problems
    return []


def _names(graph: GraphSpec, empty_secrets: Collection[str]) -> list[str]:
    problems: list[str] = []
    if not graph.name.strip():
        problems.append("The graph's name must not be blank")
    if not graph.namespace.strip():
        problems.append("The namespace must not be blank")
    for secret in graph.secrets:
        if not secret.strip():
            problems.append("The name of a secret must not be blank")
        elif secret in empty_secrets:
            problems.append(f"Secret '{secret}' is empty: give it a value or leave it out")
    identifiers = [node.identifier for node in graph.nodes]
    known = set(identifiers)
    if len(known) < len(identifiers):
        problems += [
            f"Identifier '{identifier}' is used by more than one node: give each its own"
            for identifier in _repeated(identifiers)
        ]
        return problems
    problems += [
        f"Node '{node.identifier}' has next node '{entry}', but the graph has no such identifier"
        for node in graph.nodes
        for entry in node.next_nodes
        if entry not in known
    ]
    return problems


def _unites_targets(graph: GraphSpec) -> list[str]:
    known = {node.identifier for node in graph.nodes}
    problems: list[str] = []
    for node in graph.nodes:
        if node.unites is None:
            continue
        united = node.unites.identifier
        if united == node.identifier:
            problems.append(f"Node '{united}' unites itself: name a node above it")
        elif united not in known:
            problems.append(f"Node '{node.identifier}' unites '{united}', but the graph has no such identifier")
    return problems


def _one_root(topology: Topology) -> list[str]:
    roots = topology.roots
    if len(roots) == 1:
        return []
    if roots:
        return [
            (
                "A graph starts at exactly one node, but nothing leads to these: "
                f"{_quoted(roots)}. List all but one of them in the next_nodes of others"
            )
        ]
    if not topology.graph.nodes:
        return ["A graph starts at exactly one node, but this one has no nodes"]
    return [
        (
            "A graph starts at exactly one node, but here each node comes after another: "
            "remove the next node that leads back to the start"
        )
    ]


def _stalled(topology: Topology) -> list[str]:
    return [
        f"Node '{identifier}' unites '{_united(topology, identifier)}', which is disconnected "
        "from the start or comes only after it: unite a node that runs before it"
        for identifier in topology.stalled
    ]


def _unreached(topology: Topology) -> list[str]:
    problems: list[str] = []
    for identifier in topology.unreached:
        if topology.predecessors(identifier):
            problems.append(f"Node '{identifier}' cannot be reached from the start '{topology.root}'")
        else:
            problems.append(
                f"Node '{identifier}' unites '{_united(topology, identifier)}', but no node leads "
                "to it: list it in the next_nodes of the branches that it waits for"
            )
    return problems


def _cycle(topology: Topology) -> list[str]:
    cycle = topology.cycle
    if not cycle:
        return []
    return [f"The graph has a cycle that node '{cycle[-2]}' closes: {' -> '.join(cycle)}. A graph must come to an end"]


def _unions(topology: Topology) -> list[str]:
    problems: list[str] = []
    for lost in topology.lost_unions:
        if lost.predecessor == lost.united:
            problems.append(
                f"Node '{lost.uniter}' is a direct next node of '{lost.united}', which it unites: "
                f"remove it from the next_nodes of '{lost.united}', and list it in those of the "
                "nodes that it waits for"
            )
        else:
            problems.append(
                f"Node '{lost.uniter}' unites '{lost.united}', but a branch through "
                f"'{lost.predecessor}' does not carry '{lost.united}': unite a node that is above "
                "every branch and below no other union, or take the branch away"
            )
    return problems


def _inputs(topology: Topology) -> list[str]:
    keys = topology.graph.store.keys
    problems: list[str] = []
    for node in topology.graph.nodes:
        visible = topology.visible(node.identifier)
        for name, value in node.inputs.items():
            where = f"Input '{name}' of node '{node.identifier}'"
            if not isinstance(value, str):
                problems.append(f"{where} must be text, not {_json_kind(value)}")
                continue
            try:
                references = parse(value).references
            except PlaceholderError as error:
                problems.append(f"{where}: {error}")
                continue
            for reference in dict.fromkeys(references):
                if isinstance(reference, StoreReference):
                    if reference.key not in keys:
                        problems.append(
                            f"{where} refers to store key '{reference.key}': add it to required_keys or default_values"
                        )
                elif reference.identifier not in visible:
                    reason = _invisible(topology, node, reference.identifier)
                    problems.append(f"{where} refers to '{reference.identifier}', {reason}")
    return problems


def _invisible(topology: Topology, node: GraphNodeSpec, identifier: str) -> str:
    if topology.node(identifier) is None:
        return "but the graph has no such identifier"
    if identifier == node.identifier:
        return "which is the node itself: it may refer only to nodes that run before it"
    if not topology.reaches(identifier, node.identifier):
        return "which does not run before it"
    if node.unites is not None:
        united = node.unites.identifier
        return (
            f"which is one of the branches that it unites: it may refer only to '{united}' and to "
            f"what '{united}' may refer to"
        )
    return (
        "which not every branch that leads to it carries: refer to a node that all of them pass, "
        "or let a node unite the branches"
    )


def _united(topology: Topology, identifier: str) -> str:
    node = topology.node(identifier)
    return "" if node is None or node.unites is None else node.unites.identifier


def _repeated(identifiers: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    repeated: dict[str, None] = {}
    for identifier in identifiers:
        if identifier in seen:
            repeated[identifier] = None
        seen.add(identifier)
    return list(repeated)


def _quoted(identifiers: Iterable[str]) -> str:
    return ", ".join(f"'{identifier}'" for identifier in identifiers)


def _json_kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case _:
            return "an object"
