"""What the service asks of storage, in terms that name no database.

A *unit of work* is a function that is given a :class:`UnitOfWork` and either returns, and then all that it
wrote is durable before its caller hears of it, or raises, and then nothing of it remains.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Literal, Protocol, TypeVar

from exospherehost.server.domain.records import (
    ApiKeyRecord,
    Backlog,
    ClaimedRecord,
    CronRecord,
    EventCursor,
    EventPage,
    GraphRecord,
    JoinProgress,
    JsonObject,
    NewRun,
    NodeRecord,
    OldRun,
    RunCounts,
    RunListing,
    RunRecord,
    SealedSecrets,
    StateChange,
    StateOutline,
    StateRecord,
    TransitionRecord,
    TriggerKeyRecord,
    VersionRecord,
    WaitingState,
)

T = TypeVar("T")
NodeKey = tuple[str, str]
"""A node's name and its namespace."""
Occurrence = Literal["lease_expired", "cron_fired", "cron_failed"]
Note = tuple[str, ...]
"""What is to be counted: ``transition`` with the status before and after, or an occurrence alone."""


class Reader(Protocol):
    """A consistent view of what is stored."""

    def list_nodes(self, namespace: str) -> list[NodeRecord]:
        """Return a namespace's nodes in the order of their first registration."""
        ...

    def list_namespaces(self) -> list[str]:
        """Return the namespaces that have a node, sorted by code point."""
        ...

    def find_nodes(self, keys: Collection[NodeKey]) -> dict[NodeKey, NodeRecord]:
        """Return those of the named nodes that are registered."""
        ...

    def find_graph(self, namespace: str, name: str) -> GraphRecord | None:
        """Return a graph with its latest version."""
        ...

    def list_graphs(self, namespace: str) -> list[GraphRecord]:
        """Return a namespace's graphs in the order of their first PUT."""
        ...

    def get_version(self, version_id: str) -> VersionRecord:
        """Return a graph version that is known to exist."""
        ...

    def find_run(self, run_id: str) -> RunRecord | None:
        """Return a run, whatever its namespace."""
        ...

    def get_run(self, key: int) -> RunRecord:
        """Return a run that is known to exist."""
        ...

    def list_runs(self, namespace: str, *, offset: int, limit: int) -> tuple[int, list[RunListing]]:
        """Return the number of a namespace's runs, and a slice of them, newest first."""
        ...

    def find_listing(self, run_key: int) -> RunListing | None:
        """Return a run as lists show it."""
        ...

    def read_events(self, run_key: int, after: EventCursor, *, rows: int) -> EventPage:
        """Return the transitions of a run that come after a place in its log, from so many rows of it.

        In a run's log stand the transitions made while the store kept one.
        """
        ...

    def last_event(self, run_key: int) -> TransitionRecord | None:
        """Return the last transition in a run's log."""
        ...

    def list_first_runs(self, after_key: int, *, limit: int) -> list[OldRun]:
        """Return runs in the order of creation, from behind a key on."""
        ...

    def find_last_change(self, run_key: int) -> int | None:
        """Return when a state of a run last changed, in epoch milliseconds; None for a run without states."""
        ...

    def find_state(self, state_id: str) -> StateRecord | None:
        """Return a state, whatever its namespace."""
        ...

    def list_states(self, run_key: int, *, namespace: str | None) -> list[StateOutline]:
        """Return a run's states in the order of creation, of one namespace or of all."""
        ...

    def find_outputs(self, state_ids: Collection[str]) -> dict[str, JsonObject]:
        """Return the outputs of the given states."""
        ...

    def find_waiting(self, namespace: str, node_name: str, *, now_ms: int, limit: int) -> tuple[int, int | None]:
        """Return how many states of a node are due, counted up to ``limit``, and when the next after them will be."""
        ...

    def expired_leases(self, now_ms: int, *, limit: int) -> list[str]:
        """Return states whose lease has run out, the longest expired first."""
        ...

    def next_lease_expiry(self) -> int | None:
        """Return when the first of the leases runs out or has run out, in epoch milliseconds."""
        ...

    def find_lease(self, state_id: str) -> int | None:
        """Return when a state's lease runs out, in epoch milliseconds; None without one."""
        ...

    def find_trigger_key(self, namespace: str, graph_name: str, key: str) -> TriggerKeyRecord | None:
        """Return what a trigger under an idempotency key was answered, expired or not."""
        ...

    def usable_api_keys(self) -> list[ApiKeyRecord]:
        """Return the keys that have not been revoked, expired ones included."""
        ...

    def list_api_keys(self) -> list[ApiKeyRecord]:
        """Return all keys that were ever made, the oldest first."""
        ...

    def list_sealing_keys(self) -> list[str]:
        """Return by which keys the secrets of any graph version are sealed, each set of keys once."""
        ...

    def list_sealed_secrets(self, sealed_with: str | None = None) -> list[SealedSecrets]:
        """Return the secrets of the graph versions that have any, as they are sealed: of all, or by a set of keys."""
        ...

    def next_cron_at(self) -> int | None:
        """Return when the next schedule fires, in epoch milliseconds."""
        ...

    def due_crons(self, now_ms: int) -> list[CronRecord]:
        """Return the schedules that should have fired by now, the longest due first."""
        ...

    def backlog(self, now_ms: int) -> Backlog:
        """Return what is due at a time (epoch milliseconds) and what is held under a lease, by node."""
        ...

    def schema_revision(self) -> str | None:
        """Return the revision that the database's schema is at; None for none."""
        ...


