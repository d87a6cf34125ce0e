"""The lock on a SQLite file: one server at a time may use the file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from pathlib import Path

from exospherehost.server.domain.errors import StartupError
from exospherehost.server.security.file_lock import Held, hold, hold_itself
from exospherehost.server.settings import beside
from exospherehost.server.storage.sql.database_url import database_path, postgresql_url
from exospherehost.server.storage.sqlite.database_file import make_missing


@contextlib.contextmanager
def hold_database(database: str | Path) -> Generator[None, None, None]:
    """Keep other servers off a SQLite file until the block ends; PostgreSQL is shared, and needs no lock.

    Commands such as ``db backup`` work beside a server and take no lock.

    Args:
        database: A file's path, or a URL.

    Raises:
        StartupError: Another server uses the file, or the lock cannot be made.
    """
    if postgresql_url(database) is not None:
        yield
        return
    path = database_path(database)
    real = Path(os.path.realpath(path))
    with contextlib.ExitStack() as stack:
        try:
            # This one says who holds it, on every system; the other knows the file by whatever name, as by a hard link.
            stack.enter_context(hold(beside(real, "lock"), like=real))
            make_missing(real)
            stack.enter_context(hold_itself(real))
        except Held as held:
            raise StartupError(
                f"the database {path} is in use by a server: {held.holder}. Stop that server, or give this one another "
                "database"
            ) from held
        except OSError as error:
            raise StartupError(f"cannot open the database {path}: {error.strerror}") from error
        yield
