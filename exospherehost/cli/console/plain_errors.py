"""Errors that the person at the keyboard can put right, as one line and status 1."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import click

from exospherehost._errors import ConfigurationError
from exospherehost.cli.options.database import is_file
from exospherehost.server.domain.errors import StartupError, StoreError
from exospherehost.server.storage.sql.database_url import database_path


@contextmanager
def plain_errors() -> Generator[None, None, None]:
    """Show a refused setting or database as one line, and exit with status 1."""
    try:
        yield
    except (StartupError, StoreError, ConfigurationError) as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def plain_errors_of(database: str) -> Generator[None, None, None]:
    """Show errors of a database that must exist as :func:`plain_errors` does."""
    with plain_errors():
        try:
            # Otherwise a misspelt name would become a new database.
            if is_file(database) and not database_path(database).is_file():
                raise StoreError(
                    f"there is no database {database}: give --database as `exospherehost serve` was given it"
                )
            yield
        except OSError as error:
            raise click.ClickException(str(error)) from error
