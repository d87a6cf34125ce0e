"""What a transaction of many units has read and holds, and what it has yet to write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from exospherehost.server.records import (
    GraphRecord,
    JoinProgress,
    NodeRecord,
    RunCounts,
    RunRecord,
    StateChange,
    StateRecord,
)
from exospherehost.server.store import NodeKey

Values = dict[str, Any]


@dataclass(slots=True)
class Pending:
    """What is to be written, and how what is held stands with it.

    Attributes:
        states: States whose rows are held.
        changes: Changes of such states, as the statement's values.
        additions: New states, likewise.
        runs: New runs, likewise, by key.
        counts: What is to be added to the counts of runs.
        totals: What is to be added to the number of a namespace's runs.
        joins: Where joins stand whose rows are held.
        changed_joins: Those of them that are to be written.
    """

    states: dict[str, StateRecord] = field(default_factory=dict[str, StateRecord])
    changes: list[Values] = field(default_factory=list[Values])
    additions: list[Values] = field(default_factory=list[Values])
    runs: dict[int, Values] = field(default_factory=dict[int, Values])
    counts: dict[int, RunCounts] = field(default_factory=dict[int, RunCounts])
    totals: dict[str, int] = field(default_factory=dict[str, int])
    joins: dict[str, JoinProgress] = field(default_factory=dict[str, JoinProgress])
    changed_joins: set[str] = field(default_factory=set[str])

    def copy(self) -> Pending:
        """Return what can be gone back to."""
        return Pending(
            dict(self.states),
            list(self.changes),
            list(self.additions),
            dict(self.runs),
            dict(self.counts),
            dict(self.totals),
            dict(self.joins),
            set(self.changed_joins),
        )

    @property
    def has_writes(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.changes or self.additions or self.runs or self.counts or self.totals or self.changed_joins)

    def change(self, state: StateRecord, change: StateChange, values: Values) -> None:
        """Put off a change of a state that is held."""
        self.changes.append(values)
        self.states[state.id] = state._replace(
            status=change.status,
            outputs=change.outputs,
            error=change.error,
            enqueue_after=change.enqueue_after,
            updated_at=change.updated_at,
        )

    def count_run(self, namespace: str, change: int) -> None:
        """Put off a change of the number of a namespace's runs."""
        self.totals[namespace] = self.totals.get(namespace, 0) + change

    def count(self, run_key: int, change: RunCounts) -> None:
        """Put off a change of a run's counts."""
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
