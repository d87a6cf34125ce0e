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
end and by key, or given up soon (see :mod:`exospherehost.server.storage.postgresql.writer`).
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b

from sqlalchemy import JSON, BigInteger, Text, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, insert

from exospherehost.server.domain.errors import Contention
from exospherehost.server.domain.records import ClaimedRecord, GraphRecord, JoinProgress, TriggerKeyRecord
from exospherehost.server.storage.sql.base import binds
from exospherehost.server.storage.sql.batch_unit import BatchUnit
from exospherehost.server.storage.sql.graphs import SqlGraphs, read_graph
from exospherehost.server.storage.sql.leases import SqlLeases
from exospherehost.server.storage.sql.runs import STATE_FIELDS, SqlRuns
from exospherehost.server.storage.sql.tables import graph_versions, graphs, joins, runs
from exospherehost.server.storage.sql.trigger_keys import DROP_AS_READ

# When to look again for states that are due and that somebody else holds just now.
_HELD_BY_OTHERS_MS = 250

# Candidates are read in order and taken one by one, so that no more rows are locked than are claimed, and what others
# hold is passed over. Each node's are one ordered walk of the partial index, however long the backlog. From there on
# rows are found by their place, which is where they stay once they are locked; one that has moved since is left for
# the next claim.
_CLAIM = text("""
WITH candidate AS MATERIALIZED (
  SELECT due.key, due.enqueue_after, due.place
  FROM unnest(:node_names) AS node(name)
  CROSS JOIN LATERAL (
    SELECT key, enqueue_after, ctid AS place FROM states
    WHERE status = 'CREATED' AND namespace = :namespace AND node_name = node.name AND enqueue_after <= :now_ms
    ORDER BY enqueue_after
    LIMIT :candidates
  ) AS due
  ORDER BY due.enqueue_after, due.key
), taken AS MATERIALIZED (
  SELECT held.place
  FROM candidate
  CROSS JOIN LATERAL (
    SELECT ctid AS place FROM states
    WHERE ctid = candidate.place AND status = 'CREATED' AND enqueue_after <= :now_ms
    FOR UPDATE SKIP LOCKED
  ) AS held
  LIMIT :limit
), changed AS (
  UPDATE states SET status = 'QUEUED', lease_expires_at = :lease_until, claim_token = :token
  FROM taken, runs
  WHERE states.ctid = taken.place AND runs.key = states.run_key
  RETURNING states.enqueue_after, states.key, states.id, states.node_name, states.identifier, states.inputs,
    states.created_at, runs.graph_name, runs.id AS run_id, states.retry_count, states.run_key
)
SELECT (SELECT count(*) FROM candidate) AS candidates, changed.*
FROM (SELECT 1) AS always LEFT JOIN changed ON true
""").bindparams(
    bindparam("node_names", type_=ARRAY(Text)),
    bindparam("namespace", type_=Text),
    bindparam("token", type_=Text),
    *(bindparam(name, type_=BigInteger) for name in ("now_ms", "candidates", "limit", "lease_until")),
)
_NEXT_WAITING = text(
    "SELECT enqueue_after FROM states WHERE status = 'CREATED' AND namespace = :namespace AND node_name = :node_name "
    "ORDER BY enqueue_after LIMIT 1"
).bindparams(bindparam("namespace", type_=Text), bindparam("node_name", type_=Text))

