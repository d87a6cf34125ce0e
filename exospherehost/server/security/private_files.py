"""Small files that only the server's own user may read."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from exospherehost.server.domain.errors import StartupError


def read_or_create(path: Path, make: Callable[[], str]) -> str:
    """Return a file's text without outer blanks; a missing file is first written with mode 0600.

    Of two processes that make it at once, one wins and both read what it wrote.

    Raises:
        StartupError: The file can neither be read nor made.
    """
    try:
        if not path.exists():
            _create(path, make())
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"cannot use the file {path}: {error}") from error


def replace(path: Path, text: str) -> None:
    """Make a file hold a text, in one step, with mode 0600.

    Raises:
        StartupError: The file cannot be written.
    """
    try:
        temporary = _write_temporary(path, text)
        try:
            temporary.replace(path)
        except OSError:
            temporary.unlink()
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise StartupError(f"cannot write the file {path}: {error}") from error


def follow_owner(path: Path, model: Path) -> None:
    """Give a file the owner and group of another, if this process may: a command that root runs is no exception.

    Args:
        path: The file.
        model: The file to follow; nothing is done where it does not exist.

    Raises:
        OSError: The file is another user's, and cannot be given away.
    """
    if sys.platform == "win32":
        return
    try:
        wanted = model.stat()
    except FileNotFoundError:
        return
    found = path.stat()
    if (found.st_uid, found.st_gid) != (wanted.st_uid, wanted.st_gid) and os.geteuid() == 0:
        os.chown(path, wanted.st_uid, wanted.st_gid)


def _create(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _write_temporary(path, text)
    try:
        # What fails, rather than overwrites, for the loser of a race.
        os.link(temporary, path)
    except FileExistsError:
        return
    finally:
        temporary.unlink()


def _write_temporary(path: Path, text: str) -> Path:
    # mkstemp makes the file 0600.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        Path(temporary).unlink()
        raise
    return Path(temporary)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
