"""The commands about a database's schema."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

import click

from exospherehost.server.domain.store import StoreError
from exospherehost.server.settings import DEFAULT_DATABASE
from exospherehost.server.storage.migrations import SchemaVersion
from exospherehost.server.storage.schema import Schema, open_schema
from exospherehost.server.storage.sql.database_url import shown

_Command = TypeVar("_Command", bound=Callable[..., None])


def _database_option(command: _Command) -> _Command:
    return click.option(
        "--database", default=DEFAULT_DATABASE, show_default=True, metavar="PATH|URL", help="The database."
    )(command)


@click.group("db", context_settings={"help_option_names": ["-h", "--help"]})
def db() -> None:
    """Look after a state manager's database."""


@db.command()
@_database_option
def upgrade(database: str) -> None:
    """Bring the schema up to date, or make it where there is none.

    Of several that do so at once one does, and the others wait for it.
    """
    with _schema(database) as schema:
        before = schema.version()
        schema.upgrade()
        after = schema.version()
    if before == after:
        click.echo(f"{shown(database)}: is up to date ({after.wanted})")
    else:
        click.echo(f"{shown(database)}: upgraded from {_named(before)} to {after.wanted}")


@db.command()
@_database_option
def current(database: str) -> None:
    """Tell which schema the database has, and which one this version works with."""
    with _schema(database, must_exist=True) as schema:
        stands = schema.version()
    click.echo(f"{shown(database)}: has {_named(stands)}; this version works with {stands.wanted}")


@db.command()
@_database_option
@click.pass_context
def check(context: click.Context, database: str) -> None:
    """End with status 0 if the schema is the one that this version works with, and 1 if it is not."""
    with _schema(database, must_exist=True) as schema:
        stands = schema.version()
        differences = schema.differences() if stands.is_current else []
    if not stands.is_current:
        remedy = "run `exospherehost db upgrade`" if stands.is_known else "use a newer version of exospherehost"
        click.echo(f"{shown(database)}: has {_named(stands)}, not {stands.wanted}: {remedy}")
    elif differences:
        click.echo(f"{shown(database)}: has {_named(stands)}, but somebody has changed it:")
        for difference in differences:
            click.echo(f"  {difference}")
    else:
        click.echo(f"{shown(database)}: is up to date ({stands.wanted})")
        return
    context.exit(1)


@contextmanager
def _schema(database: str, *, must_exist: bool = False) -> Generator[Schema, None, None]:
    try:
        with open_schema(database, must_exist=must_exist) as schema:
            yield schema
    except StoreError as error:
        raise click.ClickException(str(error)) from error


def _named(stands: SchemaVersion) -> str:
    if stands.revision is None:
        return "no schema"
    return f"the schema {stands.revision}" + ("" if stands.is_known else " of a newer version")