class UnitOfWork(Reader, Protocol):
    """What can be changed, all or nothing."""

    def nested(self) -> AbstractContextManager[None]:
        """Begin a part of the unit of which nothing remains if its block raises."""
        ...

    def touch(self) -> None:
        """Write what changes nothing, to learn whether anything can be written."""
        ...

    def note(self, what: Occurrence) -> None:
        """Have something counted once the unit is durable."""
        ...

    def save_node(self, node: NodeRecord) -> None:
        """Register a node, or replace all of a registered one but its id and times."""
        ...

    def save_version(
        self,
        *,
        graph_id: str,
        version_id: str,
        namespace: str,
        name: str,
        document: JsonObject,
        secrets: Mapping[str, str],
        errors: Sequence[str],
        now_ms: int,
    ) -> GraphRecord:
        """Make a version the latest of its graph, and the one that runs use if it has no errors.

        ``graph_id`` is used where the graph is new. Versions that nothing needs any longer are dropped.
        """
        ...

    def hold_graph(self, namespace: str, name: str) -> GraphRecord | None:
        """Return a graph as :meth:`find_graph` does, which is not deleted before this unit has ended."""
        ...

    def take_graph(self, namespace: str, name: str) -> int | None:
        """Return a graph's key, once no unit holds it; None if there is none."""
        ...

    def drop_graph(self, graph_key: int) -> None:
        """Delete a graph and its schedules, but for the versions that runs were triggered with.

        A graph that is put under its name later is a new one.
        """
        ...

    def running_runs(self, graph_key: int) -> list[int]:
        """Return the keys of a graph's runs that have not ended, in the order of their start."""
        ...

    def cancel_run(self, run_key: int, now_ms: int) -> int | None:
        """Prune a run's states that are CREATED or QUEUED, have nothing follow, and return how many were pruned.

        None if the run has ended, or had been cancelled before: then nothing is changed.
        """
        ...

    def set_crons(self, graph_key: int, next_at: Mapping[str, int]) -> None:
        """Make these the graph's schedules; one that stays keeps the time at which it fires next."""
        ...

    def count_crons(self, namespace: str, name: str) -> tuple[int, int]:
        """Return how many schedules a graph has, and how many the other graphs of its namespace have."""
        ...

    def advance_cron(self, cron: CronRecord, next_at: int | None) -> bool:
        """Move a schedule on (or end it, for None) if nobody else has done so since it was read."""
        ...

    def add_run(self, run: NewRun) -> RunRecord:
        """Write a run; its counts are brought up by :meth:`add_states`' caller."""
        ...

    def count(self, run_key: int, change: RunCounts) -> None:
        """Add to a run's counts.

        Raises:
            Contention: The run has been cancelled since it was read.
        """
        ...

    def add_states(self, new_states: Sequence[StateRecord]) -> None:
        """Write states, in order."""
        ...

    def claim(
        self,
        namespace: str,
        node_names: Collection[str],
        *,
        limit: int,
        now_ms: int,
        lease_until: int | None = None,
        token: str | None = None,
    ) -> list[ClaimedRecord]:
        """Take due CREATED states of these nodes, the longest due first, and make them QUEUED.

        Given ``lease_until`` (epoch milliseconds), they are held until then only. The ``token`` names the claim.
        """
        ...

    def renew_lease(self, namespace: str, state_id: str, *, now_ms: int, until: int, token: str | None = None) -> bool:
        """Make a lease that has not run out end at ``until``, and tell whether there was one.

        Given a ``token``, only the lease of the claim that it names.
        """
        ...

    def prolong_leases(self, until: int) -> int:
        """Make each lease that would end before ``until`` (epoch milliseconds) end then; return how many there were."""
        ...

    def postpone_lease(self, state_id: str, until: int) -> None:
        """Make a lease end at ``until``, whether or not it has run out."""
        ...

    def save_trigger_key(self, record: TriggerKeyRecord) -> None:
        """Keep what a trigger was answered, in place of what was kept under its key."""
        ...

    def drop_trigger_keys(self, now_ms: int, *, limit: int) -> int:
        """Drop some of the idempotency keys that have expired, and return how many."""
        ...

    def hide_run(self, run: OldRun) -> bool:
        """Make a run that has ended, and has not changed since it was read, unknown; tell whether that was so."""
        ...

    def list_hidden_runs(self, *, limit: int) -> list[tuple[int, str]]:
        """Return hidden runs: their keys and graph versions."""
        ...

    def drop_states(self, run_key: int, *, limit: int) -> int:
        """Delete some states of a run with all that is kept of them, and return how many."""
        ...

    def drop_events(self, run_key: int, *, limit: int) -> int:
        """Delete some of what the log says of a run, and return how many rows."""
        ...

    def drop_run(self, run_key: int, version_id: str) -> None:
        """Delete a run without states, and its graph version if nothing needs that any longer."""
        ...

    def add_api_key(self, key: ApiKeyRecord) -> None:
        """Keep a key."""
        ...

    def revoke_api_key(self, key_id: str, now_ms: int) -> bool:
        """Revoke a key, and tell whether there was one that had not been revoked."""
        ...

    def reseal_secrets(self, version_id: str, secrets: Mapping[str, str]) -> None:
        """Replace the sealed secrets of a graph version."""
        ...

    def change_state(self, state: StateRecord, change: StateChange) -> None:
        """Compare and set: change a state that still has the status in ``state``, and end its lease.

        Raises:
            Contention: It has another one by now.
        """
        ...

    def has_fanout(self, run_key: int, identifier: str, fanout_id: str, retry_count: int) -> bool:
        """Tell whether a line of manual retries under this id exists."""
        ...

    def change_join(self, state_id: str, *, pending: int, failed: int) -> JoinProgress:
        """Add to the counts of the states under a united state, and return where they stand."""
        ...

    def list_firings(self, state_id: str) -> set[str]:
        """Return the identifiers of the uniting nodes that have run for a united state."""
        ...

    def add_firing(self, state_id: str, identifier: str) -> None:
        """Record that a uniting node has run for a united state."""
        ...


