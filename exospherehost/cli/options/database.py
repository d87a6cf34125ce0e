"""What commands about a database that there is share."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

import click

from exospherehost.server.domain.errors import StartupError
from exospherehost.server.domain.store import StoreError
from exospherehost.server.settings import DEFAULT_DATABASE
from exospherehost.server.storage.sql.database_url import database_path

_Command = TypeVar("_Command", bound=Callable[..., object])


def database_option(command: _Command) -> _Command:
    """Add the option that names the database."""
    return click.option(
        "--database",
        default=DEFAULT_DATABASE,
        show_default=True,
        metavar="PATH|URL",
        help="The state manager's database; servers may be running on it.",
    )(command)


@contextmanager
def plain_errors(database: str) -> Generator[None, None, None]:
    """Make one line and status 1 of what the person at the keyboard can put right, a missing file among it."""
    try:
        # A name mistyped would otherwise become a database of its own.
        if is_file(database) and not database_path(database).exists():
            raise click.ClickException(f"there is no database {database}: `exospherehost serve` makes it")
        yield
    except (StartupError, StoreError, OSError) as error:
        raise click.ClickException(str(error)) from error


def is_file(database: str) -> bool:
    """Tell whether a database is a file of this machine."""
    return "://" not in database or database.startswith("sqlite")
