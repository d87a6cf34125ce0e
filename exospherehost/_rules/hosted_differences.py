"""Where a graph that is accepted here would fare otherwise on the hosted service."""

from __future__ import annotations

from collections.abc import Iterable

from exospherehost._rules import retries
from exospherehost._rules.model import GraphNodeSpec, GraphSpec
from exospherehost._rules.placeholders import OutputReference, parse
from exospherehost._rules.topology import Topology

_CRON_FIELDS_WITHOUT_SECONDS = 5


def hosted_differences(graph: GraphSpec) -> list[str]:
    """Return how the hosted service would refuse the graph or run it otherwise.

    Only what can be told from the template is told: that a join is also completed by a branch
    which fails or is pruned last holds for every join and is left out.

    Args:
        graph: A version that ``check_template`` accepts.
    """
    topology = Topology(graph)
    return [
        *_references_to_uniters(topology),
        *_lost_joins(topology),
        *_competing_joins(topology),
        *_foreign_namespaces(graph),
        *_crons(graph),
        *_retries(graph),
    ]


def _references_to_uniters(topology: Topology) -> list[str]:
    return [
        f"Node '{node.identifier}' refers to the uniting node '{identifier}': the hosted service refuses that"
        for node in topology.graph.nodes
        for identifier in _referred(node)
        if (source := topology.node(identifier)) is not None and source.unites is not None
    ]


def _lost_joins(topology: Topology) -> list[str]:
    """Tell of branches that end below a united node without leading to its uniter."""
    differences: list[str] = []
    for uniter in topology.graph.nodes:
        if uniter.unites is None:
            continue
        united = uniter.unites.identifier
        ends = [
            node.identifier
            for node in topology.graph.nodes
            if united in topology.ever_visible(node.identifier)
            and _ends(topology, node, united)
            and uniter.identifier not in node.next_nodes
            and node.identifier != uniter.identifier
            and not topology.reaches(uniter.identifier, node.identifier)
        ]
        if ends:
            differences.append(
                f"Below '{united}', branches that end at {_quoted(ends)} do not lead to '{uniter.identifier}': on the "
                "hosted service the join is lost when one of them is the last to end"
            )
    return differences


def _ends(topology: Topology, node: GraphNodeSpec, united: str) -> bool:
    """Tell whether nothing under the united state comes after a state of this node."""
    for entry in node.next_nodes:
        after = topology.node(entry)
        if after is None or after.unites is None:
            return False
        if after.unites.identifier == united:
            return False
        if united in topology.ever_visible(after.unites.identifier):
            return False
    return True


def _competing_joins(topology: Topology) -> list[str]:
    differences: list[str] = []
    for united in sorted(topology.united):
        uniters = [node.identifier for node in topology.uniters_of(united)]
        competing = [
            first
            for first in uniters
            if any(
                not _follows(topology, first, second) and not _follows(topology, second, first)
                for second in uniters
                if second != first
            )
        ]
        if competing:
            differences.append(
                f"Nodes {_quoted(competing)} all unite '{united}': of those whose branches end apart, the hosted "
                "service starts only the one that is last"
            )
    return differences


def _follows(topology: Topology, first: str, second: str) -> bool:
    """Tell whether each branch to the second node comes from the first."""
    return all(before == first or first in topology.visible(before) for before in topology.predecessors(second))


def _foreign_namespaces(graph: GraphSpec) -> list[str]:
    return [
        f"Node '{node.identifier}' is of namespace '{node.namespace}', not of the graph's: the "
        "hosted service cannot complete its states"
        for node in graph.nodes
        if node.namespace != graph.namespace
    ]


def _crons(graph: GraphSpec) -> list[str]:
    differences = [
        f"The cron expression {expression!r} is read in UTC, and fires once for all that was "
        "missed during downtime: the hosted service reads it in its local time and fires for each"
        for expression in graph.crons
    ]
    differences += [
        f"The cron expression {expression!r} has seconds: the hosted service looks once a minute"
        for expression in graph.crons
        if len(expression.split()) > _CRON_FIELDS_WITHOUT_SECONDS
    ]
    return differences


def _retries(graph: GraphSpec) -> list[str]:
    policy = graph.retry_policy
    if policy.max_delay is not None or not policy.max_retries or not retries.may_overflow(policy):
        return []
    return [
        (
            f"The retry policy's delays outgrow what can be stored within its {policy.max_retries} retries, and are "
            "cut here: the hosted service fails to take the error report then. Give a max_delay"
        )
    ]


def _referred(node: GraphNodeSpec) -> list[str]:
    return list(
        dict.fromkeys(
            reference.identifier
            for text in node.inputs.values()
            for reference in parse(text).references
            if isinstance(reference, OutputReference)
        )
    )


def _quoted(identifiers: Iterable[str]) -> str:
    return ", ".join(f"'{identifier}'" for identifier in identifiers)
