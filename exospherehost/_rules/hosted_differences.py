"""Where a graph that is accepted here would fare otherwise on the hosted service."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

from exospherehost._rules import retries
from exospherehost._rules.model import GraphNodeSpec, GraphSpec
from exospherehost._rules.placeholders import OutputReference, parse
from exospherehost._rules.topology import Topology

_CRON_FIELDS_WITHOUT_SECONDS = 5
_MOST_SHOWN = 10


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
    """Find branches that end below a united node without leading to its uniting node."""
    differences: list[str] = []
    for uniter in topology.graph.nodes:
        ends = topology.lost_ends(uniter.identifier)
        if uniter.unites is not None and ends:
            differences.append(
                f"Below '{uniter.unites.identifier}', branches that end at {_quoted(ends)} do not lead to "
                f"'{uniter.identifier}': on the hosted service the join is lost when one of them is the last to end"
            )
    return differences


def _competing_joins(topology: Topology) -> list[str]:
    return [
        f"Nodes {_quoted(competing)} all unite '{united}': of those whose branches end apart, the hosted service "
        "starts only the one that is last"
        for united in sorted(topology.united)
        if (competing := topology.competing_uniters(united))
    ]


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


def _quoted(identifiers: Collection[str]) -> str:
    """Return the first identifiers in quotes and how many more there are."""
    shown = ", ".join(f"'{identifier}'" for identifier in islice(identifiers, _MOST_SHOWN))
    return shown if len(identifiers) <= _MOST_SHOWN else f"{shown} and {len(identifiers) - _MOST_SHOWN} more"
