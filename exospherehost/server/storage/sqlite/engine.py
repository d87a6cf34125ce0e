"""All that is particular to SQLite: how it is opened, and how its transactions begin."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from exospherehost.server.domain.errors import StoreError
from exospherehost.server.storage.sqlite.database_file import make_missing, open_existing

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
        make_missing(path)
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
        creator=partial(open_existing, path),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
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


def is_in_transaction(connection: Connection) -> bool:
    """Tell whether a connection's transaction is open: some failures make SQLite end it on its own."""
    driver = connection.connection.dbapi_connection
    return isinstance(driver, sqlite3.Connection) and driver.in_transaction


def back_up(source: Path, target: Path) -> tuple[int, int]:
    """Copy a database that may be in use into a file that must not exist, and check the copy.

    The copy is of one moment: of what was committed when it began. Writers are not held up.

    Args:
        source: The database file.
        target: The file to make, readable by its owner alone.

    Returns:
        How many pages the copy has, and how many bytes.

    Raises:
        StoreError: The target exists or cannot be written, or the source is no sound database.
    """
    if target.exists():
        raise StoreError(f"{target} exists: give the name of a new file")
    try:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror}") from error
    os.close(descriptor)
    temporary = Path(name)
    try:
        pages = _copy(source, temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        # Rather than renamed, which would replace a file that somebody made meanwhile.
        os.link(temporary, target)
    except FileExistsError as error:
        raise StoreError(f"{target} exists: give the name of a new file") from error
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"cannot copy {source} to {target}: {error}") from error
    finally:
        for path in (temporary, *(Path(f"{temporary}{suffix}") for suffix in ("-wal", "-shm", "-journal"))):
            path.unlink(missing_ok=True)
    return pages, target.stat().st_size


def _copy(source: Path, target: Path) -> int:
    origin = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_TIMEOUT_MS / 1_000)
    with closing(origin), closing(sqlite3.connect(target)) as copy:
        # All pages in one step: in more, each commit of a writer would make it begin again.
        origin.backup(copy, pages=-1)
        # A copy in one file, that nothing beside it belongs to.
        copy.execute("PRAGMA journal_mode=DELETE").close()
        (found,) = copy.execute("PRAGMA integrity_check").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(f"the database is damaged: {found}")
        (pages,) = copy.execute("PRAGMA page_count").fetchone()
    return int(pages)
