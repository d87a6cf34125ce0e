"""What a transaction of many units has read and holds, and what it has yet to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from exospherehost.server.domain.records import (
    GraphRecord,
    JoinProgress,
    NodeRecord,
    RunCounts,
    RunRecord,
    StateChange,
    StateRecord,
)
from exospherehost.server.domain.store import NodeKey

Values = dict[str, Any]


@dataclass(slots=True)
class Pending:
    """What is to be written, and how what is held stands with it.

    Attributes:
        states: States whose rows are held.
        changes: Changes of such states, as the statement's values, by id.
        additions: New states, likewise.
        runs: New runs, likewise, by key.
        counts: What is to be added to the counts of runs.
        totals: What is to be added to the number of a namespace's runs.
        joins: Where joins stand whose rows are held.
        changed_joins: Those of them that are to be written.
        revision: Rises with all that is put off.
    """

    states: dict[str, StateRecord] = field(default_factory=dict[str, StateRecord])
    changes: dict[str, Values] = field(default_factory=dict[str, Values])
    additions: list[Values] = field(default_factory=list[Values])
    runs: dict[int, Values] = field(default_factory=dict[int, Values])
    counts: dict[int, RunCounts] = field(default_factory=dict[int, RunCounts])
    totals: dict[str, int] = field(default_factory=dict[str, int])
    joins: dict[str, JoinProgress] = field(default_factory=dict[str, JoinProgress])
    changed_joins: set[str] = field(default_factory=set[str])
    revision: int = 0

    def copy(self) -> Pending:
        """Return what can be gone back to."""
        return Pending(
            dict(self.states),
            dict(self.changes),
            list(self.additions),
            dict(self.runs),
            dict(self.counts),
            dict(self.totals),
            dict(self.joins),
            set(self.changed_joins),
            self.revision,
        )

    @property
    def has_writes(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.changes or self.additions or self.runs or self.counts or self.totals or self.changed_joins)

    def change(self, state: StateRecord, change: StateChange, values: Values) -> None:
        """Put off a change of a state that is held."""
        self.revision += 1
        before = self.changes.get(state.id)
        # One that changes again is written once, as it then is.
        self.changes[state.id] = values if before is None else {**before, **values, "was_status": before["was_status"]}
        self.states[state.id] = state._replace(
            status=change.status,
            outputs=change.outputs,
            error=change.error,
            enqueue_after=change.enqueue_after,
            updated_at=change.updated_at,
            claim_token=None,
        )

    def count_run(self, namespace: str, change: int) -> None:
        """Put off a change of the number of a namespace's runs."""
        self.revision += 1
        self.totals[namespace] = self.totals.get(namespace, 0) + change

    def add(self, rows: Sequence[Values]) -> None:
        """Put off new states."""
        self.revision += 1
        self.additions += rows

    def start(self, run_key: int, values: Values) -> None:
        """Put off a new run."""
        self.revision += 1
        self.runs[run_key] = values

    def move_join(self, state_id: str, progress: JoinProgress) -> None:
        """Put off a change of a join whose row is held."""
        self.revision += 1
        self.joins[state_id] = progress
        self.changed_joins.add(state_id)

    def count(self, run_key: int, change: RunCounts) -> None:
        """Put off a change of a run's counts."""
        self.revision += 1
        new = self.runs.get(run_key)
        if new is not None:
            more = {name: new[name] + getattr(change, name) for name in ("pending", "succeeded", "errored", "retried")}
            self.runs[run_key] = {**new, **more}
            return
        before = self.counts.get(run_key, RunCounts())
        self.counts[run_key] = RunCounts(
            before.pending + change.pending,
            before.succeeded + change.succeeded,
            before.errored + change.errored,
            before.retried + change.retried,
        )


@dataclass(slots=True)
class Known:
    """What was read and stays as it is: runs and graphs, whose rows are held, and nodes."""

    runs: dict[int, RunRecord] = field(default_factory=dict[int, RunRecord])
    nodes: dict[NodeKey, NodeRecord] = field(default_factory=dict[NodeKey, NodeRecord])
    graphs: dict[tuple[str, str], GraphRecord] = field(default_factory=dict[tuple[str, str], GraphRecord])
