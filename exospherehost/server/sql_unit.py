"""A unit of work on an SQL connection."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from exospherehost.server.sql_base import savepoint
from exospherehost.server.sql_cancel import SqlCancel
from exospherehost.server.sql_graphs import SqlGraphs
from exospherehost.server.sql_keys import SqlKeys
from exospherehost.server.sql_leases import SqlLeases
from exospherehost.server.sql_runs import SqlRuns


class SqlUnit(SqlGraphs, SqlRuns, SqlCancel, SqlLeases, SqlKeys):
    """All that :class:`~exospherehost.server.store.UnitOfWork` asks for, inside the connection's transaction."""

    @contextmanager
    def nested(self) -> Generator[None, None, None]:
        """Begin a part of the unit of which nothing remains if its block raises."""
        with self.undone_together("part"):
            yield

    @contextmanager
    def undone_together(self, name: str) -> Generator[None, None, None]:
        """Run a block of which nothing remains, not what it noted for the log either, if it raises."""
        noted = self.noted()
        try:
            with savepoint(self._connection, name):
                yield
        except BaseException:
            self.forget_noted(noted)
            raise
