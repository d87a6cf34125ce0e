"""The commands and their options; what they do in steps is below them."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import get_args

import click
import httpx
from rich.console import Console

from exospherehost._config import KEY_VARIABLE, URI_VARIABLE, VERSION, default_log_level
from exospherehost._errors import APIError, ConfigurationError
from exospherehost._logging import FORMAT
from exospherehost.cli.commands.db import db
from exospherehost.cli.commands.db_backup import backup, rotate_secrets_key
from exospherehost.cli.commands.db_prune import prune
from exospherehost.cli.commands.keys import keys
from exospherehost.cli.console.live_line import AboveTheLine, LiveLine, can_show
from exospherehost.cli.console.run_history import ended_runs, read_runs
from exospherehost.cli.console.run_table import show_runs
from exospherehost.cli.options.durations import duration
from exospherehost.cli.programs.runtime_loading import LoadError, ModuleFault, load_runtime
from exospherehost.cli.programs.script import Script
from exospherehost.server.domain.errors import StartupError
from exospherehost.server.domain.store import StoreError
from exospherehost.server.observability.access_log import LOGGER as ACCESS_LOGGER
from exospherehost.server.observability.access_log import AccessLogForm
from exospherehost.server.security.tls import PASSWORD_VARIABLE as TLS_PASSWORD_VARIABLE
from exospherehost.server.security.tls import TlsFiles
from exospherehost.server.serving import ServerThread
from exospherehost.server.serving import serve as run_server
from exospherehost.server.settings import (
    DEFAULT_DATABASE,
    DEFAULT_HOST,
    DEFAULT_PORT,
    DEFAULT_SHUTDOWN_GRACE,
    SYNCHRONOUS,
    ServerSettings,
    beside,
    is_loopback,
    load_or_create_api_key,
    read_environment,
)
from exospherehost.server.storage.sql.database_url import postgresql_url, shown
from exospherehost_client import AuthenticatedClient
from exospherehost_client.errors import ApiError

API_KEY_SUFFIX = "api-key"
_HELP = {"help_option_names": ["-h", "--help"]}


@click.group(context_settings=_HELP)
@click.version_option(VERSION, prog_name="exospherehost")
def cli() -> None:
    """Run ExosphereHost state managers and runtimes on this machine."""


@cli.command()
@click.option("--host", default=DEFAULT_HOST, show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    default=DEFAULT_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="The port to listen on; 0 takes a free one.",
)
@click.option(
    "--database",
    default=DEFAULT_DATABASE,
    show_default=True,
    metavar="PATH|URL",
    help="Where everything is kept: a file, made where there is none, or a URL such as sqlite:///PATH or "
    "postgresql://USER:PASSWORD@HOST/NAME.",
)
@click.option(
    "--migrate/--no-migrate",
    default=None,
    help="Whether to make or upgrade the database's schema first. Default: of a file, but not of PostgreSQL.",
)
@click.option(
    "--api-key",
    metavar="KEY",
    help=f"What clients must send. Default: {KEY_VARIABLE}, else a key that is made and kept beside the database file.",
)
@click.option(
    "--without",
    multiple=True,
    metavar="NAME,...",
    help="Extensions of the contract not to offer, such as trigger-states.",
)
@click.option("--strict", is_flag=True, help="Refuse graphs that the hosted service would refuse or treat otherwise.")
@click.option(
    "--access-log",
    type=click.Choice(get_args(AccessLogForm)),
    default="off",
    show_default=True,
    help="Write a line for each request to standard output.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="A port that shows /metrics without a key; 0 takes a free one. Without it they are shown for the key.",
)
@click.option(
    "--drain-delay",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    metavar="SECONDS",
    help="How long to go on serving after a stop signal, not being ready, until load balancers have noticed.",
)
@click.option(
    "--shutdown-grace",
    default=DEFAULT_SHUTDOWN_GRACE,
    show_default=True,
    type=click.IntRange(min=0),
    metavar="SECONDS",
    help="How long requests under way may take when it stops.",
)
@click.option(
    "--ssl-certfile",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Serve TLS 1.2 or newer with this certificate (PEM, with those between it and its authority).",
)
@click.option(
    "--ssl-keyfile",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"The certificate's private key, where it is not in the same file. Its password: {TLS_PASSWORD_VARIABLE}.",
)
@click.option(
    "--forwarded-allow-ips",
    default="",
    metavar="ADDRESS,...",
    help="Reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed; * believes all. Default: none.",
)
@click.option(
    "--keep-runs",
    type=duration,
    metavar="TIME",
    help="Delete runs so long after they ended, such as 30d. Default: all are kept.",
)
@click.option(
    "--synchronous",
    default=SYNCHRONOUS[0],
    show_default=True,
    type=click.Choice(SYNCHRONOUS),
    help="On SQLite, whether what was answered outlives a power cut (full) or only the program's end (normal).",
)
def serve(
    host: str,
    port: int,
    database: str,
    api_key: str | None,
    without: tuple[str, ...],
    access_log: AccessLogForm,
    metrics_port: int | None,
    drain_delay: int,
    shutdown_grace: int,
    ssl_certfile: Path | None,
    ssl_keyfile: Path | None,
    forwarded_allow_ips: str,
    keep_runs: timedelta | None,
    synchronous: str,
    *,
    migrate: bool | None,
    strict: bool,
) -> None:
    """Run the state manager until Ctrl-C or SIGTERM, which end it with status 0.

    What it keeps survives any end, kill -9 included: started again on the same database, it goes on.
    """
    _configure_logging()
    if access_log != "off":
        _write_access_log()
    with _plain_errors():
        environment = read_environment()
        given = api_key if api_key is not None else environment.api_key
        if given is None and not is_loopback(host):
            raise click.UsageError(
                f"{host} can be reached from other machines, which needs a key of your choice: "
                f"pass --api-key or set {KEY_VARIABLE}"
            )
        if ssl_keyfile is not None and ssl_certfile is None:
            raise click.UsageError("--ssl-keyfile needs --ssl-certfile")
        if given is None and postgresql_url(database) is not None:
            raise click.UsageError(
                f"servers on PostgreSQL share a key of your choice: pass --api-key or set {KEY_VARIABLE}"
            )
        settings = ServerSettings(
            api_key=given if given is not None else load_or_create_api_key(beside(database, API_KEY_SUFFIX)),
            database=database,
            host=host,
            port=port,
            secrets_key=environment.secrets_key,
            cors_origins=environment.cors_origins,
            without=frozenset(name for part in without for name in _listed(part)),
            strict=strict,
            access_log=access_log,
            metrics_port=metrics_port,
            drain_delay=drain_delay,
            shutdown_grace=shutdown_grace,
            older_secrets_keys=environment.older_secrets_keys,
            tls=None
            if ssl_certfile is None
            else TlsFiles(ssl_certfile, ssl_keyfile, password=environment.tls_key_password),
            trusted_proxies=_listed(forwarded_allow_ips),
            keep_runs=keep_runs,
            synchronous=synchronous,
            migrate=migrate,
        )

        def announce(url: str) -> None:
            # Standard output may be the access log's alone.
            apart = access_log != "off"
            click.echo(f"State manager: {url} (database {shown(database)}); Ctrl-C ends it.", err=apart)
            click.echo("To use it from another terminal:", err=apart)
            # A key that the user chose is the user's to keep: only one that was made here is shown.
            click.echo(_exports(url, None if given is not None else settings.api_key), err=apart)

        run_server(settings, started=announce)


@cli.command(context_settings={**_HELP, "ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--database",
    metavar="PATH|URL",
    help="Where to keep everything. Default: a temporary file, gone when the script has ended.",
)
@click.argument("script", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def dev(context: click.Context, database: str | None, script: Path, arguments: tuple[str, ...]) -> None:
    """Run SCRIPT with a state manager of its own, then show what ran.

    The script finds the service in the variables EXOSPHERE_STATE_MANAGER_URI and EXOSPHERE_API_KEY and keeps
    standard input and output to itself: what this command has to say goes to standard error. Ctrl-C and
    SIGTERM are the script's to handle; the third one kills it. The exit status is the script's, and
    128 + n if signal n ended it.
    """
    _configure_logging(logging.WARNING)
    _take_stop_signals()
    console = Console(stderr=True)
    if database is not None and postgresql_url(database) is not None:
        raise click.UsageError("dev keeps its runs in a file; run `exospherehost serve` on PostgreSQL")
    kept = "temporary database" if database is None else f"database {shown(database)}"
    with _plain_errors(), _database_or_temporary(database) as place:
        environment = read_environment()
        settings = ServerSettings(
            api_key=load_or_create_api_key(beside(place, API_KEY_SUFFIX)),
            database=place,
            port=0,
            secrets_key=environment.secrets_key,
            older_secrets_keys=environment.older_secrets_keys,
        )
        with ServerThread(settings) as server, _client(server) as client:
            click.echo(
                f"State manager: {server.url} ({kept}); Ctrl-C ends it.\n"
                f"To use it from another terminal:\n{_exports(server.url, server.api_key)}\n",
                err=True,
            )
            before = ended_runs(client)
            status = Script(script, arguments, _environment_for_script(server)).run()
            try:
                show_runs(console, *read_runs(client, without=before))
            except (ApiError, httpx.TransportError) as error:
                click.echo(f"What ran cannot be shown: {error}", err=True)
    context.exit(status)


@cli.command()
@click.argument("runtime", metavar="MODULE:RUNTIME")
@click.pass_context
def run(context: click.Context, runtime: str) -> None:
    """Run a runtime until Ctrl-C or SIGTERM, which end it with status 0 once running states have ended.

    MODULE:RUNTIME names a Runtime, or a function without arguments that returns one, in a module that is imported
    from this directory or from Python's path. A second signal, half a second later or more, cuts the runtime's
    grace period short. On a terminal a line below the log tells how it gets on.
    """
    _take_stop_signals()
    console = Console(stderr=True)
    with _plain_errors(), ExitStack() as stack:
        line = stack.enter_context(LiveLine(console, runtime)) if can_show(console) else None
        # After it: a handler that the module makes then writes above the line as well.
        _configure_logging(handler=None if line is None else AboveTheLine(console))
        try:
            loaded = load_runtime(runtime)
            if line is not None:
                line.show(loaded)
            loaded.start()
        except LoadError as error:
            raise click.UsageError(str(error)) from error
        except ModuleFault as fault:
            click.echo(str(fault), err=True)
            context.exit(1)
        except APIError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            # Before the runtime takes the signals there is nothing to hand back.
            context.exit(130)


def _configure_logging(least: int = logging.NOTSET, *, handler: logging.Handler | None = None) -> None:
    """Log to standard error as EXOSPHERE_LOG_LEVEL says, but nothing below `least`.

    Args:
        least: a level.
        handler: writes the records; plainly to standard error by default.
    """
    level = default_log_level()
    if level is None:
        logging.getLogger().addHandler(logging.NullHandler())
        return
    level = max(level, least)
    logging.basicConfig(level=level, format=FORMAT, handlers=None if handler is None else [handler])
    # What these have to say below a warning is about themselves.
    for name in ("alembic", "httpcore", "httpx", "uvicorn"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def _write_access_log() -> None:
    """Write what was asked for by an option to standard output, whatever the level of the other logs."""
    logger = logging.getLogger(ACCESS_LOGGER)
    handler = logging.StreamHandler(sys.stdout)
    # The line as it is: a collector parses it.
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(min(default_log_level() or logging.INFO, logging.INFO))
    logger.propagate = False


def _take_stop_signals() -> None:
    """Let SIGTERM end this process as Ctrl-C does, also where a shell has it started without Ctrl-C."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


