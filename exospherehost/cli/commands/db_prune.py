"""`exospherehost db prune`: deletes runs that ended long ago, while servers go on."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import click

from exospherehost.cli.options.durations import duration
from exospherehost.server.domain.clock import SystemClock
from exospherehost.server.domain.errors import StartupError
from exospherehost.server.domain.store import StoreError
from exospherehost.server.service import retention
from exospherehost.server.settings import DEFAULT_DATABASE
from exospherehost.server.storage.opening import open_store
from exospherehost.server.storage.sql.database_url import database_path


@click.command("prune", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--database",
    default=DEFAULT_DATABASE,
    show_default=True,
    metavar="PATH|URL",
    help="What `serve` was given; servers may be using it meanwhile.",
)
@click.option(
    "--older-than",
    required=True,
    type=duration,
    metavar="TIME",
    help="How long ago a run's last change must be, such as 12h or 30d.",
)
@click.option("--dry-run", is_flag=True, help="Only count what would be deleted.")
def prune(database: str, older_than: timedelta, *, dry_run: bool) -> None:
    """Delete the runs that ended long ago, with all of their states.

    Runs with a state that has not ended stay, however old. What is deleted cannot be read or retried any more.
    """
    try:
        _must_exist(database)
        pruned = asyncio.run(_prune(database, older_than, dry_run=dry_run))
    except (StartupError, StoreError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"{'Would delete' if dry_run else 'Deleted'} {pruned.runs:,} run{'' if pruned.runs == 1 else 's'} with "
        f"{pruned.states:,} state{'' if pruned.states == 1 else 's'}."
    )


async def _prune(database: str, older_than: timedelta, *, dry_run: bool) -> retention.Pruned:
    store = await asyncio.to_thread(open_store, database)
    try:
        work = retention.count if dry_run else retention.prune
        return await work(store, SystemClock(), older_than)
    finally:
        await asyncio.to_thread(store.close)


def _must_exist(database: str) -> None:
    """Do not make the file that an option misspells."""
    if "://" in database and not database.startswith("sqlite"):
        return
    path = database_path(database)
    if not path.is_file():
        raise StoreError(f"there is no database {path}: give --database as `serve` was given it")