# What gates are numbered by: those of runs from here on, by their keys; those of graphs by their names.
_FIRST_RUN_GATE = 0x6578_0000_0000_0000
_RUN_COLUMNS = "key, id, namespace, graph_name, version_id, store, cancelled_at"
# Each run is held once, however many of its states are wanted.
_HOLD = text(f"""
WITH wanted AS MATERIALIZED (
  SELECT id, run_key FROM states WHERE id = ANY(ARRAY(SELECT json_array_elements_text(:ids)))
), of_run AS MATERIALIZED (
  SELECT held.*
  FROM (
    SELECT run_key, pg_try_advisory_xact_lock_shared({_FIRST_RUN_GATE} + run_key) AS is_open
    FROM wanted GROUP BY run_key
  ) AS gate
  CROSS JOIN LATERAL (
    SELECT {_RUN_COLUMNS} FROM runs WHERE runs.key = gate.run_key AND gate.is_open FOR KEY SHARE SKIP LOCKED
  ) AS held
)
SELECT state.*, of_run.*
FROM wanted JOIN of_run ON of_run.key = wanted.run_key
CROSS JOIN LATERAL (
  SELECT {", ".join(STATE_FIELDS)} FROM states WHERE states.id = wanted.id FOR UPDATE SKIP LOCKED
) AS state
""").bindparams(bindparam("ids", type_=JSON))  # noqa: S608 (names and numbers of ours)
_number = bindparam("number", type_=BigInteger)
_gate = select(func.pg_try_advisory_xact_lock_shared(_number).label("is_open")).cte("gate")
# Whether it is held as it now is, is for the rows' locks to find out, as it is above: the gate opens at once or not.
_FIND_GRAPH = SqlGraphs.find_graph_statement.where(_gate.c.is_open).with_for_update(
    read=True, key_share=True, of=(graphs, graph_versions)
)
_ENTER = select(func.pg_advisory_xact_lock_shared(_number))
_CLOSE = select(func.pg_advisory_xact_lock(_number))
_OUTPUTS = text(
    "SELECT id, outputs FROM states WHERE id = ANY(ARRAY(SELECT json_array_elements_text(:ids)))"
).bindparams(bindparam("ids", type_=JSON))
_NEW_RUN_KEYS = text(
    "SELECT nextval(pg_get_serial_sequence('runs', 'key')) FROM generate_series(1, :number)"
).bindparams(bindparam("number", type_=BigInteger))
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


class PostgresUnit(BatchUnit):
    """All that a unit of work asks for, where others write too."""

    hold_statement = _HOLD
    outputs_statement = _OUTPUTS
    get_run_statement = SqlRuns.get_run_statement.with_for_update(read=True, key_share=True)
    find_graph_statement = SqlGraphs.find_graph_statement.with_for_update(read=True, key_share=True, of=graph_versions)
    find_lease_statement = SqlLeases.find_lease_statement.with_for_update(skip_locked=True)

    def _new_run_keys(self, number: int) -> Collection[int]:
        return [key for (key,) in self._rows(_NEW_RUN_KEYS, number=number)]

    # What the last unit found that asked for a key.
    _found_key: TriggerKeyRecord | None = None

    def _enter_run(self, key: int) -> None:
        self._row(_ENTER, number=_FIRST_RUN_GATE + key)

    def find_graph(self, namespace: str, name: str) -> GraphRecord | None:
        """Return a graph with its latest version, and hold both."""
        known = self._known.graphs.get((namespace, name))
        if known is not None:
            return known
        number = _gate_of_graph(namespace, name)
        row = self._row(_FIND_GRAPH, namespace=namespace, name=name, number=number)
        graph = self._wait_for_graph(namespace, name, number) if row is None else read_graph(row)
        if graph is None:
            return None
        self._known.graphs[namespace, name] = graph
        return graph

    def _wait_for_graph(self, namespace: str, name: str, number: int) -> GraphRecord | None:
        """Find a graph that somebody may be deleting, or replacing."""
        self._row(_ENTER, number=number)
        if self._row(_HOLD_GRAPH, namespace=namespace, name=name) is None:
            return None
        graph = super().find_graph(namespace, name)
        if graph is None:
            # Its version has been replaced and dropped since the statement began.
            raise Contention(name)
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
        self._flush_states()
        names = list(dict.fromkeys(node_names))
        claimed: list[ClaimedRecord] = []
        candidates = limit
        while True:
            rows = self._rows(
                _CLAIM,
                node_names=names,
                namespace=namespace,
                now_ms=now_ms,
                candidates=candidates,
                limit=limit - len(claimed),
                lease_until=lease_until,
                token=token,
            )
            found = rows[0][0]
            taken = sorted(row[1:] for row in rows if row[2] is not None)
            claimed += self._claimed(taken, now_ms=now_ms, lease_until=lease_until, token=token)
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

    def _hold_join(self, state_id: str, pending: int, failed: int) -> JoinProgress:
        return JoinProgress(*self._row(_CHANGE_JOIN, state_id=state_id, pending=pending, failed=failed))


def _gate_of_graph(namespace: str, name: str) -> int:
    # No two pairs are spelled alike, as no namespace holds a slash.
    return int.from_bytes(blake2b(f"{namespace}/{name}".encode(), digest_size=8).digest(), signed=True)
