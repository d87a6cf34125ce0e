"""`exospherehost serve`: runs the state manager."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, get_args

import click

from exospherehost._config import KEY_VARIABLE
from exospherehost.cli.console.connection_hint import connection_hint
from exospherehost.cli.console.dashboard_hint import dashboard_hint, is_terminal
from exospherehost.cli.console.database_folder import create_database_folder
from exospherehost.cli.console.plain_errors import plain_errors
from exospherehost.cli.console.program_logging import configure_logging, write_access_log
from exospherehost.cli.options.database import API_KEY_SUFFIX
from exospherehost.cli.options.durations import duration
from exospherehost.server.domain.clock import SystemClock
from exospherehost.server.observability.access_log import AccessLogForm
from exospherehost.server.security.sessions import Sessions
from exospherehost.server.security.tls import PASSWORD_VARIABLE as TLS_PASSWORD_VARIABLE
from exospherehost.server.security.tls import TlsFiles
from exospherehost.server.serving import serve as run_server
from exospherehost.server.serving import sign_in_link
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


@click.command(
    epilog="Example: exospherehost serve --database runs.db --keep-runs 30d",
    short_help="Run the state manager until Ctrl-C or SIGTERM.",
)
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
    help="Where graphs, runs and states are kept: a file, created if it does not exist, or a URL such as "
    "sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME.",
)
@click.option(
    "--migrate/--no-migrate",
    default=None,
    help="Whether to create or upgrade the schema first. Default: yes for a file, no for PostgreSQL.",
)
@click.option(
    "--api-key",
    metavar="KEY",
    help=f"The key that clients must send. Default: {KEY_VARIABLE}, else a key that is created and kept beside the "
    "database file.",
)
@click.option(
    "--without",
    multiple=True,
    metavar="NAME,...",
    help="Extensions of the contract to switch off, such as trigger-states.",
)
@click.option("--strict", is_flag=True, help="Refuse graphs that the hosted service would refuse or run otherwise.")
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
    help="A port that serves /metrics without a key; 0 takes a free one. By default /metrics needs the key.",
)
@click.option(
    "--drain-delay",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    metavar="SECONDS",
    help="How long to keep serving after a stop signal, while /ready fails, for load balancers to notice.",
)
@click.option(
    "--shutdown-grace",
    default=DEFAULT_SHUTDOWN_GRACE,
    show_default=True,
    type=click.IntRange(min=0),
    metavar="SECONDS",
    help="How long running requests may take once the server stops.",
)
@click.option(
    "--ssl-certfile",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Serve TLS 1.2 or newer with this certificate (PEM, with its intermediate certificates).",
)
@click.option(
    "--ssl-keyfile",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The certificate's private key, if it is not in the same file. Its password is read from "
    f"{TLS_PASSWORD_VARIABLE}.",
)
@click.option(
    "--forwarded-allow-ips",
    default="",
    metavar="ADDRESS,...",
    help="Reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted; * trusts all. Default: none.",
)
@click.option(
    "--keep-runs",
    type=duration,
    metavar="DURATION",
    help="Delete runs this long after they ended, such as 30d. Default: all runs are kept.",
)
@click.option(
    "--synchronous",
    default=SYNCHRONOUS[0],
    show_default=True,
    type=click.Choice(SYNCHRONOUS),
    help="On SQLite, whether an answered write survives a power cut (full) or only a crash of the program (normal).",
)
@click.option(
    "--ui/--no-ui",
    default=True,
    help="Whether to serve the dashboard at /ui. Default: yes.",
)
def serve(**options: Any) -> None:
    """Run the state manager until Ctrl-C or SIGTERM, which end it with status 0.

    Its data survives any end, kill -9 included: start it again on the same database, and it goes on.
    """
    given = ServeOptions(**options)
    configure_logging()
    if given.access_log != "off":
        write_access_log()
    with plain_errors():
        settings, own_key = given.settings()
        sessions = Sessions(SystemClock())

        def announce(url: str) -> None:
            # Standard output may belong to the access log alone.
            apart = given.access_log != "off"
            click.echo(f"State manager: {url} (database {shown(given.database)}); Ctrl-C ends it.", err=apart)
            click.echo("To use it from another terminal:", err=apart)
            # Only a key that was created here is shown: the user keeps their own.
            click.echo(connection_hint(url, None if own_key else settings.api_key), err=apart)
            if settings.ui:
                link = partial(sign_in_link, url, settings.api_key, sessions)
                click.echo(dashboard_hint(url, link, is_terminal=is_terminal(err=apart)), err=apart)

        run_server(settings, started=announce, sessions=sessions)


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """The options of `serve` as given; the help of each says what it means."""

    host: str
    port: int
    database: str
    migrate: bool | None
    api_key: str | None
    without: tuple[str, ...]
    strict: bool
    access_log: AccessLogForm
    metrics_port: int | None
    drain_delay: int
    shutdown_grace: int
    ssl_certfile: Path | None
    ssl_keyfile: Path | None
    forwarded_allow_ips: str
    keep_runs: timedelta | None
    synchronous: str
    ui: bool

    def settings(self) -> tuple[ServerSettings, bool]:
        """Return the server's settings, and whether its API key is the user's own.

        Without one, this reads the key beside the database, or creates it.

        Raises:
            click.UsageError: Options contradict one another, or a key is needed.
            StartupError: A setting breaks a rule, or a key file cannot be used.
            StoreError: The database's folder cannot be created.
        """
        environment = read_environment()
        own_key = self.api_key if self.api_key is not None else environment.api_key
        self._require_consistent(has_key=own_key is not None)
        create_database_folder(self.database)
        certificate = self.ssl_certfile
        settings = ServerSettings(
            api_key=own_key if own_key is not None else load_or_create_api_key(beside(self.database, API_KEY_SUFFIX)),
            database=self.database,
            host=self.host,
            port=self.port,
            secrets_key=environment.secrets_key,
            older_secrets_keys=environment.older_secrets_keys,
            cors_origins=environment.cors_origins,
            without=frozenset(name for part in self.without for name in _listed(part)),
            strict=self.strict,
            access_log=self.access_log,
            metrics_port=self.metrics_port,
            drain_delay=self.drain_delay,
            shutdown_grace=self.shutdown_grace,
            tls=None
            if certificate is None
            else TlsFiles(certificate, self.ssl_keyfile, password=environment.tls_key_password),
            trusted_proxies=_listed(self.forwarded_allow_ips),
            keep_runs=self.keep_runs,
            synchronous=self.synchronous,
            migrate=self.migrate,
            ui=self.ui,
        )
        return settings, own_key is not None

    def _require_consistent(self, *, has_key: bool) -> None:
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise click.UsageError("--ssl-keyfile needs --ssl-certfile")
        if has_key:
            return
        remedy = f"pass --api-key or set {KEY_VARIABLE}"
        if not is_loopback(self.host):
            raise click.UsageError(
                f"{self.host} can be reached from other machines, which needs a key of your choice: {remedy}"
            )
        if postgresql_url(self.database) is not None:
            raise click.UsageError(f"servers on PostgreSQL share a key of your choice: {remedy}")


def _listed(text: str) -> tuple[str, ...]:
    """Return the names in a comma-separated list."""
    return tuple(name for name in map(str.strip, text.split(",")) if name)
