"""What waits and what runs, counted in SQL."""

from __future__ import annotations

from sqlalchemy import ColumnClause, bindparam, column, func, literal_column, select, table

from exospherehost.server.domain.records import Backlog, DueStates
from exospherehost.server.storage.sql.base import SqlPart
from exospherehost.server.storage.sql.tables import nodes, states

_MOST_LINES = 10_000
_LINE = (states.c.namespace, states.c.node_name)
# Both walk a partial index that holds nothing that has finished; the literal lets SQLite see that it may.
_DUE = (
    select(*_LINE, func.count(), func.min(states.c.enqueue_after))
    .where(states.c.status == literal_column("'CREATED'"), states.c.enqueue_after <= bindparam("now_ms"))
    .group_by(*_LINE)
)
_LEASED = select(*_LINE, func.count()).where(states.c.lease_expires_at.is_not(None)).group_by(*_LINE)
_LINES = select(nodes.c.namespace, nodes.c.name).order_by(nodes.c.key).limit(literal_column(str(_MOST_LINES)))
_VERSION: ColumnClause[str] = column("version_num")
_REVISION = select(_VERSION).select_from(table("alembic_version", _VERSION))


class SqlBacklog(SqlPart):
    """What operators and autoscalers look at."""

    def backlog(self, now_ms: int) -> Backlog:
        """Return what is due at a time (epoch milliseconds) and what is held under a lease, by node."""
        return Backlog(
            now_ms,
            tuple((row[0], row[1]) for row in self._rows(_LINES)),
            {(row[0], row[1]): DueStates(row[2], row[3]) for row in self._rows(_DUE, now_ms=now_ms)},
            {(row[0], row[1]): row[2] for row in self._rows(_LEASED)},
        )

    def schema_revision(self) -> str | None:
        """Return the revision that the database's schema is at; None for none."""
        revision: str | None = self._scalar(_REVISION)
        return revision
