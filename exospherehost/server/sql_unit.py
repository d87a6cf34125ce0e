"""A unit of work on an SQL connection."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from exospherehost.server.sql_api_keys import SqlApiKeys
from exospherehost.server.sql_backlog import SqlBacklog
from exospherehost.server.sql_base import savepoint
from exospherehost.server.sql_cancel import SqlCancel
from exospherehost.server.sql_graphs import SqlGraphs
from exospherehost.server.sql_keys import SqlKeys
from exospherehost.server.sql_leases import SqlLeases
from exospherehost.server.sql_pruning import SqlPruning
from exospherehost.server.sql_runs import SqlRuns
from exospherehost.server.store import Occurrence


class SqlUnit(SqlGraphs, SqlRuns, SqlCancel, SqlLeases, SqlKeys, SqlApiKeys, SqlBacklog, SqlPruning):
    """All that :class:`~exospherehost.server.store.UnitOfWork` asks for, inside the connection's transaction."""

    @contextmanager
    def nested(self) -> Generator[None, None, None]:
        """Begin a part of the unit of which nothing remains if its block raises."""
        with self.undone_together("part"):
            yield

    @contextmanager
    def undone_together(self, name: str) -> Generator[None, None, None]:
        """Run a block of which nothing remains, neither for the log nor to be counted, if it raises."""
        logged, noted = self.logged(), len(self.notes)
        try:
            with savepoint(self._connection, name):
                yield
        except BaseException:
            self.forget_logged(logged)
            del self.notes[noted:]
            raise

    def note(self, what: Occurrence) -> None:
        """Have something counted once the unit is durable."""
        self.notes.append((what,))
