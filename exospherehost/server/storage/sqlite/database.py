"""A SQLite file as a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError

from exospherehost.server.domain.store import Reader
from exospherehost.server.storage.migrations import prepare
from exospherehost.server.storage.sql.statements import Statements
from exospherehost.server.storage.sql.store import READERS
from exospherehost.server.storage.sql.unit import SqlUnit
from exospherehost.server.storage.sql.writer import Writer
from exospherehost.server.storage.sqlite import engine
from exospherehost.server.storage.sqlite.database_file import DatabaseFile, explained
from exospherehost.server.storage.sqlite.writer import SqliteWriter

T = TypeVar("T")


class SqliteDatabase:
    """A SQLite file: one writes at a time, and no other server does.

    Args:
        path: The file.
        synchronous: Whether a commit is on disk before it counts: ``full`` or ``normal``.
        migrate: Whether to make or upgrade its schema.
        logs_events: Whether every transition is written to the log of its run.

    Raises:
        StoreError: It cannot be opened, or its schema is of a newer version.
    """

    writers = 1
    was_unattended = True
    is_shared = False

    def __init__(self, path: Path, *, synchronous: str, migrate: bool, logs_events: bool) -> None:
        self._logs_events = logs_events
        self._writer, self._reader = engine.open_engines(path, readers=READERS, synchronous=synchronous)
        try:
            prepare(self._writer, str(path), migrate=migrate)
            self._file = DatabaseFile(path)
        except BaseException:
            self._dispose()
            raise
        self._statements = Statements(self._reader.dialect)

    def new_writer(self) -> Writer:
        """Return what the writing thread runs units with."""
        return SqliteWriter(
            self._writer, Statements(self._writer.dialect), self._file.check, logs_events=self._logs_events
        )

    def read(self, work: Callable[[Reader], T]) -> T:
        """Run ``work`` on a consistent view."""
        # A new connection would open whatever bears the file's name now.
        self._file.check()
        try:
            with self._reader.connect() as connection, connection.begin():
                return work(SqlUnit(connection, self._statements))
        except DBAPIError as error:
            told = explained(error)
            if told is error:
                raise
            raise told from error

    def tell_others(self, kind: str, news: Iterable[tuple[Any, ...]]) -> None:
        """There are none."""

    def when_told(self, kind: str, take: Callable[[Sequence[tuple[Any, ...]]], None]) -> None:
        """There is nothing to hear."""

    def when_missed(self, look: Callable[[], None]) -> None:
        """There is nothing to miss."""

    def stop_waiting(self) -> None:
        """It is never away."""

    def close(self) -> None:
        """Let go of the file."""
        self._dispose()
        self._file.close()

    def _dispose(self) -> None:
        self._reader.dispose()
        self._writer.dispose()
