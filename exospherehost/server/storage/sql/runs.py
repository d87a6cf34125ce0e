"""Runs, states and joins in SQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, bindparam, insert, literal_column, null, select, update

from exospherehost.server.domain.errors import Contention
from exospherehost.server.domain.records import (
    ClaimedRecord,
    JoinProgress,
    JsonObject,
    RunCounts,
    RunListing,
    RunRecord,
    StateChange,
    StateOutline,
    StateRecord,
    WaitingState,
)
from exospherehost.server.domain.store import Note
from exospherehost.server.storage.sql.base import binds, dump, load
from exospherehost.server.storage.sql.events import SqlEvents
from exospherehost.server.storage.sql.statements import Statements
from exospherehost.server.storage.sql.tables import join_firings, joins, run_totals, runs, states

_RUNS = select(
    runs.c.key,
    runs.c.id,
    runs.c.namespace,
    runs.c.graph_name,
    runs.c.version_id,
    runs.c.store,
    runs.c.cancelled_at,
)
_FIND_RUN = _RUNS.where(runs.c.id == bindparam("id"))
_GET_RUN = _RUNS.where(runs.c.key == bindparam("key"))
COUNT_FIELDS = ("pending", "succeeded", "errored", "retried")
RUN_FIELDS = ("key", "id", "namespace", "graph_name", "version_id", "store", "created_at", *COUNT_FIELDS)
ADD_RUNS = insert(runs).values(binds(*RUN_FIELDS))
_COUNT = (
    update(runs)
    .where(runs.c.key == bindparam("of_key"), runs.c.cancelled_at.is_(None))
    .values({name: runs.c[name] + bindparam(f"more_{name}") for name in COUNT_FIELDS})
)
_TOTALS = select(run_totals.c.total).where(run_totals.c.namespace == bindparam("namespace"))
_LISTINGS = select(
    runs.c.id,
    runs.c.graph_name,
    runs.c.pending,
    runs.c.succeeded,
    runs.c.errored,
    runs.c.retried,
    runs.c.created_at,
    runs.c.cancelled_at,
)
_RUN_LISTING = _LISTINGS.where(runs.c.key == bindparam("key"))
_LIST_RUNS = (
    _LISTINGS.where(runs.c.namespace == bindparam("namespace"))
    .order_by(runs.c.key.desc())
    .limit(bindparam("limit", type_=BigInteger))
    .offset(bindparam("offset", type_=BigInteger))
)

STATE_FIELDS = StateRecord._fields
_DOCUMENTS = [STATE_FIELDS.index(name) for name in ("inputs", "outputs", "parents")]
_FIND_STATE = select(*(states.c[name] for name in STATE_FIELDS)).where(states.c.id == bindparam("id"))
_ADD_STATE = insert(states).values(binds(*STATE_FIELDS))
_AS_READ = (states.c.id == bindparam("of_id"), states.c.status == bindparam("was_status"))
CHANGED_FIELDS = ("status", "outputs", "error", "enqueue_after", "updated_at")
_HELD_BY_NOBODY = {"lease_expires_at": null(), "claim_token": null()}
_CHANGE_STATE = update(states).where(*_AS_READ).values(binds(*CHANGED_FIELDS) | _HELD_BY_NOBODY)
_PRUNE_STATE = update(states).where(*_AS_READ).values(binds(*CHANGED_FIELDS, "prune_data") | _HELD_BY_NOBODY)
_OUTLINES = (
    select(
        states.c.id,
        states.c.node_name,
        states.c.identifier,
        states.c.status,
        states.c.error,
        states.c.parents,
        states.c.namespace,
    )
    .where(states.c.run_key == bindparam("run_key"))
    .order_by(states.c.key)
)
_OUTPUTS = select(states.c.outputs).where(states.c.id == bindparam("id"))
_HAS_FANOUT = select(states.c.key).where(
    states.c.run_key == bindparam("run_key"),
    states.c.identifier == bindparam("identifier"),
    states.c.fanout_id == bindparam("fanout_id"),
    states.c.retry_count == bindparam("retry_count"),
    states.c.fanout_id.is_not(None),
)
_WAITS = "CREATED"
# A literal, because a parameter would keep SQLite from using the partial index.
_CREATED = states.c.status == literal_column(f"'{_WAITS}'")
_WAITING_AT = (
    _CREATED,
    states.c.namespace == bindparam("namespace"),
    states.c.node_name == bindparam("node_name"),
)
_DUE = (
    select(
        states.c.enqueue_after,
        states.c.key,
        states.c.id,
        states.c.node_name,
        states.c.identifier,
        states.c.inputs,
        states.c.created_at,
        runs.c.graph_name,
        runs.c.id,
        states.c.retry_count,
        states.c.run_key,
    )
    # Outer, so that no planner begins with the runs; each state has one.
    .join_from(states, runs, runs.c.key == states.c.run_key, isouter=True)
    .where(*_WAITING_AT, states.c.enqueue_after <= bindparam("now_ms"))
    .order_by(states.c.enqueue_after, states.c.key)
    .limit(bindparam("limit", type_=BigInteger))
)
_DUE_KEYS = (
    select(states.c.key)
    .where(*_WAITING_AT, states.c.enqueue_after <= bindparam("now_ms"))
    .order_by(states.c.enqueue_after)
    .limit(bindparam("limit", type_=BigInteger))
)
_NEXT_DUE = (
    select(states.c.enqueue_after)
    .where(*_WAITING_AT, states.c.enqueue_after > bindparam("now_ms"))
    .order_by(states.c.enqueue_after)
    .limit(literal_column("1"))
)
_CLAIMED: Note = ("transition", _WAITS, "QUEUED")
_LEASE = (
    update(states)
    .where(states.c.key == bindparam("of_key"), _CREATED)
    .values(
        status=literal_column("'QUEUED'"), lease_expires_at=bindparam("lease_until"), claim_token=bindparam("token")
    )
)

_CHANGE_JOIN = (
    update(joins)
    .where(joins.c.state_id == bindparam("of_id"))
    .values(pending=joins.c.pending + bindparam("more_pending"), failed=joins.c.failed + bindparam("more_failed"))
    .returning(joins.c.pending, joins.c.failed)
)
_ADD_JOIN = insert(joins).values(binds("state_id", "pending", "failed"))
_FIRINGS = select(join_firings.c.identifier).where(join_firings.c.state_id == bindparam("state_id"))
_ADD_FIRING = insert(join_firings).values(binds("state_id", "identifier"))


class SqlRuns(SqlEvents):
    """Runs, their states, and the progress of joins.

    Attributes:
        waiting: The states that were made to wait for a claim, also those whose change did not last.
    """

    # By these names another database may change them.
    find_run_statement = _FIND_RUN
    get_run_statement = _GET_RUN
    count_statement = _COUNT
    find_state_statement = _FIND_STATE
    add_state_statement = _ADD_STATE
    change_state_statement = _CHANGE_STATE
    prune_state_statement = _PRUNE_STATE
    change_join_statement = _CHANGE_JOIN

    def __init__(self, connection: Connection, statements: Statements) -> None:
        super().__init__(connection, statements)
        self.waiting: list[WaitingState] = []

    def find_run(self, run_id: str) -> RunRecord | None:
        """Return a run, whatever its namespace."""
        row = self._row(self.find_run_statement, id=run_id)
        return None if row is None else read_run(row)

    def get_run(self, key: int) -> RunRecord:
        """Return a run that is known to exist."""
        row = self._row(self.get_run_statement, key=key)
        return read_run(row)

    def list_runs(self, namespace: str, *, offset: int, limit: int) -> tuple[int, list[RunListing]]:
        """Return the number of a namespace's runs, and a slice of them, newest first."""
        total = max(0, sum(of_slot for (of_slot,) in self._rows(_TOTALS, namespace=namespace)))
        if offset and offset >= total:
            # What is passed over is read: not for nothing.
            return total, []
        rows = self._rows(_LIST_RUNS, namespace=namespace, offset=offset, limit=limit)
        return total, [_listing(row) for row in rows]

    def find_listing(self, run_key: int) -> RunListing | None:
        """Return a run as lists show it."""
        row = self._row(_RUN_LISTING, key=run_key)
        return None if row is None else _listing(row)

    def _count_values(self, run_key: int, change: RunCounts) -> dict[str, int]:
        return {
            "of_key": run_key,
            "more_pending": change.pending,
            "more_succeeded": change.succeeded,
            "more_errored": change.errored,
            "more_retried": change.retried,
        }

    def find_state(self, state_id: str) -> StateRecord | None:
        """Return a state, whatever its namespace."""
        row = self._row(_FIND_STATE, id=state_id)
        return None if row is None else read_state(row)

    def list_states(self, run_key: int, *, namespace: str | None) -> list[StateOutline]:
        """Return a run's states in the order of creation, of one namespace or of all."""
        rows = self._rows(_OUTLINES, run_key=run_key)
        return [
            StateOutline(state_id, node_name, identifier, status, error, load(parents))
            for state_id, node_name, identifier, status, error, parents, of_namespace in rows
            if namespace is None or of_namespace == namespace
        ]

    def find_outputs(self, state_ids: Collection[str]) -> dict[str, JsonObject]:
        """Return the outputs of the given states."""
        found: dict[str, JsonObject] = {}
        for state_id in state_ids:
            text = self._scalar(_OUTPUTS, id=state_id)
            if text is not None:
                found[state_id] = load(text)
        return found

    def add_states(self, new_states: Sequence[StateRecord]) -> None:
        """Write states, in order."""
        if new_states:
            for state in new_states:
                self.log(state.run_key, state.status, state.identifier, state.node_name, state.created_at, state.id)
            self.waiting += [
                WaitingState(state.namespace, state.node_name, state.enqueue_after)
                for state in new_states
                if state.status == _WAITS
            ]
            self.notes += [("transition", "", state.status) for state in new_states]
            self._write_states([_state_values(state) for state in new_states])

    def _write_states(self, rows: Sequence[dict[str, Any]]) -> None:
        self._run_many(self.add_state_statement, rows)

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
        """Take due CREATED states of these nodes, the longest due first, and make them QUEUED."""
        # One ordered walk of the index for each node: a single query over all of them would have to sort
        # everything that is due, which grows with the backlog.
        due = [
            row
            for node_name in dict.fromkeys(node_names)
            for row in self._rows(_DUE, namespace=namespace, node_name=node_name, now_ms=now_ms, limit=limit)
        ]
        due.sort(key=lambda row: (row[0], row[1]))
        taken = due[:limit]
        if not taken:
            return []
        # Nobody else writes between the reading and this.
        rows = [{"of_key": row[1], "lease_until": lease_until, "token": token} for row in taken]
        if self._run_many(_LEASE, rows) != len(taken):
            raise Contention(namespace)
        return self._claimed(taken, now_ms=now_ms, lease_until=lease_until, token=token)

    def _claimed(
        self, taken: Sequence[Any], *, now_ms: int, lease_until: int | None, token: str | None
    ) -> list[ClaimedRecord]:
        """Log and count states that have just been claimed, and return them."""
        claimed: list[ClaimedRecord] = []
        for enqueue_after, _key, state_id, node_name, identifier, inputs, created_at, *of_run in taken:
            graph_name, run_id, retry_count, run_key = of_run
            self.log(run_key, "QUEUED", identifier, node_name, now_ms, state_id)
            claimed.append(
                ClaimedRecord(
                    id=state_id,
                    node_name=node_name,
                    identifier=identifier,
                    inputs=load(inputs),
                    enqueue_after=enqueue_after,
                    created_at=created_at,
                    graph_name=graph_name,
                    run_id=run_id,
                    retry_count=retry_count,
                    lease_expires_at=lease_until,
                    claim_token=token,
                )
            )
        self.notes += [_CLAIMED] * len(claimed)
        return claimed

    def find_waiting(self, namespace: str, node_name: str, *, now_ms: int, limit: int) -> tuple[int, int | None]:
        """Return how many states of a node are due, counted up to ``limit``, and when the next after them will be."""
        at = {"namespace": namespace, "node_name": node_name, "now_ms": now_ms}
        return len(self._rows(_DUE_KEYS, limit=limit, **at)), self._scalar(_NEXT_DUE, **at)

    def change_state(self, state: StateRecord, change: StateChange) -> None:
        """Compare and set: change a state that still has the status in ``state``, and end its lease."""
        values = {
            "of_id": state.id,
            "was_status": state.status,
            "status": change.status,
            "outputs": dump(change.outputs),
            "error": change.error,
            "enqueue_after": change.enqueue_after,
            "updated_at": change.updated_at,
        }
        if change.prune_data is not None:
            values["prune_data"] = dump(change.prune_data)
        self._write_change(state, change, values)
        self.notes.append(("transition", state.status, change.status))
        self.log(state.run_key, change.status, state.identifier, state.node_name, change.updated_at, state.id)
        if change.status == _WAITS:
            self.waiting.append(WaitingState(state.namespace, state.node_name, change.enqueue_after))

    def _write_change(self, state: StateRecord, change: StateChange, values: dict[str, Any]) -> None:
        statement = self.change_state_statement if change.prune_data is None else self.prune_state_statement
        if not self._run(statement, **values):
            raise Contention(state.id)

    def has_fanout(self, run_key: int, identifier: str, fanout_id: str, retry_count: int) -> bool:
        """Tell whether a line of manual retries under this id exists."""
        return (
            self._row(_HAS_FANOUT, run_key=run_key, identifier=identifier, fanout_id=fanout_id, retry_count=retry_count)
            is not None
        )

    def change_join(self, state_id: str, *, pending: int, failed: int) -> JoinProgress:
        """Add to the counts of the states under a united state, and return where they stand."""
        row = self._row(self.change_join_statement, of_id=state_id, more_pending=pending, more_failed=failed)
        if row is None:
            self._run(_ADD_JOIN, state_id=state_id, pending=pending, failed=failed)
            return JoinProgress(pending, failed)
        return JoinProgress(*row)

    def list_firings(self, state_id: str) -> set[str]:
        """Return the identifiers of the uniting nodes that have run for a united state."""
        return {row[0] for row in self._rows(_FIRINGS, state_id=state_id)}

    def add_firing(self, state_id: str, identifier: str) -> None:
        """Record that a uniting node has run for a united state."""
        self._run(_ADD_FIRING, state_id=state_id, identifier=identifier)


