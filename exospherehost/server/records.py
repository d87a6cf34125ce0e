"""What storage holds, as plain frozen values that know neither SQL nor the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A registered node; times are epoch milliseconds."""

    id: str
    namespace: str
    name: str
    runtime_name: str
    runtime_namespace: str
    inputs_schema: JsonObject
    outputs_schema: JsonObject
    secrets: tuple[str, ...]
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """One stored PUT of a graph: immutable once written.

    ``document`` is the graph as ``GraphSpec.to_json`` gives it; ``secrets`` maps names to ciphertexts.
    """

    id: str
    document: JsonObject
    secrets: Mapping[str, str]
    valid: bool
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GraphRecord:
    """A graph by its name: the latest version put and the latest that was valid."""

    key: int
    id: str
    namespace: str
    name: str
    latest: VersionRecord
    valid_version_id: str | None
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class CronRecord:
    """One schedule of a graph and when it fires next (epoch milliseconds)."""

    key: int
    namespace: str
    graph_name: str
    expression: str
    next_at: int


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run about to be written."""

    id: str
    namespace: str
    graph_name: str
    version_id: str
    store: Mapping[str, str]
    created_at: int


@dataclass(frozen=True, slots=True)
class OldRun:
    """A run as it matters to who deletes old ones: where it stands and when it began (epoch milliseconds)."""

    key: int
    created_at: int
    counts: RunCounts


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run's unchanging part."""

    key: int
    id: str
    namespace: str
    graph_name: str
    version_id: str
    store: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RunCounts:
    """How many states of a run stand in each group; also used as a change to those numbers."""

    pending: int = 0
    succeeded: int = 0
    errored: int = 0
    retried: int = 0

    @property
    def total(self) -> int:
        """All states of the run."""
        return self.pending + self.succeeded + self.errored + self.retried


@dataclass(frozen=True, slots=True)
class RunListing:
    """A run as lists show it; ``created_at`` is epoch milliseconds."""

    id: str
    graph_name: str
    counts: RunCounts
    created_at: int


@dataclass(frozen=True, slots=True)
class StateRecord:
    """One state in full; times are epoch milliseconds."""

    id: str
    run_key: int
    namespace: str
    node_name: str
    identifier: str
    status: str
    inputs: Mapping[str, str]
    outputs: JsonObject
    error: str | None
    parents: Mapping[str, str]
    retry_count: int
    fanout_id: str | None
    enqueue_after: int
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class StateChange:
    """What a transition writes to a state."""

    status: str
    outputs: JsonObject
    error: str | None
    enqueue_after: int
    updated_at: int
    prune_data: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class ClaimedRecord:
    """What a claim hands out of a state; times are epoch milliseconds."""

    id: str
    node_name: str
    identifier: str
    inputs: Mapping[str, str]
    enqueue_after: int
    created_at: int
    graph_name: str
    run_id: str
    retry_count: int
    lease_expires_at: int | None


class WaitingState(NamedTuple):
    """Where a state waits to be claimed, and from when on (epoch milliseconds)."""

    namespace: str
    node_name: str
    enqueue_after: int


@dataclass(frozen=True, slots=True)
class TriggerKeyRecord:
    """What a trigger under an idempotency key was answered.

    Attributes:
        digest: Stands for the body that came with the key.
        run_id: The run.
        state_ids: The states that the answer lists; None where it lists none.
        expires_at: Until when it is repeated, in epoch milliseconds.
    """

    namespace: str
    graph_name: str
    key: str
    digest: str
    run_id: str
    state_ids: tuple[str, ...] | None
    expires_at: int


@dataclass(frozen=True, slots=True)
class StateOutline:
    """A state as a run's graph shows it."""

    id: str
    node_name: str
    identifier: str
    status: str
    error: str | None
    parents: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class JoinProgress:
    """How the states under a united state stand: those still pending and those that failed."""

    pending: int
    failed: int