@contextmanager
def _plain_errors() -> Generator[None, None, None]:
    """Make one line and status 1 of what the person at the keyboard can put right."""
    try:
        yield
    except (StartupError, StoreError, ConfigurationError) as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _database_or_temporary(database: str | None) -> Generator[str, None, None]:
    if database is not None:
        yield database
        return
    with tempfile.TemporaryDirectory(prefix="exospherehost-") as folder:
        yield str(Path(folder) / DEFAULT_DATABASE)


def _listed(text: str) -> tuple[str, ...]:
    """Return the names in a list that is apart by commas."""
    return tuple(name for name in map(str.strip, text.split(",")) if name)


def _exports(uri: str, key: str | None) -> str:
    lines = [f"  export {URI_VARIABLE}={shlex.quote(uri)}"]
    if key is not None:
        lines.append(f"  export {KEY_VARIABLE}={shlex.quote(key)}")
    return "\n".join(lines)


def _client(server: ServerThread) -> AuthenticatedClient:
    # A proxy in the environment is for other machines.
    return AuthenticatedClient(server.url, server.api_key, trust_env=False)


def _environment_for_script(server: ServerThread) -> dict[str, str]:
    environment = {**os.environ, URI_VARIABLE: server.url, KEY_VARIABLE: server.api_key}
    if any(name.lower() in ("http_proxy", "all_proxy") for name in environment):
        spared = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
        spared = f"{spared},{DEFAULT_HOST}".lstrip(",")
        environment |= {"no_proxy": spared, "NO_PROXY": spared}
    return environment


# Each in a module of its own.
for command in (backup, prune, rotate_secrets_key):
    db.add_command(command)
cli.add_command(db)
cli.add_command(keys)
