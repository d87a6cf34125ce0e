"""Locks that processes hold on files, and that end with the process."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import struct
import sys
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

from exospherehost.server.domain.errors import StartupError
from exospherehost.server.security.private_files import follow

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# Beyond the file's content: Windows lets nobody read what is locked.
_LOCKED_BYTE = 1 << 30
_MOST_ATTEMPTS = 10
# Beyond any file's end.
_LOCKED_RANGE = 1 << 62
# Where readers of a SQLite file lock it.
_SQLITE_SHARED, _SQLITE_SHARED_SIZE = 0x40000002, 510
# What this process holds by :func:`hold_itself`: device and inode.
_held_here: set[tuple[int, int]] = set()


class Held(StartupError):
    """Another process holds the lock.

    Args:
        holder: That process: its id, its host, and since when it holds the lock.
    """

    def __init__(self, holder: str) -> None:
        super().__init__(f"locked by {holder}")
        self.holder = holder


@contextlib.contextmanager
def hold(lock: Path, *, like: Path) -> Generator[None, None, None]:
    """Hold a lock until the block ends; the file exists for as long.

    Args:
        lock: The file to lock.
        like: The file whose owner the lock's file gets.

    Raises:
        Held: Another process holds the lock.
        StartupError: The file cannot be made or locked.
    """
    try:
        descriptor = _acquire(lock, like)
    except OSError as error:
        raise StartupError(f"cannot lock the file {lock}: {error.strerror}") from error
    try:
        yield
    finally:
        # Removed while it is locked: a process that has just opened it finds it gone, and makes another.
        with contextlib.suppress(OSError):
            lock.unlink()
        os.close(descriptor)


@contextlib.contextmanager
def hold_itself(path: Path) -> Generator[None, None, None]:
    """Hold a lock on a file itself, whatever names it has, until the block ends; where the system has such locks.

    It lies on a byte beyond the file's end, so that it is in nobody's way who locks the file's content, and belongs to
    its descriptor: nothing else that this process does with the file lets go of it.

    Args:
        path: The file, which exists.

    Raises:
        Held: It is locked already.
        StartupError: The file cannot be locked.
    """
    if sys.platform != "linux":
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            found = path.stat()
            identity = found.st_dev, found.st_ino
            # Looked up first: to close a second descriptor would let go of SQLite's own locks.
            if identity in _held_here:
                raise Held(f"the process {os.getpid()}, under another name")
            descriptor = os.open(path, os.O_RDWR)
            stack.callback(os.close, descriptor)
            if not _lock_range(descriptor):
                raise Held(_user_of(descriptor))
        except OSError as error:
            raise StartupError(f"cannot lock the file {path}: {error.strerror}") from error
        _held_here.add(identity)
        stack.callback(_held_here.discard, identity)
        yield


if sys.platform == "linux":
    _FLOCK = struct.Struct("hhqqi4x")

    def _lock_range(descriptor: int) -> bool:
        lock = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _LOCKED_RANGE, 1, 0)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
        except (BlockingIOError, PermissionError):
            return False
        except OSError as error:
            # Some file systems have no such locks: there the lock beside the file is all there is.
            if error.errno not in (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
        return True

    def _user_of(descriptor: int) -> str:
        """Return who has the file open as a SQLite database: the lock itself does not say who holds it."""
        lock = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _SQLITE_SHARED, _SQLITE_SHARED_SIZE, 0)
        pid = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, lock))[-1]
        return f"the process {pid} on {socket.gethostname()}, under another name" if pid > 0 else "another process"


def _acquire(lock: Path, like: Path) -> int:
    """Return the descriptor of the locked file."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(_MOST_ATTEMPTS):
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(descriptor, lock)
            if _is_there(lock, descriptor):
                _sign(descriptor)
                follow(lock, like)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise Held("other processes in turn")


def _lock(descriptor: int, lock: Path) -> None:
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        raise Held(_holder(lock)) from error


def _is_there(lock: Path, descriptor: int) -> bool:
    """Return whether a descriptor belongs to the file of that name, and not to one that its holder has removed."""
    try:
        return os.path.samestat(lock.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _sign(descriptor: int) -> None:
    """Write into the file who holds it."""
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, json.dumps(holder).encode("utf-8"))


def _holder(lock: Path) -> str:
    try:
        holder = json.loads(lock.read_text(encoding="utf-8"))
        return f"the process {holder['pid']} on {holder['host']}, since {holder['since']}"
    except (OSError, ValueError, LookupError, TypeError):
        return "another process"
