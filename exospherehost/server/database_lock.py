"""A lock beside a SQLite file: one server at a time may use the file."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

from exospherehost.server.domain.errors import StartupError
from exospherehost.server.security.private_files import follow_owner
from exospherehost.server.settings import beside
from exospherehost.server.storage.sql.database_url import database_path, postgresql_url

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# Beyond what the file holds, since Windows lets nobody read what is locked.
_LOCKED_BYTE = 1 << 30
_MOST_ATTEMPTS = 10


@contextlib.contextmanager
def hold_database(database: str | Path) -> Generator[None, None, None]:
    """Keep other servers off a SQLite file until the block ends; PostgreSQL is shared, and needs no lock.

    The system releases the lock of a process that dies. Commands such as ``db backup`` work beside a server and take no
    lock.

    Args:
        database: A file's path, or a URL.

    Raises:
        StartupError: Another server uses the file, or the lock cannot be made.
    """
    if postgresql_url(database) is not None:
        yield
        return
    # By the file's real name: two links to one file are one database.
    path = database_path(database)
    lock = beside(Path(os.path.realpath(path)), "lock")
    descriptor = _acquire(lock, path)
    try:
        yield
    finally:
        # While it is still locked: whoever has opened it meanwhile finds that it is gone, and makes another.
        with contextlib.suppress(OSError):
            lock.unlink()
        os.close(descriptor)


def _acquire(lock: Path, database: Path) -> int:
    """Return the descriptor of the locked file."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(_MOST_ATTEMPTS):
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                _lock(descriptor)
            except OSError as error:
                os.close(descriptor)
                raise StartupError(
                    f"the database {database} is in use by {_holder(lock)}: stop that server, or give this one another "
                    "database"
                ) from error
            if _is_there(lock, descriptor):
                _sign(descriptor)
                follow_owner(lock, database)
                return descriptor
            os.close(descriptor)
    except OSError as error:
        raise StartupError(f"cannot lock the database {database} with the file {lock}: {error.strerror}") from error
    raise StartupError(f"cannot lock the database {database}: other servers on it start and stop all the time")


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_there(lock: Path, descriptor: int) -> bool:
    """Return whether a descriptor is that of the file, and not of one that its holder has just removed."""
    try:
        return os.path.samestat(lock.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _sign(descriptor: int) -> None:
    """Write who holds the lock, for the message of a server that is refused."""
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, json.dumps(holder).encode("utf-8"))


def _holder(lock: Path) -> str:
    """Return a description of the server that holds the lock."""
    try:
        holder = json.loads(lock.read_text(encoding="utf-8"))
        return f"the server with process id {holder['pid']} on {holder['host']}, started at {holder['since']}"
    except (OSError, ValueError, LookupError, TypeError):
        return "another server"