class StoreObserver(Protocol):
    """Told by a store what it does, in whatever thread does it."""

    def batch_written(self, units: int, seconds: float, commit_seconds: float, notes: Sequence[Note]) -> None:
        """Hear of a transaction that is durable: its units, how long it and its commit took, what is to be counted."""
        ...

    def batch_failed(self) -> None:
        """Hear of a transaction that failed as a whole."""
        ...

    def read_done(self, seconds: float) -> None:
        """Hear of a read and how long it took."""
        ...


class Store(Protocol):
    """A database, used from one event loop."""

    @property
    def was_unattended(self) -> bool:
        """Whether no other server had the database open when this one opened it."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether other servers may work on the database meanwhile."""
        ...

    async def read(self, work: Callable[[Reader], T]) -> T:
        """Run ``work`` on a consistent view, off the event loop."""
        ...

    async def write(self, work: Callable[[UnitOfWork], T], *, concerns: str | None = None) -> T:
        """Run ``work`` as one unit, off the event loop, and return once it is durable.

        Args:
            work: The unit.
            concerns: The id of the state that it is about, if that is known: it may then be read ahead.
        """
        ...

    async def write_each(
        self, units: Sequence[tuple[Callable[[UnitOfWork], T], str | None]]
    ) -> list[T | BaseException]:
        """Run units as :meth:`write` does, but wait for all of them at once.

        Args:
            units: Each with the id of the state that it is about; no two are about the same.

        Returns:
            What each returned, or the error that it raised.
        """
        ...

    def when_states_wait(self, notify: Callable[[Sequence[WaitingState]], None], *, wanted: Callable[[], bool]) -> None:
        """Have ``notify`` called, on the running event loop, with the states that a commit has made wait for a claim.

        It may be told of states that do not wait after all.

        Args:
            notify: What is called.
            wanted: Tells, in any thread and after the commit, whether anybody wants to know.
        """
        ...

    def when_runs_change(self, notify: Callable[[Collection[int]], None], *, wanted: Callable[[], bool]) -> None:
        """Have ``notify`` called, on the running event loop, with the keys of the runs whose log a commit has added to.

        Args:
            notify: What is called.
            wanted: Tells, in any thread and after the commit, whether anybody wants to know.
        """
        ...

    def when_news_are_missed(self, look: Callable[[], None]) -> None:
        """Have ``look`` called, on the running event loop, where news of other servers' commits may have been lost."""
        ...

    def close(self) -> None:
        """Finish what is under way and let go of the database."""
        ...
