"""All that is particular to SQLite: how it is opened, and how its transactions begin."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from exospherehost.server.store import StoreError

_BUSY_TIMEOUT_MS = 10_000


def open_engines(path: Path, *, readers: int, synchronous: str = "full") -> tuple[Engine, Engine]:
    """Return the engine to write through (one connection) and the one to read through.

    The file is made where it is missing, readable by its owner alone: it holds inputs and outputs.

    Args:
        path: The database file.
        readers: How many connections may read at once.
        synchronous: ``full`` or ``normal``: whether a commit is on disk before it counts.

    Raises:
        StoreError: The file cannot be opened, or is no SQLite database.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Made here rather than by SQLite, whose file would have the umask's mode; -wal and -shm follow the file's.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreError(f"cannot open the database {path}: {error.strerror}") from error
    writer = _engine(path, connections=1, begin="BEGIN IMMEDIATE", synchronous=synchronous)
    reader = _engine(path, connections=readers, begin="BEGIN", synchronous=synchronous)
    try:
        with writer.connect() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
    except Exception as error:
        writer.dispose()
        reader.dispose()
        raise StoreError(f"cannot open the database {path}: {error.__cause__ or error}") from error
    return writer, reader


def _engine(path: Path, *, connections: int, begin: str, synchronous: str) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        connect_args={"check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        if not isinstance(connection, sqlite3.Connection):
            raise StoreError(f"unexpected driver: {type(connection).__name__}")
        # The driver's own BEGIN comes late and is always deferred; ours is below.
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout={_BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            # At FULL, what was answered outlives a power cut; group commit pays for it.
            f"synchronous={synchronous.upper()}",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            "cache_size=-16384",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
