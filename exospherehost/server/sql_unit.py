"""A unit of work on an SQL connection."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from exospherehost.server.domain.store import Occurrence
from exospherehost.server.sql_api_keys import SqlApiKeys
from exospherehost.server.sql_backlog import SqlBacklog
from exospherehost.server.sql_base import savepoint
from exospherehost.server.sql_cancel import SqlCancel
from exospherehost.server.sql_graphs import SqlGraphs
from exospherehost.server.sql_keys import SqlKeys
from exospherehost.server.sql_leases import SqlLeases
from exospherehost.server.sql_pruning import SqlPruning
from exospherehost.server.sql_runs import SqlRuns


class SqlUnit(SqlGraphs, SqlRuns, SqlCancel, SqlLeases, SqlKeys, SqlApiKeys, SqlBacklog, SqlPruning):
    """What reads, and what units of work do alike on every database, inside the connection's transaction."""

    @contextmanager
    def nested(self) -> Generator[None, None, None]:
        """Begin a part of the unit of which nothing remains if its block raises."""
        with savepoint(self._connection, "part"):
            yield

    def note(self, what: Occurrence) -> None:
        """Have something counted once the unit is durable."""
        self.notes.append((what,))
