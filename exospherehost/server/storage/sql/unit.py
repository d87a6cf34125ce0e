"""A unit of work on an SQL connection."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from exospherehost.server.domain.store import Occurrence
from exospherehost.server.storage.sql.api_keys import SqlApiKeys
from exospherehost.server.storage.sql.backlog import SqlBacklog
from exospherehost.server.storage.sql.base import savepoint
from exospherehost.server.storage.sql.cancellation import SqlCancellation
from exospherehost.server.storage.sql.graphs import SqlGraphs
from exospherehost.server.storage.sql.leases import SqlLeases
from exospherehost.server.storage.sql.retention import SqlRetention
from exospherehost.server.storage.sql.runs import SqlRuns
from exospherehost.server.storage.sql.trigger_keys import SqlTriggerKeys


class SqlUnit(SqlGraphs, SqlRuns, SqlCancellation, SqlLeases, SqlTriggerKeys, SqlApiKeys, SqlBacklog, SqlRetention):
    """What reads, and what units of work do alike on every database, inside the connection's transaction."""

    @contextmanager
    def nested(self) -> Generator[None, None, None]:
        """Begin a part of the unit of which nothing remains if its block raises."""
        with savepoint(self._connection, "part"):
            yield

    def note(self, what: Occurrence) -> None:
        """Have something counted once the unit is durable."""
        self.notes.append((what,))
