"""Deleting runs in SQL, a little at a time."""

from __future__ import annotations

from sqlalchemy import BigInteger, String, bindparam, cast, delete, func, literal_column, select, update

from exospherehost.server.domain.records import OldRun, RunCounts
from exospherehost.server.storage.sql.base import SqlPart
from exospherehost.server.storage.sql.graphs import DROP_VERSION
from exospherehost.server.storage.sql.tables import join_firings, joins, run_events, runs, states

_NOWHERE = ""
"""The namespace of runs that are being deleted: no path can name it."""

_limit = bindparam("limit", type_=BigInteger)
_FIRST_RUNS = (
    select(
        runs.c.key,
        runs.c.namespace,
        runs.c.created_at,
        runs.c.pending,
        runs.c.succeeded,
        runs.c.errored,
        runs.c.retried,
    )
    .where(runs.c.key > bindparam("after_key"), runs.c.namespace != _NOWHERE)
    .order_by(runs.c.key)
    .limit(_limit)
)
_LAST_CHANGE = select(func.max(states.c.updated_at)).where(states.c.run_key == bindparam("run_key"))
_HIDE = (
    update(runs)
    .where(
        runs.c.key == bindparam("of_key"),
        runs.c.namespace != _NOWHERE,
        runs.c.pending == 0,
        *(runs.c[name] == bindparam(f"was_{name}") for name in ("succeeded", "errored", "retried")),
    )
    # Its id leads nowhere either.
    .values(namespace=_NOWHERE, id=literal_column("'-'", String).concat(cast(runs.c.key, String)))
)
_HIDDEN = (
    select(runs.c.key, runs.c.version_id)
    .where(runs.c.namespace == _NOWHERE)
    .order_by(runs.c.key)
    .limit(_limit)
    # Of several servers each takes others.
    .with_for_update(skip_locked=True)
)
_SOME_STATES = select(states.c.id).where(states.c.run_key == bindparam("run_key")).order_by(states.c.key).limit(_limit)
_DROP_JOINS = delete(joins).where(joins.c.state_id.in_(_SOME_STATES))
_DROP_FIRINGS = delete(join_firings).where(join_firings.c.state_id.in_(_SOME_STATES))
_DROP_STATES = delete(states).where(states.c.id.in_(_SOME_STATES))
_DROP_EVENTS = delete(run_events).where(
    run_events.c.key.in_(select(run_events.c.key).where(run_events.c.run_key == bindparam("run_key")).limit(_limit))
)
_DROP_RUN = delete(runs).where(runs.c.key == bindparam("of_key"))


class SqlRetention(SqlPart):
    """Runs to be deleted: first hidden from everybody at once, then deleted in parts."""

    def list_first_runs(self, after_key: int, *, limit: int) -> list[OldRun]:
        """Return runs in the order of creation, from behind a key on."""
        rows = self._rows(_FIRST_RUNS, after_key=after_key, limit=limit)
        return [OldRun(key, namespace, created_at, RunCounts(*counts)) for key, namespace, created_at, *counts in rows]

    def find_last_change(self, run_key: int) -> int | None:
        """Return when a state of a run last changed, in epoch milliseconds; None for a run without states."""
        changed_at: int | None = self._scalar(_LAST_CHANGE, run_key=run_key)
        return changed_at

    def hide_run(self, run: OldRun) -> bool:
        """Make a run that has ended, and has not changed since it was read, unknown; tell whether that was so."""
        counts = run.counts
        return bool(
            self._run(
                _HIDE,
                of_key=run.key,
                was_succeeded=counts.succeeded,
                was_errored=counts.errored,
                was_retried=counts.retried,
            )
        )

    def list_hidden_runs(self, *, limit: int) -> list[tuple[int, str]]:
        """Return hidden runs: their keys and graph versions."""
        return [(key, version_id) for key, version_id in self._rows(_HIDDEN, limit=limit)]

    def drop_states(self, run_key: int, *, limit: int) -> int:
        """Delete some states of a run with all that is kept of them, and return how many."""
        for statement in (_DROP_JOINS, _DROP_FIRINGS):
            self._run(statement, run_key=run_key, limit=limit)
        return self._run(_DROP_STATES, run_key=run_key, limit=limit)

    def drop_events(self, run_key: int, *, limit: int) -> int:
        """Delete some of what the log says of a run, and return how many rows."""
        return self._run(_DROP_EVENTS, run_key=run_key, limit=limit)

    def drop_run(self, run_key: int, version_id: str) -> None:
        """Delete a run without states, and its graph version if nothing needs that any longer."""
        self._run(_DROP_RUN, of_key=run_key)
        self._run(DROP_VERSION, of_id=version_id)
