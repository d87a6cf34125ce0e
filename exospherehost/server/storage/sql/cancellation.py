"""Ending runs before their time in SQL."""

from __future__ import annotations

from sqlalchemy import bindparam, literal_column, null, or_, select, update

from exospherehost.server.storage.sql.events import SqlEvents
from exospherehost.server.storage.sql.tables import graph_versions, joins, runs, states

# The row of the run comes first. Whoever creates a state changes it too, and only while it is not cancelled: a state
# that was created before is found below, and later none is created.
_CANCEL = (
    update(runs)
    .where(runs.c.key == bindparam("of_key"), runs.c.cancelled_at.is_(None), runs.c.pending > literal_column("0"))
    .values(cancelled_at=bindparam("now_ms"))
)
_PRUNE = (
    update(states)
    .where(
        states.c.run_key == bindparam("of_key"),
        or_(states.c.status == literal_column("'CREATED'"), states.c.status == literal_column("'QUEUED'")),
    )
    .values(status=literal_column("'PRUNED'"), updated_at=bindparam("now_ms"), lease_expires_at=null())
    .returning(states.c.id, states.c.identifier, states.c.node_name)
)
_COUNT_PRUNED = (
    update(runs)
    .where(runs.c.key == bindparam("of_key"))
    .values(pending=runs.c.pending - bindparam("pruned"), succeeded=runs.c.succeeded + bindparam("pruned_too"))
)
_EMPTY_JOINS = (
    update(joins)
    .where(joins.c.state_id.in_(select(states.c.id).where(states.c.run_key == bindparam("of_key"))))
    .values(pending=literal_column("0"))
)
_RUNNING = (
    select(runs.c.key)
    .join_from(graph_versions, runs, runs.c.version_id == graph_versions.c.id)
    .where(graph_versions.c.graph_key == bindparam("graph_key"), runs.c.pending > literal_column("0"))
    .order_by(runs.c.key)
)


class SqlCancellation(SqlEvents):
    """Runs that are ended before their time."""

    def cancel_run(self, run_key: int, now_ms: int) -> int | None:
        """Prune what is CREATED or QUEUED and have nothing follow; None if the run has ended anyway."""
        if not self._run(_CANCEL, of_key=run_key, now_ms=now_ms):
            return None
        pruned = self._rows(_PRUNE, of_key=run_key, now_ms=now_ms)
        for state_id, identifier, node_name in pruned:
            self.log(run_key, "PRUNED", identifier, node_name, now_ms, state_id)
        # What each was before, the database does not say in one go.
        self.notes += [("transition", "", "PRUNED")] * len(pruned)
        self._run(_COUNT_PRUNED, of_key=run_key, pruned=len(pruned), pruned_too=len(pruned))
        self._run(_EMPTY_JOINS, of_key=run_key)
        return len(pruned)

    def running_runs(self, graph_key: int) -> list[int]:
        """Return the keys of a graph's runs that have not ended, in the order of their start."""
        return [row[0] for row in self._rows(_RUNNING, graph_key=graph_key)]
