"""`exospherehost dev`: runs a script with a state manager of its own."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
import httpx
from rich.console import Console

from exospherehost._config import KEY_VARIABLE, URI_VARIABLE
from exospherehost.cli.console.connection_hint import connection_hint
from exospherehost.cli.console.dashboard_hint import dashboard_hint, is_terminal
from exospherehost.cli.console.database_folder import create_database_folder
from exospherehost.cli.console.plain_errors import plain_errors
from exospherehost.cli.console.program_logging import configure_logging
from exospherehost.cli.console.run_history import Earlier, earlier_runs, read_history
from exospherehost.cli.console.run_table import show_history
from exospherehost.cli.options.database import API_KEY_SUFFIX
from exospherehost.cli.programs.script import Script
from exospherehost.cli.programs.stop_signals import take_stop_signals
from exospherehost.cli.programs.wording import counted
from exospherehost.server.serving import ServerThread
from exospherehost.server.settings import (
    DEFAULT_DATABASE,
    DEFAULT_HOST,
    ServerSettings,
    beside,
    load_or_create_api_key,
    read_environment,
)
from exospherehost.server.storage.sql.database_url import postgresql_url, shown
from exospherehost_client import AuthenticatedClient
from exospherehost_client.errors import ApiError

_BY_SIGNAL = 128


@click.command(
    epilog="Example: exospherehost dev hello.py",
    context_settings={
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    },
    short_help="Run a script with a state manager of its own, then show its runs.",
)
@click.option(
    "--database",
    metavar="PATH|URL",
    help="Where to keep the runs: a SQLite file. Default: a temporary file, deleted when the script has ended.",
)
@click.option(
    "--fail", is_flag=True, help="Exit with status 1 if a run failed, although the script ended with status 0."
)
@click.option(
    "--keep", is_flag=True, help="Once the script has ended, keep the state manager and its dashboard until Ctrl-C."
)
@click.option("--ui/--no-ui", default=True, help="Whether to serve the dashboard at /ui. Default: yes.")
@click.argument("script", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def dev(
    context: click.Context,
    database: str | None,
    script: Path,
    arguments: tuple[str, ...],
    *,
    fail: bool,
    keep: bool,
    ui: bool,
) -> None:
    """Run SCRIPT with a state manager of its own, then show its runs.

    The script finds the service in the variables EXOSPHERE_STATE_MANAGER_URI and EXOSPHERE_API_KEY. Standard input
    and output belong to the script; this command writes to standard error. Ctrl-C and SIGTERM go to the script; the
    third one kills it. The exit status is the script's, or 128 + n if signal n ended it; see also --fail.
    """
    configure_logging(logging.WARNING)
    take_stop_signals()
    if database is not None and postgresql_url(database) is not None:
        raise click.UsageError("dev keeps its runs in a file; run `exospherehost serve` on PostgreSQL")
    kept = "temporary database" if database is None else f"database {shown(database)}"
    with (
        plain_errors(),
        _database_or_temporary(database) as place,
        ServerThread(_settings(place, ui=ui)) as server,
        _client(server) as client,
    ):
        click.echo(
            f"State manager: {server.url} ({kept}); Ctrl-C ends it.\n"
            f"To use it from another terminal:\n{connection_hint(server.url, server.api_key)}",
            err=True,
        )
        if ui:
            _show_dashboard(server)
        click.echo(err=True)
        earlier = earlier_runs(client)
        status = Script(script, arguments, _environment_for_script(server)).run()
        failure = _show_runs(client, earlier)
        # A script that a signal has ended was to end with all there is.
        if keep and status < _BY_SIGNAL:
            _keep(server, ui=ui)
    if fail and failure is not None and status == 0:
        click.echo(f"Exit status 1, because of --fail: {failure}.", err=True)
        status = 1
    context.exit(status)


def _show_dashboard(server: ServerThread) -> None:
    click.echo(dashboard_hint(server.url, server.sign_in_link, is_terminal=is_terminal(err=True)), err=True)


def _keep(server: ServerThread, *, ui: bool) -> None:
    """Wait until Ctrl-C or SIGTERM."""
    click.echo(f"\nThe script has ended. The state manager is still at {server.url}; Ctrl-C ends it.", err=True)
    if ui:
        # The first link may be used or too old.
        _show_dashboard(server)
    with suppress(KeyboardInterrupt):
        threading.Event().wait()


def _show_runs(client: AuthenticatedClient, earlier: Earlier) -> str | None:
    """Show the script's runs, and return what keeps them from being called successful."""
    try:
        history = read_history(client, earlier)
    except (ApiError, httpx.TransportError) as error:
        click.echo(f"The runs cannot be shown: {error}", err=True)
        return "it is unknown whether a run failed"
    show_history(Console(stderr=True), history)
    return f"{counted(history.failed, 'run')} failed" if history.failed else None


@contextmanager
def _database_or_temporary(database: str | None) -> Generator[str, None, None]:
    if database is not None:
        create_database_folder(database)
        yield database
        return
    with tempfile.TemporaryDirectory(prefix="exospherehost-") as folder:
        yield str(Path(folder) / DEFAULT_DATABASE)


def _settings(database: str, *, ui: bool) -> ServerSettings:
    environment = read_environment()
    return ServerSettings(
        api_key=load_or_create_api_key(beside(database, API_KEY_SUFFIX)),
        database=database,
        port=0,
        secrets_key=environment.secrets_key,
        older_secrets_keys=environment.older_secrets_keys,
        ui=ui,
    )


def _client(server: ServerThread) -> AuthenticatedClient:
    # A proxy in the environment is meant for other machines.
    return AuthenticatedClient(server.url, server.api_key, trust_env=False)


def _environment_for_script(server: ServerThread) -> dict[str, str]:
    environment = {**os.environ, URI_VARIABLE: server.url, KEY_VARIABLE: server.api_key}
    if any(name.lower() in ("http_proxy", "all_proxy") for name in environment):
        spared = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
        spared = f"{spared},{DEFAULT_HOST}".lstrip(",")
        environment |= {"no_proxy": spared, "NO_PROXY": spared}
    return environment