def _state_values(state: StateRecord) -> dict[str, Any]:
    return {
        "id": state.id,
        "run_key": state.run_key,
        "namespace": state.namespace,
        "node_name": state.node_name,
        "identifier": state.identifier,
        "status": state.status,
        "inputs": dump(dict(state.inputs)),
        "outputs": dump(state.outputs),
        "error": state.error,
        "parents": dump(dict(state.parents)),
        "retry_count": state.retry_count,
        "fanout_id": state.fanout_id,
        "enqueue_after": state.enqueue_after,
        "created_at": state.created_at,
        "updated_at": state.updated_at,
    }


def read_run(row: Any) -> RunRecord:
    """Return the run of a row of key, id, namespace, graph name, version, store and when it was cancelled."""
    key, run_id, namespace, graph_name, version_id, store, cancelled_at = row
    return RunRecord(key, run_id, namespace, graph_name, version_id, load(store), cancelled_at)


def _listing(row: Any) -> RunListing:
    run_id, graph_name, pending, succeeded, errored, retried, created_at, cancelled_at = row
    counts = RunCounts(pending, succeeded, errored, retried)
    return RunListing(run_id, graph_name, counts, created_at, cancelled_at)


def read_state(row: Any) -> StateRecord:
    """Return the state of a row of STATE_FIELDS."""
    values = list(row)
    for place in _DOCUMENTS:
        values[place] = load(values[place])
    return StateRecord._make(values)
