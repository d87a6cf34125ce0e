"""Small files that only the server's own user may read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from exospherehost.server.errors import StartupError


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


def _create(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp makes the file 0600; linking it is what fails, rather than overwrites, for the loser of a race.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
    finally:
        Path(temporary).unlink()
