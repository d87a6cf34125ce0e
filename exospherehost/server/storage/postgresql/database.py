"""A PostgreSQL database: how it is opened, read, written and listened to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, QueuePool
from sqlalchemy.sql.base import Executable

from exospherehost.server.domain.errors import StoreError, StoreUnavailable
from exospherehost.server.domain.store import Reader
from exospherehost.server.storage.migrations import prepare
from exospherehost.server.storage.postgresql.bulk_statements import KEYS, ROWS, TOGETHER
from exospherehost.server.storage.postgresql.notifications import Notifications
from exospherehost.server.storage.postgresql.sessions import lift_limits, require_sessions
from exospherehost.server.storage.postgresql.writer import PostgresWriter, explained, is_away
from exospherehost.server.storage.sql.base import dump
from exospherehost.server.storage.sql.database_url import shown
from exospherehost.server.storage.sql.statements import Statements
from exospherehost.server.storage.sql.unit import SqlUnit
from exospherehost.server.storage.sql.writer import Writer

T = TypeVar("T")

_OLDEST_VERSION = 13
_LONGEST_AWAY_SECONDS = 30.0
_PAUSE_SECONDS = 0.5
_MARKS_KEPT_MS = 7 * 24 * 60 * 60 * 1_000
# Where the URL says nothing else: a host that is gone is noticed within half a minute, and of several hosts the one is
# taken that can be written to.
_CONNECT_OPTIONS = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
    "target_session_attrs": "read-write",
    "application_name": "exospherehost",
}

# PostgreSQL's text cannot hold NUL, so it is written as two characters that begin with one that means nothing in any
# text; where that one itself occurs, it is written as two as well.
_NUL = "\0"
_MARKER = "\ufdd0"
# As :func:`~exospherehost.server.storage.sql.base.dump` writes them.
_NUL_IN_JSON, _MARKER_IN_JSON = "\\u0000", "\\ufdd0"


class PostgresStatements(Statements):
    """Statements whose text may hold NUL."""

    def change(self, connection: Connection, statement: Executable, values: Mapping[str, Any]) -> int:
        """Execute a statement with these parameters and return how many rows it concerned."""
        return super().change(connection, statement, _escaped(values))

    def rows(self, connection: Connection, statement: Executable, values: Mapping[str, Any]) -> Sequence[Any]:
        """Execute a statement with these parameters and return its rows."""
        rows = super().rows(connection, statement, _escaped(values))
        if any(isinstance(cell, str) and _MARKER in cell for row in rows for cell in row):
            return [tuple(_unescape(cell) if isinstance(cell, str) else cell for cell in row) for row in rows]
        return rows

    def change_many(self, connection: Connection, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> Any:
        """Execute a statement for all of the rows, and return the cursor, whose row count is of all."""
        given = dump(rows)
        if _NUL_IN_JSON in given or _MARKER_IN_JSON in given:
            given = dump([_escaped(row) for row in rows])
        together = TOGETHER[statement]
        values: dict[str, Any] = {ROWS: given}
        if together.key is not None:
            values[KEYS] = dump([row[together.key] for row in rows])
        return super().change_many(connection, together.statement, [values])


class PostgresDatabase:
    """A PostgreSQL database, on which other servers may be at work too.

    Args:
        url: Where it is, for the driver psycopg.
        migrate: Whether to make or upgrade its schema.
        writers: How many transactions may write at once.
        readers: How many may read.
        logs_events: Whether every transition is written to the log of its run.

    Raises:
        StoreError: It cannot be reached, is too old or not in UTF-8, or its schema is another version's.
    """

    is_shared = True

    def __init__(self, url: URL, *, migrate: bool, writers: int, readers: int, logs_events: bool) -> None:
        self.writers = writers
        self._logs_events = logs_events
        self._url = url
        self._closing = threading.Event()
        self._writer = open_engine(url)
        self._reader = _reading_engine(url, readers)
        self._statements = PostgresStatements(self._reader.dialect)
        try:
            with told_plainly(url):
                check_server(self._writer)
                _require_sessions(url, self._connect)
                prepare(self._writer, shown(url), migrate=migrate)
                self._drop_old_marks()
                self._signals = Notifications(self._connect)
        except BaseException:
            self._dispose()
            raise

    @property
    def was_unattended(self) -> bool:
        """Whether no other server had the database open when this one opened it."""
        return self._signals.was_alone

    def new_writer(self) -> Writer:
        """Return what a writing thread runs units with."""
        return PostgresWriter(
            self._writer,
            PostgresStatements(self._writer.dialect),
            self._closing.is_set,
            logs_events=self._logs_events,
        )

    def read(self, work: Callable[[Reader], T]) -> T:
        """Run ``work`` on a consistent view; if the database goes away, again when it is back."""
        until: float | None = None
        while True:
            try:
                with self._reader.connect() as connection, connection.begin():
                    return work(SqlUnit(connection, self._statements))
            except (psycopg.Error, DBAPIError) as error:
                if not is_away(error):
                    told = explained(error)
                    if told is error:
                        raise
                    raise told from error
                now = time.monotonic()
                until = until or now + _LONGEST_AWAY_SECONDS
                if now > until or self._closing.is_set():
                    raise StoreUnavailable("the database cannot be reached") from error
                # The other connections are as likely gone.
                self._reader.dispose()
                self._closing.wait(_PAUSE_SECONDS)

    def tell_others(self, kind: str, news: Iterable[tuple[Any, ...]]) -> None:
        """Let other servers know what commits have done, without waiting for them."""
        self._signals.tell(kind, news)

    def when_told(self, kind: str, take: Callable[[Sequence[tuple[Any, ...]]], None]) -> None:
        """Have ``take`` called, in any thread, with news of a kind from other servers."""
        self._signals.when_told(kind, lambda news: take(list(news.elements())))

    def when_missed(self, look: Callable[[], None]) -> None:
        """Have ``look`` called, in any thread, where news of any kind may have been lost."""
        self._signals.when_missed(look)

    def stop_waiting(self) -> None:
        """Wait no longer for a database that is away."""
        self._closing.set()

    def close(self) -> None:
        """Let go of it."""
        self._closing.set()
        self._signals.close()
        self._dispose()

    def _dispose(self) -> None:
        self._reader.dispose()
        self._writer.dispose()

    def _connect(self) -> psycopg.Connection:
        return connect(self._writer)

    def _drop_old_marks(self) -> None:
        """Drop what killed servers left: nobody is in doubt for so long."""
        with self._connect() as connection:
            before = time.time_ns() // 1_000_000 - _MARKS_KEPT_MS
            connection.execute("DELETE FROM writer_marks WHERE updated_at < %s", (before,))


@contextmanager
def told_plainly(url: URL) -> Generator[None, None, None]:
    """Make a :class:`StoreError` without secrets of whatever the database or its driver says."""
    try:
        yield
    except (psycopg.Error, DBAPIError) as error:
        reason = str(error.orig if isinstance(error, DBAPIError) else error).strip()
        if url.password:
            reason = reason.replace(str(url.password), "***")
        # Not as the cause, which may hold what was taken out.
        raise StoreError(f"cannot use the database {shown(url)}: {reason}") from None


def open_engine(url: URL) -> Engine:
    """Return an engine whose connections are not shared and write READ COMMITTED."""
    return _engine(url, isolation_level="READ COMMITTED", poolclass=NullPool)


def check_server(engine: Engine) -> None:
    """See whether a server can be used.

    Raises:
        StoreError: It is too old, or its database is not in UTF-8.
    """
    with connect(engine) as connection:
        if connection.info.server_version < _OLDEST_VERSION * 10_000:
            raise StoreError(
                f"PostgreSQL {connection.info.server_version // 10_000} is too old: {_OLDEST_VERSION} or newer"
            )
        row = connection.execute("SHOW server_encoding").fetchone()
        if row is None or row[0] != "UTF8":
            raise StoreError("the database's encoding must be UTF8: create it with ENCODING 'UTF8' TEMPLATE template0")


def connect(engine: Engine) -> psycopg.Connection:
    """Open a connection in autocommit mode, which SQLAlchemy has nothing to do with."""
    positional, options = engine.dialect.create_connect_args(engine.url)
    connection = psycopg.connect(*positional, **options, autocommit=True)
    try:
        lift_limits(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _reading_engine(url: URL, readers: int) -> Engine:
    engine = _engine(url, isolation_level="REPEATABLE READ", poolclass=QueuePool, pool_size=readers, max_overflow=0)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.read_only = True

    return engine


def _engine(url: URL, **options: Any) -> Engine:
    missing = {name: value for name, value in _CONNECT_OPTIONS.items() if name not in url.query}
    engine = create_engine(url.update_query_dict(missing), use_native_hstore=False, hide_parameters=True, **options)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        lift_limits(connection)

    return engine


def _require_sessions(url: URL, connect: Callable[[], psycopg.Connection]) -> None:
    try:
        require_sessions(connect)
    except StoreError as error:
        raise StoreError(f"cannot use the database {shown(url)}: {error}") from None


def _escaped(values: Mapping[str, Any]) -> Mapping[str, Any]:
    changed: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, str):
            # The driver would spend time on finding out that an enumeration's member is text.
            if value.__class__ is not str or _NUL in value or _MARKER in value:
                changed[name] = _escape(str(value))
        elif isinstance(value, list):
            changed[name] = [_escape(str(item)) for item in cast("list[object]", value)]
    return {**values, **changed} if changed else values


def _escape(text: str) -> str:
    return text.replace(_MARKER, f"{_MARKER}1").replace(_NUL, f"{_MARKER}0")


def _unescape(text: str) -> str:
    return text.replace(f"{_MARKER}0", _NUL).replace(f"{_MARKER}1", _MARKER)
