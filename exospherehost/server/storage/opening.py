"""Opening a store: the database that a URL names."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

from exospherehost.server.domain.errors import StoreError
from exospherehost.server.storage.sql.database_url import database_path, postgresql_url
from exospherehost.server.storage.sql.store import DEFAULT_WRITERS, READERS, SqlStore
from exospherehost.server.storage.sqlite.database import SqliteDatabase


def open_store(
    database: str | Path,
    *,
    migrate: bool | None = None,
    writers: int = DEFAULT_WRITERS,
    synchronous: str = "full",
    logs_events: bool = True,
) -> SqlStore:
    """Open a database and return the store on it.

    Args:
        database: A file's path, or a URL.
        migrate: Whether to bring an older schema up to date; None does so for a file, and not for PostgreSQL, where
            other servers may be at work on it.
        writers: How many transactions write at once, where the database lets several.
        synchronous: For SQLite, whether a commit is on disk before it counts: ``full`` or ``normal``.
        logs_events: Whether every transition is written to the log of its run.

    Raises:
        StoreError: It cannot be opened, is not supported, has an older schema that is not to be brought up to date, or
            was written by a newer version.
    """
    url = postgresql_url(database)
    if url is None:
        path = database_path(database)
        return SqlStore(
            SqliteDatabase(path, synchronous=synchronous, migrate=migrate is not False, logs_events=logs_events)
        )
    postgresql = load_postgresql()
    return SqlStore(
        postgresql.PostgresDatabase(
            url, migrate=migrate is True, writers=writers, readers=READERS, logs_events=logs_events
        )
    )


def load_postgresql() -> ModuleType:
    """Return the module about PostgreSQL, whose driver is only installed where it is wanted.

    Raises:
        StoreError: The driver is missing.
    """
    try:
        return import_module("exospherehost.server.storage.postgresql.database")
    except ImportError as error:
        raise StoreError(
            f"PostgreSQL needs a driver that is not installed ({error}): pip install 'exospherehost[postgres]'"
        ) from error
