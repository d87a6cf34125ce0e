"""The folder of a database file, created where a user can see it."""

from __future__ import annotations

import click

from exospherehost.cli.options.database import is_file
from exospherehost.server.domain.errors import StoreError
from exospherehost.server.storage.sql.database_url import database_path


def create_database_folder(database: str) -> None:
    """Create the folder of a database file if it is missing, and say so on standard error.

    The storage would create it silently, also for a misspelt path.

    Args:
        database: A file's path, or a URL.

    Raises:
        StoreError: The folder cannot be created, or the path leads to a folder instead of a file.
    """
    if not is_file(database):
        return
    path = database_path(database)
    if path.parent.is_dir():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot open the database {path}: {error.strerror}") from error
    click.echo(f"Created the folder {path.parent.absolute()} for the database.", err=True)
