"""A unit of work for the units of one transaction, which reads ahead for all of them and writes for all at once.

A transaction of many reports reads the states and runs that they concern at once, holding their rows where others
write too, and writes what became of them at once. What it holds nobody else can change: so a report decides by what was
read, its compare-and-set is done here, and nothing is lost by writing later.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

from sqlalchemy import Column, Connection, bindparam, text, update
from sqlalchemy.sql import ClauseElement, FromClause, Insert, visitors
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.dml import UpdateBase

from exospherehost.server.domain.errors import Contention
from exospherehost.server.domain.records import (
    ClaimedRecord,
    JoinProgress,
    JsonObject,
    NewRun,
    NodeRecord,
    OldRun,
    RunCounts,
    RunListing,
    RunRecord,
    StateChange,
    StateRecord,
)
from exospherehost.server.domain.store import NodeKey
from exospherehost.server.storage.sql.base import Spoilt, binds, dump, load
from exospherehost.server.storage.sql.pending_writes import Known, Pending, Values
from exospherehost.server.storage.sql.runs import ADD_RUNS, COUNT_FIELDS, STATE_FIELDS, SqlRuns, read_run, read_state
from exospherehost.server.storage.sql.statements import Statements
from exospherehost.server.storage.sql.tables import graph_versions, graphs, joins, runs, states
from exospherehost.server.storage.sql.unit import SqlUnit

_ADD_TO_TOTAL = text(
    "INSERT INTO run_totals (namespace, slot, total) VALUES (:namespace, :slot, :more) "
    "ON CONFLICT (namespace, slot) DO UPDATE SET total = run_totals.total + excluded.total"
)
SET_JOIN = update(joins).where(joins.c.state_id == bindparam("of_id")).values(binds("pending", "failed"))


class BatchUnit(SqlUnit):
    """All that a unit of work asks for, for the units of one transaction, one after the other.

    Call :meth:`begin` before each unit, and :meth:`keep` or :meth:`forget` after it; :meth:`flush` before the commit.

    Args:
        connection: The connection.
        statements: The compiled statements of its dialect.
    """

    # Each database says these in its own way: states with their runs, and outputs; by ids, a JSON array.
    hold_statement: Executable
    outputs_statement: Executable
    # These are about states and joins of which nothing has been put off.
    _about_one = frozenset(
        (
            SqlRuns.find_state_statement,
            SqlRuns.change_state_statement,
            SqlRuns.prune_state_statement,
            SqlRuns.change_join_statement,
        )
    )

    # Where the transaction counts runs, if it adds or hides any: best where no other does at the same time.
    slot = 0

    def __init__(self, connection: Connection, statements: Statements) -> None:
        super().__init__(connection, statements)
        self._pending = Pending()
        self._before = self._pending
        self._revision = 0
        self._known = Known()
        self._kept = 0, 0, 0
        self._has_changed = False
        self._written: list[tuple[Any, int]] = []
        self._is_careful = False
        self.is_spoilt = False
        # Of how many the keys are fetched at once.
        self._likely_runs = 1
        self._run_keys: list[int] = []

    @property
    def connection(self) -> Connection:
        """The connection."""
        return self._connection

    @property
    def has_acted(self) -> bool:
        """Whether the unit has written anything or put it off, so that there is something to undo if it fails."""
        return self._has_written or self._pending.revision != self._revision

    @property
    def has_changed(self) -> bool:
        """Whether there is anything to commit."""
        return self._has_changed or self._has_written or self._pending.has_writes

    def expect(self, concerns: Sequence[str | None]) -> None:
        """Read ahead for units, given the state that each is about; those that are about none may start runs."""
        self._likely_runs = concerns.count(None)
        concerned = {state_id for state_id in concerns if state_id is not None}
        if concerned:
            self.hold(concerned)

    def hold(self, state_ids: Collection[str]) -> None:
        """Read states and their runs, as far as nobody else holds them, and hold them."""
        for row in super()._rows(self.hold_statement, ids=dump(sorted(state_ids))):
            state = read_state(row[: len(STATE_FIELDS)])
            run = read_run(row[len(STATE_FIELDS) :])
            self._pending.states[state.id] = state
            self._known.runs[run.key] = run

    def begin(self) -> None:
        """Begin a unit."""
        # Without care, a unit that fails after it has acted spoils the transaction.
        self._before = self._pending.copy() if self._is_careful else self._pending
        self._revision = self._pending.revision
        self._has_changed |= self._has_written
        self._has_written = False

    def touch(self) -> None:
        """Write what changes nothing, to learn whether anything can be written."""
        # Here what a transaction that has something to commit writes anyway.
        self._has_written = True

    def keep(self) -> None:
        """End a unit whose changes stay."""
        self._kept = len(self.waiting), len(self.notes), self.logged()

    def forget(self) -> None:
        """End a unit of which nothing remains in the database."""
        self._pending = self._before
        self._known = Known()
        if self._is_careful:
            # Without care, these are those of the units before.
            self._written = []
        self._has_written = False
        waiting, notes, logged = self._kept
        del self.waiting[waiting:]
        del self.notes[notes:]
        self.forget_logged(logged)

    def flush(self) -> None:
        """Write all that was put off, and the log; :meth:`check` tells whether it came about."""
        self.write_put_off()
        self.write_logged()

    def write_put_off(self) -> None:
        """Write all that was put off but for the log."""
        self._flush_states()
        self._flush_joins()
        self._flush_counts()
        self._flush_totals()

    def check(self) -> None:
        """See whether what was put off came about.

        Raises:
            Contention: A row was not as this transaction had read it, such as that of a run cancelled meanwhile.
        """
        for cursor, rows in self._written:
            if cursor.rowcount != rows:
                raise Contention(f"{cursor.rowcount} rows were written in place of {rows}")
        self._written = []

    def take_care(self) -> None:
        """Undo within the transaction what a part of a unit has written that fails."""
        self._is_careful = True

    @contextmanager
    def nested(self) -> Generator[None, None, None]:
        """Begin a part of the unit of which nothing remains if its block raises.

        Raises:
            Spoilt: It raised after it had acted, and the unit takes no care: all that is left is to roll back.
        """
        if not self._is_careful:
            revision, had_written, self._has_written = self._pending.revision, self._has_written, False
            try:
                yield
            except BaseException as error:
                if self._has_written or self._pending.revision != revision:
                    # Kept, for who catches what a part raises goes on as if nothing of it were left.
                    self.is_spoilt = True
                    raise Spoilt from error
                raise
            finally:
                self._has_written |= had_written
            return
        before, had_written = self._pending.copy(), self._has_written
        waiting, noted, logged = len(self.waiting), len(self.notes), self.logged()
        try:
            with super().nested():
                yield
        except BaseException:
            self._pending, self._known, self._has_written = before, Known(), had_written
            del self.waiting[waiting:]
            del self.notes[noted:]
            self.forget_logged(logged)
            raise

    def change_join(self, state_id: str, *, pending: int, failed: int) -> JoinProgress:
        """Add to the counts of the states under a united state, and return where they stand.

        The first change in a transaction holds the row and tells where it stands; those after it are put off.
        """
        known = self._pending.joins.get(state_id)
        if known is None:
            progress = self._pending.joins[state_id] = self._hold_join(state_id, pending, failed)
        else:
            progress = JoinProgress(known.pending + pending, known.failed + failed)
            self._pending.move_join(state_id, progress)
        return progress

    def _hold_join(self, state_id: str, pending: int, failed: int) -> JoinProgress:
        return super().change_join(state_id, pending=pending, failed=failed)

    def add_run(self, run: NewRun) -> RunRecord:
        """Write a run, when the transaction ends or something asks for runs."""
        if not self._run_keys:
            self._run_keys = sorted(self._new_run_keys(max(self._likely_runs, 1)), reverse=True)
        key = self._run_keys.pop()
        values = {
            "key": key,
            "id": run.id,
            "namespace": run.namespace,
            "graph_name": run.graph_name,
            "version_id": run.version_id,
            "store": dump(dict(run.store)),
            "created_at": run.created_at,
            "pending": 0,
            "succeeded": 0,
            "errored": 0,
            "retried": 0,
        }
        self._pending.start(key, values)
        self._pending.count_run(run.namespace, 1)
        return RunRecord(key, run.id, run.namespace, run.graph_name, run.version_id, run.store)

    def _new_run_keys(self, number: int) -> Collection[int]:
        """Return keys that no run has, nor will be given by another transaction."""
        raise NotImplementedError

    def hide_run(self, run: OldRun) -> bool:
        """Make a run that has ended, and has not changed since it was read, unknown; tell whether that was so."""
        is_hidden = super().hide_run(run)
        if is_hidden:
            self._pending.count_run(run.namespace, -1)
        return is_hidden

    def list_runs(self, namespace: str, *, offset: int, limit: int) -> tuple[int, list[RunListing]]:
        """Return the number of a namespace's runs, and a slice of them, newest first."""
        self._flush_totals()
        return super().list_runs(namespace, offset=offset, limit=limit)

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
            self._enter_run(key)
            run = self._known.runs[key] = super().get_run(key)
        return run

    def _enter_run(self, key: int) -> None:
        """Wait for whoever ends a run, before its row is read; nobody does where one writes at a time."""

    def _claimed(
        self, taken: Sequence[Any], *, now_ms: int, lease_until: int | None, token: str | None
    ) -> list[ClaimedRecord]:
        claimed = super()._claimed(taken, now_ms=now_ms, lease_until=lease_until, token=token)
        for state in claimed:
            self._pending.states.pop(state.id, None)
        return claimed

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
            found |= {
                state_id: load(outputs) for state_id, outputs in super()._rows(self.outputs_statement, ids=dump(rest))
            }
        return found

    def _write_states(self, rows: Sequence[Values]) -> None:
        if all(values["fanout_id"] is None for values in rows):
            self._pending.add(rows)
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

    def _rows(self, statement: Executable, **values: Any) -> Sequence[Any]:
        self._settle(statement)
        return super()._rows(statement, **values)

    def _run(self, statement: Executable, **values: Any) -> int:
        self._settle(statement)
        return super()._run(statement, **values)

    def _settle(self, statement: Executable) -> None:
        """Before a statement, write what it may be about, and forget what it may change."""
        concern = _concern_of(statement)
        if concern.joins and statement not in self._about_one:
            self._flush_joins()
            if statement.is_dml:
                self._pending.joins = {}
        if concern.states and statement not in self._about_one:
            self._flush_states()
            if statement.is_dml:
                self._pending.states = {}
        if concern.runs:
            self._flush_runs()
        if concern.counts:
            self._flush_counts()
        if concern.runs and statement.is_dml:
            self._known.runs = {}
        if concern.graphs and statement.is_dml:
            self._known.graphs = {}

    def _flush_states(self) -> None:
        # What they refer to comes first.
        self._flush_runs()
        changes, additions = self._pending.changes, self._pending.additions
        self._pending.changes, self._pending.additions = {}, []
        prunes = [values for values in changes.values() if "prune_data" in values]
        self._write_many(self.prune_state_statement, prunes)
        others = [values for values in changes.values() if "prune_data" not in values]
        self._write_many(self.change_state_statement, others)
        self._write_many(self.add_state_statement, additions)

    def _flush_runs(self) -> None:
        new, self._pending.runs = self._pending.runs, {}
        self._write_many(ADD_RUNS, list(new.values()))

    def _flush_joins(self) -> None:
        changed, self._pending.changed_joins = self._pending.changed_joins, set()
        stands = {state_id: self._pending.joins[state_id] for state_id in sorted(changed)}
        rows = [{"of_id": key, "pending": at.pending, "failed": at.failed} for key, at in stands.items()]
        self._write_many(SET_JOIN, rows)

    def _flush_counts(self) -> None:
        counts, self._pending.counts = self._pending.counts, {}
        self._write_many(self.count_statement, [self._count_values(key, counts[key]) for key in sorted(counts)])

    def _flush_totals(self) -> None:
        totals, self._pending.totals = self._pending.totals, {}
        for namespace in sorted(totals):
            super()._run(_ADD_TO_TOTAL, namespace=namespace, slot=self.slot, more=totals[namespace])

    def _write_many(self, statement: Executable, rows: Sequence[Values]) -> None:
        if rows:
            self._has_written = True
            self._written.append((self._statements.change_many(self._connection, statement, rows), len(rows)))


class _Concern(NamedTuple):
    """What a statement is about."""

    states: bool
    joins: bool
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
            concern = _Concern(statement.table is states, joins=False, runs=False, counts=False, graphs=False)
        else:
            if isinstance(statement, UpdateBase):
                tables.add(statement.table)
            counts = any(column.table is runs and column.name in COUNT_FIELDS for column in columns)
            of_graphs = graphs in tables or graph_versions in tables
            concern = _Concern(states in tables, joins in tables, runs in tables, counts, of_graphs)
        _concerns[statement] = concern
    return concern
