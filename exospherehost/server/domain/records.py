"""What storage holds, as plain frozen values that know neither SQL nor the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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


class NewRun(NamedTuple):
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
    namespace: str
    created_at: int
    counts: RunCounts


class RunRecord(NamedTuple):
    """A run, but for how its states stand; ``cancelled_at`` is epoch milliseconds."""

    key: int
    id: str
    namespace: str
    graph_name: str
    version_id: str
    store: Mapping[str, str]
    cancelled_at: int | None = None


class RunCounts(NamedTuple):
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
    """A run as lists show it; times are epoch milliseconds."""

    id: str
    graph_name: str
    counts: RunCounts
    created_at: int
    cancelled_at: int | None


class StateRecord(NamedTuple):
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
    claim_token: str | None = None


class StateChange(NamedTuple):
    """What a transition writes to a state."""

    status: str
    outputs: JsonObject
    error: str | None
    enqueue_after: int
    updated_at: int
    prune_data: JsonObject | None = None


class ClaimedRecord(NamedTuple):
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
    claim_token: str | None = None


class WaitingState(NamedTuple):
    """Where a state waits to be claimed, and from when on (epoch milliseconds)."""

    namespace: str
    node_name: str
    enqueue_after: int


class EventCursor(NamedTuple):
    """A place in a run's log: a row, named by who wrote it and its key, and a transition's number in it.

    What comes after it is of interest: in the row itself from the next number on, and in later rows.
    """

    written_by: int = 0
    key: int = 0
    number: int = -1


class TransitionRecord(NamedTuple):
    """A state's change of status; ``occurred_at`` is epoch milliseconds."""

    place: EventCursor
    state_id: str
    identifier: str
    node_name: str
    status: str
    occurred_at: int


@dataclass(frozen=True, slots=True)
class EventPage:
    """Transitions of a run in order.

    Attributes:
        transitions: Those after the cursor, as many as make up a page.
        following: From where on to read the next page.
        full: Whether more may follow at once.
        withheld: Whether there are more that cannot be told yet, because an earlier one may still be committed.
    """

    transitions: Sequence[TransitionRecord]
    following: EventCursor
    full: bool
    withheld: bool


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


class JoinProgress(NamedTuple):
    """How the states under a united state stand: those still pending and those that failed."""

    pending: int
    failed: int


@dataclass(frozen=True, slots=True)
class DueStates:
    """How many states of a node are due, and since when the first of them (epoch milliseconds)."""

    count: int
    since_ms: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits and what runs, by namespace and node.

    Attributes:
        read_at_ms: When it was read, in epoch milliseconds.
        lines: The registered nodes; beyond a number, not all.
        due: States that are due and not claimed.
        leased: How many states are held under a lease.
    """

    read_at_ms: int
    lines: tuple[tuple[str, str], ...]
    due: dict[tuple[str, str], DueStates]
    leased: dict[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class ApiKeyRecord:
    """A key that `exospherehost keys` made.

    Attributes:
        id: Its public id.
        name: What its owner calls it.
        digest: What it is recognised by, in hexadecimal; in no repr.
        namespaces: Those that it is for; None for all.
        created_at: Epoch milliseconds.
        expires_at: Epoch milliseconds; None for never.
        revoked_at: Epoch milliseconds; None while it has not been revoked.
    """

    id: str
    name: str
    digest: str = field(repr=False)
    namespaces: frozenset[str] | None
    created_at: int
    expires_at: int | None
    revoked_at: int | None


@dataclass(frozen=True, slots=True)
class SealedSecrets:
    """The secrets of a graph version as they are stored."""

    version_id: str
    namespace: str
    graph_name: str
    sealed: Mapping[str, str]
