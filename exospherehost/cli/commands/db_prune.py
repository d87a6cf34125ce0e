"""`exospherehost db prune`: deletes runs that ended long ago."""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import timedelta

import click

from exospherehost.cli.console.plain_errors import plain_errors_of
from exospherehost.cli.options.database import database_option
from exospherehost.cli.options.durations import duration
from exospherehost.cli.programs.wording import counted
from exospherehost.server.domain.clock import SystemClock
from exospherehost.server.service import retention
from exospherehost.server.storage.opening import open_store


@click.command(
    epilog="Example: exospherehost db prune --database runs.db --older-than 30d --dry-run",
    short_help="Delete the runs that ended long ago, with all of their states.",
)
@database_option
@click.option(
    "--older-than",
    required=True,
    type=duration,
    metavar="DURATION",
    help="Delete runs whose last change is longer ago than this, such as 12h or 30d.",
)
@click.option("--dry-run", is_flag=True, help="Count the runs, and delete none.")
def prune(database: str, older_than: timedelta, *, dry_run: bool) -> None:
    """Delete the runs that ended long ago, with all of their states, while servers run.

    A run with a state that has not ended stays, however old it is. A deleted run can no longer be read or retried.
    """
    with plain_errors_of(database):
        pruned = asyncio.run(_prune(database, older_than, dry_run=dry_run))
    click.echo(
        f"{'Would delete' if dry_run else 'Deleted'} {counted(pruned.runs, 'run')} with "
        f"{counted(pruned.states, 'state')}."
    )


async def _prune(database: str, older_than: timedelta, *, dry_run: bool) -> retention.DeletedRuns:
    with closing(await asyncio.to_thread(open_store, database)) as store:
        work = retention.count_old_runs if dry_run else retention.delete_old_runs
        return await work(store, SystemClock(), older_than)
