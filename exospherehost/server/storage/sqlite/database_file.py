"""The file of an open database: whether it is still where it was, and what SQLite's failures mean for those who ask."""

from __future__ import annotations

import os
import sqlite3
import struct
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from exospherehost.server.domain.errors import StoreUnavailable
from exospherehost.server.storage.sql.base import TransactionLost

# SQLite's log of commits, and the memory that connections share: a commit in one that is gone is lost with the process.
_BESIDE = ("-wal", "-shm")
# In a file's header: the size of a page, and how many there are.
_HEADER = struct.Struct(">16xH10xI")
_LARGEST_PAGE = 65_536

_FAULTS = {
    sqlite3.SQLITE_FULL: "the disk that holds the database is full",
    sqlite3.SQLITE_READONLY: "the database cannot be written to: its file, folder or disk is read-only",
    sqlite3.SQLITE_CANTOPEN: "the database file cannot be opened",
    sqlite3.SQLITE_PERM: "the database file cannot be accessed",
    sqlite3.SQLITE_IOERR: "the disk that holds the database fails",
    sqlite3.SQLITE_CORRUPT: "the database file is damaged",
    sqlite3.SQLITE_NOTADB: "the database file is damaged",
    sqlite3.SQLITE_BUSY: "another process holds the database",
}


class DatabaseFile:
    """The file of an open database, as it was when it was opened.

    It keeps a connection of its own, so that the files beside it stay the same for as long as the database is open.

    Args:
        path: The file, which exists and is in WAL mode.

    Raises:
        OSError: It cannot be opened.
        sqlite3.Error: It is no sound database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Closed with the database: to close any descriptor of a file lets go of all locks of this process on it.
        self._descriptor = os.open(path, os.O_RDONLY)
        try:
            self._connection = open_existing(path)
            # From here on the connection holds the files.
            self._connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
            watched = (path, *(path.with_name(f"{path.name}{suffix}") for suffix in _BESIDE))
            self._watched = [(str(file), _identity(file.stat())) for file in watched if file.exists()]
        except BaseException:
            os.close(self._descriptor)
            raise
        self._size = 0

    def check(self) -> None:
        """See whether the files are those that were opened, and whole.

        Raises:
            StoreUnavailable: One is gone, has another in its place, or was cut short.
        """
        for path, identity in self._watched:
            try:
                found = os.stat(path)  # noqa: PTH116 - a third of the time of Path.stat, at each transaction
            except OSError as error:
                raise StoreUnavailable(f"the file {os.path.basename(path)} is gone ({error.strerror})") from error  # noqa: PTH119
            if _identity(found) != identity:
                raise StoreUnavailable(f"the file {os.path.basename(path)} is another than was opened")  # noqa: PTH119
        size = os.fstat(self._descriptor).st_size
        if size < self._size and size < self._size_by_header():
            raise StoreUnavailable(f"the file {self._path.name} was cut short")
        self._size = size

    def close(self) -> None:
        """Let go of the file, after all other connections."""
        self._connection.close()
        os.close(self._descriptor)

    def _size_by_header(self) -> int:
        """Return how many bytes the file should have at least: a database that was made smaller says so there."""
        header = os.pread(self._descriptor, _HEADER.size, 0) if hasattr(os, "pread") else b""
        if len(header) < _HEADER.size:
            return self._size
        page_size, pages = _HEADER.unpack(header)
        return int(pages) * (_LARGEST_PAGE if page_size == 1 else int(page_size))


def open_existing(path: Path) -> sqlite3.Connection:
    """Open a file that must exist: SQLite would make a missing one, which others may read.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, check_same_thread=False)


def make_missing(path: Path) -> None:
    """Make a database's file where it is missing, readable by its owner alone: it holds inputs and outputs.

    SQLite would give it the umask's mode; the files beside it follow its own.

    Raises:
        OSError: It cannot be made.
    """
    # What a link leads to may be missing too.
    real = Path(os.path.realpath(path))
    real.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(real, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        # Not opened and closed, which would let go of all locks of this process on it.
        return


def explained(error: BaseException) -> BaseException:
    """Return an error as those are told who cannot mend it: one of SQLite's about its file says so in words."""
    found: BaseException | None = error
    while isinstance(found, TransactionLost | DBAPIError | sqlite3.Error):
        driver = found.orig if isinstance(found, DBAPIError) else found
        # An extended code has the plain one in its last byte.
        fault = _FAULTS.get((getattr(driver, "sqlite_errorcode", None) or 0) & 0xFF)
        if fault is not None:
            told = StoreUnavailable(fault)
            told.__cause__ = error
            return told
        # A transaction that SQLite ended on its own is missed by the statement that comes next.
        found = found.__cause__ if isinstance(found, TransactionLost) else found.__context__
    return error


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
