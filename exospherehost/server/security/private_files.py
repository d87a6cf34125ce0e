"""Small files with keys that lie beside a database, such as ``exosphere.db.secrets-key``.

A key file has the owner and the mode of its database: a server must be able to read what a command wrote, even if root
ran the command. Others than owner and group never have access.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from exospherehost.server.domain.errors import StartupError

_MODES_TO_FOLLOW = 0o660


def read_or_create(path: Path, make: Callable[[], str]) -> str:
    """Return a file's text without outer blanks; create a missing file first.

    Of two processes that create it at once, one wins, and both read what it wrote.

    Args:
        path: The file.
        make: Returns the text of a new file.

    Raises:
        StartupError: The file can neither be read nor created.
    """
    try:
        if not path.exists():
            _create(path, make())
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"cannot use the file {path}: {error}") from error


def replace(path: Path, text: str) -> None:
    """Replace a file's text in one step.

    Args:
        path: The file.
        text: The new text.

    Raises:
        StartupError: The file cannot be written, or this user may not give it to the database's owner; the old file
            stays.
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


def follow(path: Path, like: Path) -> None:
    """Give a file the owner, the group and the mode of another file, which may not exist.

    Others than owner and group get no access, whatever the mode is.

    Args:
        path: The file.
        like: The other file.

    Raises:
        PermissionError: This user may not give the file away.
    """
    if sys.platform == "win32":
        return
    try:
        model = like.stat()
    except FileNotFoundError:
        return
    found = path.stat()
    if (found.st_uid, found.st_gid) != (model.st_uid, model.st_gid):
        try:
            os.chown(path, model.st_uid, model.st_gid)
        except PermissionError as error:
            raise PermissionError(
                error.errno,
                f"it must belong to the owner of {like} (user {model.st_uid}): run this as that user or as root",
            ) from error
    path.chmod(stat.S_IMODE(model.st_mode) & _MODES_TO_FOLLOW)


def _create(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _write_temporary(path, text)
    try:
        # A link fails for the loser of a race; a rename would overwrite the winner's file.
        os.link(temporary, path)
    except FileExistsError:
        return
    finally:
        temporary.unlink()


def _write_temporary(path: Path, text: str) -> Path:
    # mkstemp creates the file with mode 0600.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        follow(Path(temporary), path.with_suffix(""))
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
