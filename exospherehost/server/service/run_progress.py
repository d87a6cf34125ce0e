"""Carries a transition through: the states it creates, the run's counts, the joins it completes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from enum import Enum

from exospherehost._rules import joins
from exospherehost._rules.model import FAILED, PENDING, SUCCESSFUL, GraphNodeSpec, Status
from exospherehost._rules.state_inputs import ChildPlan, NextStateError
from exospherehost.server.domain.records import JoinProgress, RunCounts, RunRecord, StateChange, StateRecord
from exospherehost.server.domain.store import UnitOfWork
from exospherehost.server.service.context import Context, LoadedVersion

logger = logging.getLogger(__name__)


class JoinFailure(Enum):
    """What becomes of a uniting state whose inputs cannot be resolved."""

    RAISE = "the transition that completed the join fails"
    SKIP = "nothing: the failure shows elsewhere, and the join may complete once more"
    RECORD = "it is created as failed, for nothing else would show it"


class RunProgress:
    """One unit's changes to the states of one run.

    Args:
        unit: The unit of work.
        context: The server's context.
        run: The run.
        version: The graph version that the run was triggered with.
    """

    def __init__(self, unit: UnitOfWork, context: Context, run: RunRecord, version: LoadedVersion) -> None:
        self._unit = unit
        self._context = context
        self._run = run
        self._version = version
        self._counts = {"pending": 0, "succeeded": 0, "errored": 0, "retried": 0}
        self._join_changes: dict[str, joins.Counts] = {}

    def change(self, state: StateRecord, change: StateChange) -> None:
        """Write a transition of a state, if it still is as it was read."""
        self._unit.change_state(state, change)
        self._tally(state.parents, Status(state.status), Status(change.status))

    def create(self, states: Sequence[StateRecord]) -> None:
        """Write new states, in order."""
        self._unit.add_states(states)
        for state in states:
            self._tally(state.parents, None, Status(state.status))

    def new_state(
        self, node: GraphNodeSpec, inputs: Mapping[str, str], parents: Mapping[str, str], *, due_at: int
    ) -> StateRecord:
        """Return a first attempt at a node, not yet written.

        Args:
            node: Where in the graph.
            inputs: The resolved inputs.
            parents: State ids by identifier.
            due_at: When it may be claimed, in epoch milliseconds.
        """
        now_ms = self._context.clock.now_ms()
        return StateRecord(
            id=self._context.ids.new_id(),
            run_key=self._run.key,
            namespace=node.namespace,
            node_name=node.node_name,
            identifier=node.identifier,
            status=Status.CREATED,
            inputs=inputs,
            outputs={},
            error=None,
            parents=parents,
            retry_count=0,
            fanout_id=None,
            enqueue_after=due_at,
            created_at=now_ms,
            updated_at=now_ms,
        )

    def plan(self, node: GraphNodeSpec) -> ChildPlan:
        """Return how to make the inputs of the states at a node of the graph, as it is registered now.

        Raises:
            NextStateError: It is not registered, or anew with a field that the graph does not give.
        """
        key = (node.node_name, node.namespace)
        return self._version.plan(node.identifier, self._unit.find_nodes([key]).get(key))

    def finish(self, parents: Mapping[str, str], on_failure: JoinFailure) -> None:
        """Write the counts, and create the uniting states that are now due.

        Args:
            parents: Those of the states that changed.
            on_failure: What to do where a uniting state's inputs cannot be resolved.

        Raises:
            NextStateError: So they cannot, and ``on_failure`` is RAISE.
        """
        stands = self._flush_joins()
        # From the inside out: what an inner join creates is pending under the outer ones too.
        for identifier, state_id in joins.united_ancestors(self._version.topology, parents):
            progress = stands.get(state_id)
            if progress is None or progress.pending:
                continue
            counts = joins.Counts(progress.pending, progress.failed)
            ready = joins.ready_uniters(self._version.topology, identifier, counts, self._unit.list_firings(state_id))
            if ready:
                self._unite(ready, state_id, on_failure)
                stands |= self._flush_joins()
        if any(self._counts.values()):
            self._unit.count(self._run.key, RunCounts(**self._counts))

    def _unite(self, nodes: Sequence[GraphNodeSpec], united_id: str, on_failure: JoinFailure) -> None:
        united = self._unit.find_state(united_id)
        if united is None:
            raise LookupError(f"united state {united_id} is gone")
        parents = joins.uniter_parents(united.identifier, united_id, united.parents)
        for node in nodes:
            try:
                state = self._uniting_state(node, parents)
            except NextStateError as error:
                logger.warning(
                    "event=join_failed run_id=%s identifier=%s reason=%s", self._run.id, node.identifier, error
                )
                if on_failure is JoinFailure.RAISE:
                    raise
                if on_failure is JoinFailure.SKIP:
                    continue
                stillborn = self.new_state(node, {}, parents, due_at=self._context.clock.now_ms())
                state = stillborn._replace(status=Status.NEXT_CREATED_ERROR, error=str(error))
            self._unit.add_firing(united_id, node.identifier)
            self.create([state])

    def _uniting_state(self, node: GraphNodeSpec, parents: Mapping[str, str]) -> StateRecord:
        plan = self.plan(node)
        needed = {identifier: parents[identifier] for identifier in plan.references if identifier in parents}
        found = self._unit.find_outputs(needed.values())
        outputs = {identifier: found[state_id] for identifier, state_id in needed.items()}
        inputs = plan.resolve(outputs, self._run.store)
        return self.new_state(node, inputs, parents, due_at=self._context.clock.now_ms())

    def _tally(self, parents: Mapping[str, str], before: Status | None, after: Status) -> None:
        if before is not None:
            self._counts[_group(before)] -= 1
        self._counts[_group(after)] += 1
        change = joins.counts_change(before, after)
        for _identifier, state_id in joins.united_ancestors(self._version.topology, parents):
            self._join_changes[state_id] = self._join_changes.get(state_id, joins.Counts()) + change

    def _flush_joins(self) -> dict[str, JoinProgress]:
        changes, self._join_changes = self._join_changes, {}
        return {
            state_id: self._unit.change_join(state_id, pending=change.pending, failed=change.failed)
            for state_id, change in changes.items()
            if change != joins.Counts()
        }


def _group(status: Status) -> str:
    if status in PENDING:
        return "pending"
    if status in SUCCESSFUL:
        return "succeeded"
    if status in FAILED:
        return "errored"
    return "retried"
