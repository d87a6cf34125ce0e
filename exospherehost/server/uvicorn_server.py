"""uvicorn as this server uses it: it says why it could not start, stops in steps, and reloads TLS files at SIGHUP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exospherehost.server.app import create_app
from exospherehost.server.domain.clock import Clock
from exospherehost.server.domain.errors import StartupError
from exospherehost.server.http.connection_limits import bounded_protocol
from exospherehost.server.http.monitoring import OPEN
from exospherehost.server.listening import BACKLOG
from exospherehost.server.security.sessions import Sessions
from exospherehost.server.security.tls import ReloadableTls
from exospherehost.server.settings import ServerSettings

logger = logging.getLogger(__name__)

_LINGER_TICK = 0.02
# Longer than clients usually pause, so that they seldom meet a connection that is just closing.
_KEEP_ALIVE_SECONDS = 75


class _Config(uvicorn.Config):
    """uvicorn's settings, with a TLS context of ours."""

    def __init__(self, app: ASGIApp, *, context: ssl.SSLContext | None, **settings: Any) -> None:
        super().__init__(app, **settings)
        self._context = context

    def load(self) -> None:
        """Load the settings."""
        super().load()
        self.ssl = self._context


class Server(uvicorn.Server):
    """uvicorn, extended: it says why it could not start, stops in steps, and reloads TLS files.

    At SIGINT or SIGTERM the server stops being ready and goes on for the drain delay. Then it refuses new connections;
    an open connection ends with its next response or, where no request comes, after ``linger`` seconds. Requests under
    way then have the shutdown grace, and at last the application closes its database. SIGHUP reloads the TLS files.

    Args:
        settings: The server's settings.
        clock: The server's clock; the machine's by default.
        linger: Seconds for which idle connections stay open at the stop.
        sessions: The dashboard's sessions and links, for a caller that makes links; its own by default.
    """

    def __init__(
        self,
        settings: ServerSettings,
        clock: Clock | None,
        *,
        linger: float = 0.0,
        sessions: Sessions | None = None,
    ) -> None:
        self._draining = threading.Event()
        self._stopping = asyncio.Event()
        self._drain_delay = settings.drain_delay
        self._drained_at = 0.0
        self._linger = linger
        self._metrics_port: int | None = None
        self._application = create_app(
            settings, clock=clock, draining=self._draining, stopping=self._stopping, sessions=sessions
        )
        self._failure: BaseException | None = None
        self._notify: Callable[[], None] | None = None
        self._tls = None if settings.tls is None else ReloadableTls(settings.tls)
        self._reload_wanted = False
        self.settled = threading.Event()
        super().__init__(
            _Config(
                self._watched,
                context=None if self._tls is None else self._tls.context,
                http=bounded_protocol(settings.most_connections, settings.body_seconds),
                # Otherwise anyone on this machine could claim any address.
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=list(settings.trusted_proxies),
                interface="asgi3",
                log_config=None,
                access_log=False,
                lifespan="on",
                ws="none",
                backlog=BACKLOG,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=settings.shutdown_grace,
            )
        )

    def run_on(self, listeners: list[socket.socket]) -> None:
        """Serve on listening sockets until the stop; keep the reason of a failed start for later.

        Args:
            listeners: The server's socket and, perhaps, the one for metrics.
        """
        if len(listeners) > 1:
            self._metrics_port = listeners[1].getsockname()[1]
        try:
            self.run(sockets=listeners)
        except SystemExit as error:
            # uvicorn exits so when the application did not start.
            self._failure = self._failure or RuntimeError(f"the server did not start (exit code {error.code})")
        except BaseException as error:
            self._failure = self._failure or error
            raise
        finally:
            self.settled.set()

    def raise_startup_error(self) -> None:
        """Raise the error that kept the server from starting, if there is one.

        Raises:
            StartupError: The server did not start.
        """
        if self._failure is not None:
            raise StartupError(str(self._failure)) from self._failure

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and notify those who wait for the start."""
        await super().startup(sockets)
        self.settled.set()
        if self._notify is not None:
            self._notify()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop. Claims that wait for states end first, because the stop waits for every request under way."""
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        # Only now: a client that is sent away must find no listener.
        self._draining.set()
        self._stopping.set()
        logger.debug("event=server_stopping connections=%d", len(self.server_state.connections))
        loop = asyncio.get_running_loop()
        until = loop.time() + self._linger
        while (  # noqa: ASYNC110 - uvicorn has no event for the end of a connection
            self.server_state.connections and loop.time() < until and not self.force_exit
        ):
            await asyncio.sleep(_LINGER_TICK)
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Reload if asked to, and return whether to stop; uvicorn calls this ten times a second."""
        if self._reload_wanted:
            self._reload_wanted = False
            await self._reload()
        if self._draining.is_set() and time.monotonic() >= self._drained_at:
            self.should_exit = True
        return await super().on_tick(counter)

    def when_started(self, notify: Callable[[], None]) -> None:
        """Call ``notify`` once the server answers."""
        self._notify = notify

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a signal handler
        """Stop at a signal; each further signal skips a wait: the drain delay, then the requests under way."""
        # uvicorn's own handler would also raise the signal again after the stop.
        if not self._draining.is_set() and self._drain_delay:
            self._drained_at = time.monotonic() + self._drain_delay
            self._draining.set()
            return
        self._draining.set()
        self.force_exit = self.should_exit
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handle signals until the block ends: SIGHUP reloads, and uvicorn's signals stop the server."""
        if not hasattr(signal, "SIGHUP") or threading.current_thread() is not threading.main_thread():
            with super().capture_signals():
                yield
            return
        before = signal.signal(signal.SIGHUP, self._want_reload)
        try:
            with super().capture_signals():
                yield
        finally:
            signal.signal(signal.SIGHUP, before)

    def _want_reload(self, _signal: int, _frame: FrameType | None) -> None:
        self._reload_wanted = True

    async def _reload(self) -> None:
        if self._tls is None:
            logger.info("event=reload_skipped reason=%s", "this server has no TLS files to reload")
            return
        try:
            await asyncio.to_thread(self._tls.reload)
        except StartupError as error:
            logger.error(  # noqa: TRY400 - the message says all
                "event=tls_reload_failed reason=%s remedy=%s",
                error,
                "new connections get the certificate loaded before: correct the files and send SIGHUP again",
            )
        else:
            logger.info("event=tls_reloaded certificate=%s", self._tls.files.certificate)

    async def _watched(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            if self._metrics_port is not None and scope["server"][1] == self._metrics_port:
                scope[OPEN] = True
            await self._application(scope, receive, send)
            return

        async def send_without_trace(message: Message) -> None:
            # The caller gets the failure; uvicorn would log its trace as well.
            await send({**message, "message": ""} if message["type"] == "lifespan.startup.failed" else message)

        try:
            await self._application(scope, receive, send_without_trace)
        except Exception as error:
            if self.settled.is_set():
                raise
            self._failure = error
