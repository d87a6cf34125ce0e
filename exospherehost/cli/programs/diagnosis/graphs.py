"""Graphs: whether they are valid, their nodes registered, and their schedules alive."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from exospherehost._rules import cron
from exospherehost._state_manager.state_manager import StateManager
from exospherehost.cli.options.connection import Connection
from exospherehost.cli.programs.diagnosis.findings import Finding, error, note, warning
from exospherehost_client.models import GraphListItem, RunSummary, ValidationStatus

LATE = timedelta(minutes=5)
"""How long after its time a schedule may have made no run."""
FAILED_IN_A_ROW = 3


async def graph_findings(
    connection: Connection, manager: StateManager, graphs: Sequence[GraphListItem], runs: Sequence[RunSummary]
) -> AsyncIterator[Finding]:
    """Yield what is wrong with graphs.

    Args:
        connection: The service.
        manager: Its namespace.
        graphs: The graphs of the namespace.
        runs: Its newest runs, newest first.
    """
    if not graphs:
        yield note("graphs", "the namespace has no graph", "`exospherehost graphs apply FILE` stores one")
    for graph in graphs:
        if graph.validation_status == ValidationStatus.INVALID:
            reasons = "; ".join(graph.validation_errors or ["the service gave no reason"])
            yield error("graphs", f"graph {graph.name!r} is INVALID: {reasons}", "correct it and store it again")
    async for finding in _nodes(connection, manager, graphs):
        yield finding
    by_graph: defaultdict[str, list[RunSummary]] = defaultdict(list)
    for run in runs:
        by_graph[run.graph_name].append(run)
    for finding in _schedules(graphs, by_graph):
        yield finding


async def _nodes(
    connection: Connection, manager: StateManager, graphs: Sequence[GraphListItem]
) -> AsyncIterator[Finding]:
    used: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for graph in graphs:
        for node in graph.nodes:
            if graph.name not in used[node.namespace][node.node_name]:
                used[node.namespace][node.node_name].append(graph.name)
    for namespace, names in sorted(used.items()):
        if namespace == manager.namespace:
            registered = await manager.list_nodes()
        else:
            async with StateManager(namespace, connection.uri, connection.key) as other:
                registered = await other.list_nodes()
        known = {node.name for node in registered}
        for name in sorted(names.keys() - known):
            yield error(
                "nodes",
                f"node {name!r} of namespace {namespace!r} is not registered, and used by {', '.join(names[name])}",
                "start a runtime that has it: `exospherehost run MODULE:RUNTIME`",
            )


def _schedules(graphs: Sequence[GraphListItem], by_graph: Mapping[str, Sequence[RunSummary]]) -> Iterator[Finding]:
    now = datetime.now(UTC)
    for graph in graphs:
        expressions = [str(trigger.value.get("expression", "")) for trigger in graph.triggers]
        if not expressions or graph.validation_status != ValidationStatus.VALID:
            continue
        runs = by_graph.get(graph.name, ())
        newest = max([graph.updated_at, *(run.created_at for run in runs[:1])])
        for expression in expressions:
            if cron.validate(expression) is not None:
                continue
            due = cron.next_after(expression, newest)
            if due is None:
                yield error(
                    "schedules",
                    f"the schedule {expression!r} of graph {graph.name!r} never comes due again",
                    "correct the expression or remove the trigger",
                )
            elif now - due > LATE:
                yield warning(
                    "schedules",
                    f"the schedule {expression!r} of graph {graph.name!r} was due at {due:%Y-%m-%d %H:%M} UTC and made "
                    "no run",
                    "see the service's log; the hosted service reads schedules in its local time",
                )
        ended = [run for run in runs if run.pending_count == 0][:FAILED_IN_A_ROW]
        if len(ended) == FAILED_IN_A_ROW and all(run.status == "FAILED" for run in ended):
            yield error(
                "schedules",
                f"the last {FAILED_IN_A_ROW} runs of the scheduled graph {graph.name!r} failed",
                f"`exospherehost runs errors {ended[0].run_id}` shows why",
            )
