"""A unit of work on PostgreSQL, where others write at the same time.

Transactions are READ COMMITTED: each statement sees what is committed when it begins. The units of work decide by what
they read, so each thing that a decision rests on is held, or compared again, by the statement that acts on it:

* A state changes by compare-and-set on its status; who comes second finds it changed, and is run again.
* A join's counts change by one statement that holds its row until the commit, so the units that complete a join go one
  after the other, and each sees all that went before. That a uniting node ran is a row under a primary key.
* A run, and a graph with its version, are held with the weakest lock (KEY SHARE) once a unit has read them, so that
  whoever takes the strongest (to cancel or delete) waits for the units under way, and later ones see what it did.
  Counts and new versions, which leave the key alone, do not wait for one another. A row's lock is not given in turn:
  with ever new holders of the weakest nobody would get the strongest. So before it stands a gate, an advisory lock,
  which is given in turn, shared by those that hold the row and for himself to whoever cancels or deletes.
* A schedule moves on by compare-and-set on its time: of several servers, one fires it.
* A lease that has run out is ended by the one that holds its state's row; a claim takes rows that nobody holds.
* First registrations, first PUTs, idempotency keys and lines of manual retries have unique indexes, and a version that
  a run needs has a foreign key: who comes second fails, and is run again on what it then finds.

Whoever waits for a lock may keep others waiting. Within a unit locks are taken in one order: run, state, joins from the
inside out. What would cross between units of a batch is either put off, as the counts of runs, which are written at the
end and by key, or given up soon (see :mod:`exospherehost.server.postgresql_writer`).
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from itertools import groupby
from typing import Any, NamedTuple, cast

from sqlalchemy import BigInteger, Column, Connection, Text, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.sql import ClauseElement, FromClause, Insert, visitors
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.dml import UpdateBase

from exospherehost.server.postgresql_cache import Known, Pending, Values
from exospherehost.server.records import (
    ClaimedRecord,
    GraphRecord,
    JoinProgress,
    JsonObject,
    NodeRecord,
    RunCounts,
    RunRecord,
    StateChange,
    StateRecord,
    TriggerKeyRecord,
)
from exospherehost.server.sql_base import binds, load
from exospherehost.server.sql_graphs import SqlGraphs
from exospherehost.server.sql_keys import DROP_AS_READ
from exospherehost.server.sql_leases import SqlLeases
from exospherehost.server.sql_runs import CLAIMED, STATE_FIELDS, SqlRuns, read_run, read_state
from exospherehost.server.sql_unit import SqlUnit
from exospherehost.server.statements import Statements
from exospherehost.server.store import Contention, NodeKey
from exospherehost.server.tables import graph_versions, graphs, joins, runs, states

_COUNTS = {"pending", "succeeded", "errored", "retried"}
# When to look again for states that are due and that somebody else holds just now.
_HELD_BY_OTHERS_MS = 250

# Candidates are read in order and taken one by one, so that no more rows are locked than are claimed, and what others
# hold is passed over. Each node's are one ordered walk of the partial index, however long the backlog.
_CLAIM = text("""
WITH candidate AS MATERIALIZED (
  SELECT due.key, due.enqueue_after
  FROM unnest(:node_names) AS node(name)
  CROSS JOIN LATERAL (
    SELECT key, enqueue_after FROM states
    WHERE status = 'CREATED' AND namespace = :namespace AND node_name = node.name AND enqueue_after <= :now_ms
    ORDER BY enqueue_after, key
    LIMIT :candidates
  ) AS due
  ORDER BY due.enqueue_after, due.key
), taken AS MATERIALIZED (
  SELECT held.key
  FROM candidate
  CROSS JOIN LATERAL (
    SELECT key FROM states
    WHERE key = candidate.key AND status = 'CREATED' AND enqueue_after <= :now_ms
    FOR UPDATE SKIP LOCKED
  ) AS held
  LIMIT :limit
), changed AS (
  UPDATE states SET status = 'QUEUED', lease_expires_at = :lease_until
  FROM taken, runs
  WHERE states.key = taken.key AND runs.key = states.run_key
  RETURNING states.enqueue_after, states.key, states.id, states.node_name, states.identifier, states.inputs,
    states.created_at, runs.graph_name, runs.id AS run_id, states.retry_count, states.run_key
)
SELECT (SELECT count(*) FROM candidate) AS candidates, changed.*
FROM (SELECT 1) AS always LEFT JOIN changed ON true
""").bindparams(
    bindparam("node_names", type_=ARRAY(Text)),
    bindparam("namespace", type_=Text),
    *(bindparam(name, type_=BigInteger) for name in ("now_ms", "candidates", "limit", "lease_until")),
)
_NEXT_WAITING = text(
    "SELECT enqueue_after FROM states WHERE status = 'CREATED' AND namespace = :namespace AND node_name = :node_name "
    "ORDER BY enqueue_after LIMIT 1"
).bindparams(bindparam("namespace", type_=Text), bindparam("node_name", type_=Text))

# What gates are numbered by: those of runs from here on, by their keys; those of graphs by their names.
_FIRST_RUN_GATE = 0x6578_0000_0000_0000
_HOLD = text(
    "WITH wanted AS MATERIALIZED ("  # noqa: S608 (names and numbers of ours)
    f"SELECT key, pg_try_advisory_xact_lock_shared({_FIRST_RUN_GATE} + run_key) AS is_open "
    "FROM states WHERE id = ANY(:ids)) "
    f"SELECT {', '.join(f'states.{name}' for name in STATE_FIELDS)}, "
    "runs.key, runs.id, runs.namespace, runs.graph_name, runs.version_id, runs.store, runs.cancelled_at "
    "FROM wanted JOIN states ON states.key = wanted.key JOIN runs ON runs.key = states.run_key WHERE wanted.is_open "
    "FOR KEY SHARE OF runs SKIP LOCKED FOR UPDATE OF states SKIP LOCKED"
).bindparams(bindparam("ids", type_=ARRAY(Text)))
_number = bindparam("number", type_=BigInteger)
_ENTER = select(func.pg_advisory_xact_lock_shared(_number))
_CLOSE = select(func.pg_advisory_xact_lock(_number))
_OUTPUTS = text("SELECT id, outputs FROM states WHERE id = ANY(:ids)").bindparams(bindparam("ids", type_=ARRAY(Text)))
_HOLD_RUN = select(runs.c.key).where(runs.c.key == bindparam("of_key")).with_for_update()
_HOLD_GRAPH = (
    select(graphs.c.key)
    .where(
        graphs.c.namespace == bindparam("namespace"),
        graphs.c.name == bindparam("name"),
        graphs.c.latest_version_id.is_not(None),
    )
    .with_for_update(read=True, key_share=True)
)
_NEW_JOIN = insert(joins).values(binds("state_id", "pending", "failed"))
_CHANGE_JOIN = _NEW_JOIN.on_conflict_do_update(
    index_elements=[joins.c.state_id],
    set_={name: joins.c[name] + _NEW_JOIN.excluded[name] for name in ("pending", "failed")},
).returning(joins.c.pending, joins.c.failed)


class PostgresUnit(SqlUnit):
    """All that a unit of work asks for, for the units of one transaction, one after the other.

    Call :meth:`begin` before each unit, and :meth:`keep` or :meth:`forget` after it; :meth:`flush` before the commit.

    Args:
        connection: The connection.
        statements: The compiled statements of its dialect.
    """

    get_run_statement = SqlRuns.get_run_statement.with_for_update(read=True, key_share=True)
    find_graph_statement = SqlGraphs.find_graph_statement.with_for_update(read=True, key_share=True, of=graph_versions)
    find_lease_statement = SqlLeases.find_lease_statement.with_for_update(skip_locked=True)
    # These are about states of which nothing has been put off.
    _about_one_state = frozenset(
        (SqlRuns.find_state_statement, SqlRuns.change_state_statement, SqlRuns.prune_state_statement)
    )

    def __init__(self, connection: Connection, statements: Statements) -> None:
        super().__init__(connection, statements)
        self._pending = Pending()
        self._before = Pending()
        self._known = Known()
        self._found_key: TriggerKeyRecord | None = None
        self._kept = 0, 0, 0
        self._has_changed = False
        self._written: list[tuple[Any, int]] = []

    @property
    def connection(self) -> Connection:
        """The connection."""
        return self._connection

    @property
    def has_written(self) -> bool:
        """Whether anything has been written since the unit began that is still there."""
        return self._has_written

    @property
    def has_changed(self) -> bool:
        """Whether there is anything to commit."""
        return self._has_changed or self._has_written or self._pending.has_writes

    def hold(self, state_ids: Collection[str]) -> None:
        """Read states and their runs, as far as nobody else holds them, and hold them."""
        for row in super()._rows(_HOLD, ids=sorted(state_ids)):
            state = read_state(row[: len(STATE_FIELDS)])
            run = read_run(row[len(STATE_FIELDS) :])
            self._pending.states[state.id] = state
            self._known.runs[run.key] = run

    def begin(self) -> None:
        """Begin a unit."""
        self._before = self._pending.copy()
        self._has_changed |= self._has_written
        self._has_written = False

    def keep(self) -> None:
        """End a unit whose changes stay."""
        self._kept = len(self.waiting), len(self.notes), self.logged()

    def forget(self) -> None:
        """End a unit of which nothing remains in the database."""
        self._pending = self._before
        self._known = Known()
        self._has_written = False
        waiting, notes, logged = self._kept
        del self.waiting[waiting:]
        del self.notes[notes:]
        self.forget_logged(logged)

    def flush(self) -> None:
        """Write all that was put off; :meth:`check` tells whether it came about."""
        self._flush_states()
        self._flush_counts()
        self.write_logged()

    def check(self) -> None:
        """See whether what was put off came about.

        Raises:
            Contention: A row was not as this transaction had read it, such as that of a run cancelled meanwhile.
        """
        for cursor, rows in self._written:
            if cursor.rowcount != rows:
                raise Contention(f"{cursor.rowcount} rows were written in place of {rows}")
        self._written = []

    @contextmanager
    def nested(self) -> Generator[None, None, None]:
        """Begin a part of the unit of which nothing remains if its block raises."""
        before, has_written, waiting = self._pending.copy(), self._has_written, len(self.waiting)
        try:
            with super().nested():
                yield
        except BaseException:
            self._pending = before
            self._known = Known()
            self._has_written = has_written
            del self.waiting[waiting:]
            raise

    def count(self, run_key: int, change: RunCounts) -> None:
        """Add to a run's counts, when the transaction ends.

        All who report on a run write its row: put off, they hold it as briefly as can be and in one order.
        """
        self._pending.count(run_key, change)

    def find_state(self, state_id: str) -> StateRecord | None:
        """Return a state, whatever its namespace."""
        held = self._pending.states.get(state_id)
        if held is not None:
            return held
        if any(values["id"] == state_id for values in self._pending.additions):
            self._flush_states()
        return super().find_state(state_id)

    def get_run(self, key: int) -> RunRecord:
        """Return a run that is known to exist, and hold it."""
        run = self._known.runs.get(key)
        if run is None:
            self._row(_ENTER, number=_FIRST_RUN_GATE + key)
            run = self._known.runs[key] = super().get_run(key)
        return run

    def find_nodes(self, keys: Collection[NodeKey]) -> dict[NodeKey, NodeRecord]:
        """Return those of the named nodes that are registered."""
        known = self._known.nodes
        known.update(super().find_nodes([key for key in keys if key not in known]))
        return {key: known[key] for key in keys if key in known}

    def save_node(self, node: NodeRecord) -> None:
        """Register a node, or replace all of a registered one but its id and times."""
        self._known.nodes.clear()
        super().save_node(node)

    def find_outputs(self, state_ids: Collection[str]) -> dict[str, JsonObject]:
        """Return the outputs of the given states."""
        held = self._pending.states
        found = {state_id: held[state_id].outputs for state_id in state_ids if state_id in held}
        rest = [state_id for state_id in state_ids if state_id not in held]
        if rest:
            new = {values["id"] for values in self._pending.additions}
            if new.intersection(rest):
                self._flush_states()
            found |= {state_id: load(outputs) for state_id, outputs in super()._rows(_OUTPUTS, ids=rest)}
        return found

    def _write_states(self, rows: Sequence[Values]) -> None:
        if all(values["fanout_id"] is None for values in rows):
            self._pending.additions += rows
        else:
            # Whether it is the first under its id is to be known now.
            self._flush_states()
            super()._write_states(rows)

    def _write_change(self, state: StateRecord, change: StateChange, values: Values) -> None:
        held = self._pending.states.get(state.id)
        if held is None:
            super()._write_change(state, change, values)
        elif held.status != state.status:
            raise Contention(state.id)
        else:
            self._pending.change(held, change, values)

    def find_graph(self, namespace: str, name: str) -> GraphRecord | None:
        """Return a graph with its latest version, and hold both."""
        known = self._known.graphs.get((namespace, name))
        if known is not None:
            return known
        self._row(_ENTER, number=_gate_of_graph(namespace, name))
        if self._row(_HOLD_GRAPH, namespace=namespace, name=name) is None:
            return None
        graph = super().find_graph(namespace, name)
        if graph is None:
            # Its version has been replaced and dropped since the statement began.
            raise Contention(name)
        self._known.graphs[namespace, name] = graph
        return graph

    def hold_graph(self, namespace: str, name: str) -> GraphRecord | None:
        """Return a graph, and hold it with its latest version, as :meth:`find_graph` does."""
        return self.find_graph(namespace, name)

    def take_graph(self, namespace: str, name: str) -> int | None:
        """Return a graph's key, once no unit holds it; None if there is none."""
        self._row(_CLOSE, number=_gate_of_graph(namespace, name))
        return super().take_graph(namespace, name)

    def find_trigger_key(self, namespace: str, graph_name: str, key: str) -> TriggerKeyRecord | None:
        """Return what a trigger under an idempotency key was answered, expired or not."""
        record = self._found_key = super().find_trigger_key(namespace, graph_name, key)
        return record

    def _make_way_for(self, record: TriggerKeyRecord) -> None:
        # Only for what was found: what others have written since is in the way, as it should be.
        found, self._found_key = self._found_key, None
        if found is not None:
            of_key = {"of_namespace": record.namespace, "of_graph": record.graph_name, "of_key": record.key}
            self._run(DROP_AS_READ, **of_key, was_run_id=found.run_id)

    def cancel_run(self, run_key: int, now_ms: int) -> int | None:
        """Prune what is CREATED or QUEUED and have nothing follow; None if the run has ended anyway."""
        # Waits for the units under way in the run, and has later ones wait.
        self._row(_CLOSE, number=_FIRST_RUN_GATE + run_key)
        self._row(_HOLD_RUN, of_key=run_key)
        return super().cancel_run(run_key, now_ms)

    def claim(
        self, namespace: str, node_names: Collection[str], *, limit: int, now_ms: int, lease_until: int | None = None
    ) -> list[ClaimedRecord]:
        """Take due CREATED states of these nodes, the longest due first, and make them QUEUED."""
        self._flush_states()
        names = list(dict.fromkeys(node_names))
        claimed: list[ClaimedRecord] = []
        candidates = limit
        while True:
            rows = super()._rows(
                _CLAIM,
                node_names=names,
                namespace=namespace,
                now_ms=now_ms,
                candidates=candidates,
                limit=limit - len(claimed),
                lease_until=lease_until,
            )
            found = rows[0][0]
            taken = sorted(row[1:] for row in rows if row[2] is not None)
            claimed += [_claimed(row, lease_until) for row in taken]
            for row in taken:
                _enqueue_after, _key, state_id, node_name, identifier, *_rest, run_key = row
                self._pending.states.pop(state_id, None)
                self.log(run_key, "QUEUED", identifier, node_name, now_ms, state_id)
            self.notes += [CLAIMED] * len(taken)
            self._has_written |= bool(taken)  # It is a SELECT by its looks.
            # With fewer candidates than were asked for of any node there are no others, and those that were not taken
            # are held by somebody else. Otherwise there may be more behind them.
            if len(claimed) == limit or found < candidates:
                return claimed
            candidates *= 2

    def find_waiting(self, namespace: str, node_name: str, *, now_ms: int, limit: int) -> tuple[int, int | None]:
        """Return how many states of a node are due, counted up to ``limit``, and when to look for more."""
        first_at: int | None = self._scalar(_NEXT_WAITING, namespace=namespace, node_name=node_name)
        if first_at is None or first_at > now_ms:
            return 0, first_at
        # Somebody is about to take it, but may yet let go of it, and would tell nobody.
        due, _next_at = super().find_waiting(namespace, node_name, now_ms=now_ms, limit=limit)
        return due, now_ms + _HELD_BY_OTHERS_MS

    def change_join(self, state_id: str, *, pending: int, failed: int) -> JoinProgress:
        """Add to the counts of the states under a united state, and return where they stand."""
        return JoinProgress(*self._row(_CHANGE_JOIN, state_id=state_id, pending=pending, failed=failed))

    def _rows(self, statement: Executable, **values: Any) -> Sequence[Any]:
        self._settle(statement)
        return super()._rows(statement, **values)

    def _run(self, statement: Executable, **values: Any) -> int:
        self._settle(statement)
        return super()._run(statement, **values)

    def _settle(self, statement: Executable) -> None:
        """Before a statement, write what it may be about, and forget what it may change."""
        concern = _concern_of(statement)
        if concern.states and statement not in self._about_one_state:
            self._flush_states()
            if statement.is_dml:
                self._pending.states = {}
        if concern.counts:
            self._flush_counts()
        if concern.runs and statement.is_dml:
            self._known.runs = {}
        if concern.graphs and statement.is_dml:
            self._known.graphs = {}

    def _flush_states(self) -> None:
        changes, additions = self._pending.changes, self._pending.additions
        self._pending.changes, self._pending.additions = [], []
        # In their order, for one state may have changed more than once.
        for is_prune, rows in groupby(changes, lambda values: "prune_data" in values):
            self._write_many(self.prune_state_statement if is_prune else self.change_state_statement, list(rows))
        self._write_many(self.add_state_statement, additions)

    def _flush_counts(self) -> None:
        counts, self._pending.counts = self._pending.counts, {}
        self._write_many(self.count_statement, [self._count_values(key, counts[key]) for key in sorted(counts)])

    def _write_many(self, statement: Executable, rows: Sequence[Values]) -> None:
        if rows:
            self._has_written = True
            self._written.append((self._statements.change_many(self._connection, statement, rows), len(rows)))


