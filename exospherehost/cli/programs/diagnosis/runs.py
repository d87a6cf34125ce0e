"""Runs that do not go on: due states that nobody claims, held states that nobody reports, joins that cannot happen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

from exospherehost._state_manager.runs import Run
from exospherehost._state_manager.state_manager import StateManager
from exospherehost.cli.programs.diagnosis.findings import Finding, error, warning
from exospherehost.cli.programs.wording import counted, spelled
from exospherehost_client.models import GraphListItem, RunGraphNode, RunSummary, StateStatus

MOST_PENDING_RUNS = 30
MOST_ENDED_RUNS = 20
"""How many runs are read in full; each may be large."""


async def run_findings(
    manager: StateManager, graphs: Sequence[GraphListItem], runs: Sequence[RunSummary], patience: timedelta
) -> AsyncIterator[Finding]:
    """Yield what keeps runs from going on.

    Args:
        manager: The namespace.
        graphs: Its graphs.
        runs: Its newest runs, newest first.
        patience: How long a state may wait, or be held, before it is worth a finding.
    """
    now = datetime.now(UTC)
    # The oldest are the likeliest to be stuck.
    pending = [run for run in runs if run.pending_count > 0 and now - run.created_at > patience]
    for summary in pending[-MOST_PENDING_RUNS:]:
        run = await manager.get_run(summary.run_id)
        async for finding in _waiting(manager, run, now, patience):
            yield finding
    joins = {graph.name: graph for graph in graphs if any(node.unites is not None for node in graph.nodes)}
    ended = [run for run in runs if run.pending_count == 0 and run.graph_name in joins and run.cancelled_at is None]
    for summary in ended[:MOST_ENDED_RUNS]:
        run = await manager.get_run(summary.run_id)
        for finding in _lost_joins(run, joins[run.graph_name]):
            yield finding


async def _waiting(manager: StateManager, run: Run, now: datetime, patience: timedelta) -> AsyncIterator[Finding]:
    by_node: defaultdict[tuple[str, str], list[RunGraphNode]] = defaultdict(list)
    for node in run.nodes:
        if node.status in (StateStatus.CREATED, StateStatus.QUEUED):
            by_node[str(node.status), node.node_name].append(node)
    for (status, name), nodes in by_node.items():
        # States are listed in the order of their creation, so the first has waited longest.
        state = await manager.get_state(nodes[0].id, run_id=run.run_id, graph_name=run.graph_name)
        age = now - state.updated_at
        if age <= patience:
            continue
        where = f"of node {name!r} in run {run.run_id} of graph {run.graph_name!r}"
        states = counted(len(nodes), "state")
        if status == StateStatus.CREATED:
            yield warning(
                "waiting",
                f"{states} {where} waited for {spelled(age)} without being claimed",
                f"start a runtime that has {name!r}; a delayed trigger or a retry may also wait so long",
            )
        else:
            yield warning(
                "held",
                f"{states} {where} held for {spelled(age)} without a report",
                f"if the runtime that claimed them is gone, `exospherehost states retry {state.id}`",
            )


def _lost_joins(run: Run, graph: GraphListItem) -> list[Finding]:
    """Find joins that an ended run has not made although a united state led to it."""
    by_identifier: defaultdict[str, list[RunGraphNode]] = defaultdict(list)
    for state in run.nodes:
        by_identifier[state.identifier].append(state)
    findings: list[Finding] = []
    for node in graph.nodes:
        if node.unites is None or by_identifier[node.identifier]:
            continue
        united = [each for each in by_identifier[node.unites.identifier] if each.status == StateStatus.SUCCESS]
        before = [each.identifier for each in graph.nodes if node.identifier in (each.next_nodes or ())]
        reached = any(each.status == StateStatus.SUCCESS for name in before for each in by_identifier[name])
        if not united or not reached:
            continue
        failed = run.failed_states
        remedy = (
            f"`exospherehost runs retry {run.run_id}` tries the states again that failed"
            if failed
            else f"retry the last state before it: `exospherehost runs show {run.run_id}`"
        )
        what = "can no longer happen: a state below what it unites failed" if failed else "never happened"
        where = f"the join {node.identifier!r} in run {run.run_id} of graph {run.graph_name!r}"
        findings.append(error("joins", f"{where} {what}", remedy))
    return findings
