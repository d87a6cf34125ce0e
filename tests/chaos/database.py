"""What stands in a state manager's database, read by SQL alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from exospherehost.server.storage.sql.tables import (
    graph_versions,
    join_firings,
    joins,
    run_totals,
    runs,
    states,
    trigger_keys,
)


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as it is stored."""

    key: int
    id: str
    graph: str
    version_id: str
    store: Mapping[str, str]
    pending: int
    succeeded: int
    errored: int
    retried: int


@dataclass(frozen=True, slots=True)
class StoredState:
    """A state as it is stored."""

    id: str
    run_key: int
    identifier: str
    status: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, Any]
    error: str | None
    parents: Mapping[str, str]
    retry_count: int
    fanout_id: str | None
    lease_expires_at: int | None

    @property
    def text(self) -> str:
        """The input by which it is known in the plan."""
        return self.inputs.get("text", "")

    @property
    def parent(self) -> str | None:
        """The state that it follows."""
        return [None, *self.parents.values()][-1]


@dataclass(frozen=True, slots=True)
class Contents:
    """All that the checker looks at, as of one moment.

    Attributes:
        runs: by their number.
        total: how many runs the service would say that there are.
        states: in order of creation.
        keys: the run of each idempotency key.
        graphs: the nodes of each graph version, as they were put.
        joins: how many pending and failed states are counted under each united state.
        firings: each united state with the node that has united it.
    """

    runs: Mapping[int, StoredRun]
    total: int
    states: Sequence[StoredState]
    keys: Mapping[str, str]
    graphs: Mapping[str, Sequence[Mapping[str, Any]]]
    joins: Mapping[str, tuple[int, int]]
    firings: Sequence[tuple[str, str]]


class Database:
    """Reads a database that a server may be using.

    Args:
        url: as for SQLAlchemy; a file of SQLite's is read without ever being changed.
        namespace: the namespace to look at.
    """

    def __init__(self, url: str, namespace: str) -> None:
        address = sa.make_url(url)
        if address.get_backend_name() == "sqlite":
            address = address.set(database=f"file:{address.database}", query={"mode": "ro", "uri": "true"})
        elif address.drivername == "postgresql":
            address = address.set(drivername="postgresql+psycopg")
        # No pool: between two looks nothing here must keep the file open, or a crash would be none.
        self._engine = sa.create_engine(address, poolclass=sa.NullPool)
        self._namespace = namespace

    def counted_states(self) -> tuple[int, int]:
        """Return how many states the runs count, and how many of them have ended."""
        counts = [runs.c[name] for name in ("pending", "succeeded", "errored", "retried")]
        with self._view() as connection:
            query = sa.select(*(sa.func.sum(count) for count in counts)).where(runs.c.namespace == self._namespace)
            pending, *ended = (int(count or 0) for count in connection.execute(query).one())
        return pending + sum(ended), sum(ended)

    def read(self) -> Contents:
        """Read everything, as of one moment."""
        with self._view() as connection:
            of_runs = connection.execute(
                sa.select(
                    *(runs.c[name] for name in ("key", "id", "graph_name", "version_id", "store")),
                    *(runs.c[name] for name in ("pending", "succeeded", "errored", "retried")),
                ).where(runs.c.namespace == self._namespace)
            ).all()
            totals = connection.scalars(
                sa.select(run_totals.c.total).where(run_totals.c.namespace == self._namespace)
            ).all()
            of_states = connection.execute(
                sa.select(
                    *(states.c[name] for name in ("id", "run_key", "identifier", "status", "inputs", "outputs")),
                    *(states.c[name] for name in ("error", "parents", "retry_count", "fanout_id", "lease_expires_at")),
                )
                .where(states.c.namespace == self._namespace)
                .order_by(states.c.key)
            ).all()
            of_keys = connection.execute(
                sa.select(trigger_keys.c.idempotency_key, trigger_keys.c.run_id).where(
                    trigger_keys.c.namespace == self._namespace
                )
            ).all()
            versions = connection.execute(sa.select(graph_versions.c.id, graph_versions.c.document)).all()
            progress = connection.execute(sa.select(joins.c.state_id, joins.c.pending, joins.c.failed)).all()
            fired = connection.execute(sa.select(join_firings.c.state_id, join_firings.c.identifier)).all()
        return Contents(
            runs={row.key: _run(row) for row in of_runs},
            total=sum(totals),
            states=[_state(row) for row in of_states],
            keys={row.idempotency_key: row.run_id for row in of_keys},
            graphs={row.id: json.loads(row.document)["nodes"] for row in versions},
            joins={row.state_id: (row.pending, row.failed) for row in progress},
            firings=[(row.state_id, row.identifier) for row in fired],
        )

    @contextmanager
    def _view(self) -> Iterator[sa.Connection]:
        # One view for all of a look's statements, which neither database gives by itself.
        with self._engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("BEGIN")
            else:
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection


def _run(row: Any) -> StoredRun:
    counts = row.pending, row.succeeded, row.errored, row.retried
    return StoredRun(row.key, row.id, row.graph_name, row.version_id, json.loads(row.store), *counts)


def _state(row: Any) -> StoredState:
    return StoredState(
        id=row.id,
        run_key=row.run_key,
        identifier=row.identifier,
        status=row.status,
        inputs=json.loads(row.inputs),
        outputs=json.loads(row.outputs),
        error=row.error,
        parents=json.loads(row.parents),
        retry_count=row.retry_count,
        fanout_id=row.fanout_id,
        lease_expires_at=row.lease_expires_at,
    )
