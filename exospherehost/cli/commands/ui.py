"""`exospherehost ui`: the dashboard of another service."""

from __future__ import annotations

import contextlib
from functools import partial
from types import FrameType
from urllib.parse import quote

import click
import uvicorn

from exospherehost.cli.console.dashboard_hint import dashboard_hint, is_terminal
from exospherehost.cli.console.plain_errors import plain_errors
from exospherehost.cli.console.program_logging import configure_logging
from exospherehost.cli.options.connection import Connection, connection_options
from exospherehost.cli.programs.dashboard_proxy import DashboardProxy
from exospherehost.cli.programs.service_calls import call_raw
from exospherehost.dashboard import Dashboard
from exospherehost.server.domain.clock import SystemClock
from exospherehost.server.listening import listen
from exospherehost.server.security.sessions import Sessions
from exospherehost.server.serving import sign_in_link
from exospherehost.server.settings import DEFAULT_HOST, ServerSettings
from exospherehost_client.api.nodes import list_namespaces

DEFAULT_PORT = 8001
_NAMES = (DEFAULT_HOST, "localhost")


@click.command(
    epilog="Example: exospherehost ui --uri https://state-manager.example --key KEY",
    short_help="Show the dashboard of any state manager, until Ctrl-C or SIGTERM.",
)
@click.option(
    "--port",
    default=DEFAULT_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="The port to listen on, on this machine alone; 0 takes a free one.",
)
@connection_options
def ui(connection: Connection, *, port: int) -> None:
    """Show the dashboard of any state manager, the hosted one too, until Ctrl-C or SIGTERM.

    A page on this machine asks this command, and this command asks the service: the key stays here. Sign in by the
    link that is printed, or with the key.
    """
    configure_logging()
    # A key that is refused, or a service that is not there, is known before a page is shown.
    call_raw(connection, lambda client: list_namespaces.sync(client=client))
    with plain_errors(), contextlib.closing(listen(ServerSettings(api_key=connection.key, port=port))[0]) as listener:
        port = listener.getsockname()[1]
        sessions = Sessions(SystemClock())
        proxy = DashboardProxy(
            connection.uri,
            connection.key,
            page=Dashboard(),
            sessions=sessions,
            hosts=[f"{name}:{port}" for name in _NAMES],
        )
        url = f"http://{DEFAULT_HOST}:{port}"
        click.echo(f"Dashboard of {connection.uri} (from {connection.source}); Ctrl-C ends it.")
        click.echo(
            dashboard_hint(
                url, partial(sign_in_link, url, connection.key, sessions), is_terminal=is_terminal(err=False)
            )
        )
        if connection.namespace is not None:
            click.echo(f"Its namespace {connection.namespace}: {url}/ui/n/{quote(connection.namespace, safe='')}/runs")
        _Server(
            uvicorn.Config(
                proxy,
                proxy_headers=False,
                interface="asgi3",
                log_config=None,
                access_log=False,
                lifespan="on",
                ws="none",
                server_header=False,
                # What a page follows ends with this command.
                timeout_graceful_shutdown=1,
            )
        ).run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn, but a signal that stops it is not raised again after the stop."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a signal handler
        """Stop; at a second signal, at once."""
        self.force_exit = self.should_exit
        self.should_exit = True
