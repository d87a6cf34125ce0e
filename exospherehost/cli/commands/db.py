"""`exospherehost db upgrade`, `current` and `check`: the database's schema."""

from __future__ import annotations

import click

from exospherehost.cli.console.database_folder import create_database_folder
from exospherehost.cli.console.plain_errors import plain_errors
from exospherehost.cli.options.database import database_option
from exospherehost.server.storage.migrations import SchemaVersion
from exospherehost.server.storage.schema import open_schema
from exospherehost.server.storage.sql.database_url import shown


@click.command(
    epilog="Example: exospherehost db upgrade --database runs.db",
    short_help="Upgrade the database's schema, or create it.",
)
@database_option
def upgrade(database: str) -> None:
    """Upgrade the database's schema to this version's, or create it in an empty database.

    If several do so at once, one upgrades and the others wait for it. Totals of runs that servers of an older version
    left wrong are corrected: run this again after a rolling upgrade.
    """
    with plain_errors():
        create_database_folder(database)
        with open_schema(database) as schema:
            before = schema.version()
            schema.upgrade()
            after = schema.version()
            corrected = schema.correct_totals()
    if before == after:
        click.echo(f"{shown(database)}: is up to date ({after.wanted})")
    else:
        click.echo(f"{shown(database)}: upgraded from {_schema_of(before)} to {after.wanted}")
    for wrong in corrected:
        click.echo(f"  corrected the total of namespace {wrong.namespace}: from {wrong.total} to {wrong.stored} runs")


@click.command(
    epilog="Example: exospherehost db current --database runs.db",
    short_help="Show the database's schema and the one that this version works with.",
)
@database_option
def current(database: str) -> None:
    """Show the database's schema and the one that this version works with."""
    with plain_errors(), open_schema(database, must_exist=True) as schema:
        version = schema.version()
    click.echo(f"{shown(database)}: has {_schema_of(version)}; this version works with {version.wanted}")


@click.command(
    epilog="Example: exospherehost db check --database runs.db",
    short_help="Check the schema and the totals of runs.",
)
@database_option
@click.pass_context
def check(context: click.Context, database: str) -> None:
    """Check that the schema is this version's and the totals of runs are right: status 0 if so, 1 if not."""
    with plain_errors(), open_schema(database, must_exist=True) as schema:
        version = schema.version()
        differences = schema.differences() if version.is_current else []
        totals = schema.wrong_totals() if version.is_current and not differences else []
    if not version.is_current:
        remedy = "run `exospherehost db upgrade`" if version.is_known else "use a newer version of exospherehost"
        click.echo(f"{shown(database)}: has {_schema_of(version)}, not {version.wanted}: {remedy}")
    elif differences:
        click.echo(f"{shown(database)}: has {_schema_of(version)}, but it was changed by hand:")
        for difference in differences:
            click.echo(f"  {difference}")
    elif totals:
        click.echo(
            f"{shown(database)}: totals of runs are wrong, as servers of an older version leave them: "
            "stop those servers, then run `exospherehost db upgrade`"
        )
        for wrong in totals:
            click.echo(f"  namespace {wrong.namespace}: has {wrong.stored} runs, and its total is {wrong.total}")
    else:
        click.echo(f"{shown(database)}: is up to date ({version.wanted})")
        return
    context.exit(1)


def _schema_of(version: SchemaVersion) -> str:
    if version.revision is None:
        return "no schema"
    return f"the schema {version.revision}" + ("" if version.is_known else " of a newer version")