class _Concern(NamedTuple):
    """What a statement is about."""

    states: bool
    runs: bool
    counts: bool
    graphs: bool


_concerns: dict[Executable, _Concern] = {}


def _concern_of(statement: Executable) -> _Concern:
    concern = _concerns.get(statement)
    if concern is None:
        columns: list[Column[Any]] = [
            element for element in visitors.iterate(cast("ClauseElement", statement)) if isinstance(element, Column)
        ]
        tables: set[FromClause] = {column.table for column in columns}
        if isinstance(statement, Insert):
            # What is new was not read before.
            concern = _Concern(statement.table is states, runs=False, counts=False, graphs=False)
        else:
            if isinstance(statement, UpdateBase):
                tables.add(statement.table)
            counts = any(column.table is runs and column.name in _COUNTS for column in columns)
            concern = _Concern(states in tables, runs in tables, counts, graphs in tables or graph_versions in tables)
        _concerns[statement] = concern
    return concern


def _gate_of_graph(namespace: str, name: str) -> int:
    # No two pairs are spelled alike, as no namespace holds a slash.
    return int.from_bytes(blake2b(f"{namespace}/{name}".encode(), digest_size=8).digest(), signed=True)


def _claimed(row: Sequence[Any], lease_until: int | None) -> ClaimedRecord:
    enqueue_after, _key, state_id, node_name, identifier, inputs, created_at, *of_run = row
    graph_name, run_id, retry_count, _run_key = of_run
    return ClaimedRecord(
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
    )
