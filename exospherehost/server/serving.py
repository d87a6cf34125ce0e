"""Runs the application: in the foreground until it is told to stop, or in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exospherehost.server.app import create_app
from exospherehost.server.domain.clock import Clock
from exospherehost.server.domain.errors import StartupError
from exospherehost.server.http.connection_limits import allow_open_files, bounded_protocol
from exospherehost.server.http.monitoring import METRICS_PATH, OPEN
from exospherehost.server.settings import ServerSettings

logger = logging.getLogger(__name__)

_BACKLOG = 2_048
# For requests that cross with the stop on connections that are kept alive.
_LINGER_SECONDS = 1.0
_LINGER_TICK = 0.02
# Longer than clients pause, so that they seldom meet a connection that is just being closed.
_KEEP_ALIVE_SECONDS = 75
_START_SECONDS = 60.0


def serve(settings: ServerSettings, *, started: Callable[[str], None] | None = None) -> None:
    """Run the server until it is interrupted (SIGINT, SIGTERM), then end what is under way and return.

    Args:
        settings: How it runs; port 0 takes a free one.
        started: Called with the server's address once it answers.

    Raises:
        StartupError: The address is taken, the database cannot be opened, a key is malformed.
    """
    allow_open_files()
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(contextlib.closing(listener)) for listener in listen(settings)]
        server = _Server(settings, None, linger=_LINGER_SECONDS)
        address = _address(settings, listeners[0].getsockname()[1])

        def ready() -> None:
            # What is there now stays: to look through all of it again and again would hold up requests.
            gc.collect()
            gc.freeze()
            if started is not None:
                started(address)

        server.when_started(ready)
        server.run_on(listeners)
        server.raise_startup_error()


def listen(settings: ServerSettings) -> list[socket.socket]:
    """Return the socket that listens where the settings say, and, if they have one, that for metrics.

    Raises:
        StartupError: An address cannot be had.
    """
    listeners: list[socket.socket] = []
    try:
        for port in (settings.port, settings.metrics_port):
            if port is not None:
                listeners.append(_listen_at(settings.host, port))  # noqa: PERF401 - those made are closed on failure
    except StartupError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _listen_at(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise StartupError(
            f"cannot listen on {host} port {port}: {error.strerror}; give another host or port"
        ) from error
    return listener


class ServerThread:
    """A server in a thread of its own, for tests and for programs that bring their own state manager.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`, each once.

    Args:
        settings: How it runs; port 0 takes a free one.
        clock: The time it goes by; the machine's by default.
    """

    def __init__(self, settings: ServerSettings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock
        self._listeners: list[socket.socket] = []
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """The address to reach it at, such as ``http://127.0.0.1:41213``; known once it has started."""
        if not self._url:
            raise RuntimeError("the server has not been started")
        return self._url

    @property
    def metrics_url(self) -> str:
        """Where the metrics are shown without a key; known once it has started, if the settings have a port for it."""
        if len(self._listeners) < 2:
            raise RuntimeError("the server has no port for metrics, or has not been started")
        return f"{_address(self._settings, self._listeners[1].getsockname()[1])}{METRICS_PATH}"

    @property
    def api_key(self) -> str:
        """The key to send."""
        return self._settings.api_key

    def start(self) -> Self:
        """Start it, and return when it answers.

        Raises:
            StartupError: The address is taken, the database cannot be opened, a key is malformed.
        """
        if self._thread is not None:
            raise RuntimeError("the server has been started before")
        self._listeners = listen(self._settings)
        try:
            self._server = server = _Server(self._settings, self._clock)
        except StartupError:
            for listener in self._listeners:
                listener.close()
            raise
        self._thread = threading.Thread(
            target=server.run_on, args=(self._listeners,), name="exospherehost-server", daemon=True
        )
        self._thread.start()
        if not server.settled.wait(_START_SECONDS):
            raise StartupError(f"the server did not start within {_START_SECONDS:.0f} seconds")
        try:
            server.raise_startup_error()
        except StartupError:
            self.stop()
            raise
        self._url = _address(self._settings, self._listeners[0].getsockname()[1])
        return self

    def stop(self) -> None:
        """Let requests under way end, close the database, and return when all is over."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
        for listener in self._listeners:
            listener.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Config(uvicorn.Config):
    """uvicorn's settings, with the TLS context that it is given."""

    def __init__(self, app: ASGIApp, *, context: ssl.SSLContext | None, **settings: Any) -> None:
        super().__init__(app, **settings)
        self._context = context

    def load(self) -> None:
        """Make ready to serve."""
        super().load()
        self.ssl = self._context


class _Server(uvicorn.Server):
    """uvicorn as we want it: it tells why it could not start, and it stops in steps.

    At a signal it is no longer ready, and goes on for the drain delay. Then it refuses new connections; those that are
    open end with their next answer, or, where no request comes, after ``linger`` seconds. What is under way by then
    has the shutdown's grace, and at last the application closes its database.
    """

    def __init__(self, settings: ServerSettings, clock: Clock | None, *, linger: float = 0.0) -> None:
        self._draining = threading.Event()
        self._stopping = asyncio.Event()
        self._drain_delay = settings.drain_delay
        self._drained_at = 0.0
        self._linger = linger
        self._metrics_port: int | None = None
        self._application = create_app(settings, clock=clock, draining=self._draining, stopping=self._stopping)
        self._failure: BaseException | None = None
        self._notify: Callable[[], None] | None = None
        self.settled = threading.Event()
        super().__init__(
            _Config(
                self._watched,
                context=None if settings.tls is None else settings.tls.context(),
                http=bounded_protocol(settings.most_connections, settings.body_seconds),
                # Else anybody on this machine could say to be anybody.
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=list(settings.trusted_proxies),
                interface="asgi3",
                log_config=None,
                access_log=False,
                lifespan="on",
                ws="none",
                backlog=_BACKLOG,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=settings.shutdown_grace,
            )
        )

    def run_on(self, listeners: list[socket.socket]) -> None:
        """Serve on listening sockets until told to stop; a failed start is kept for later.

        Args:
            listeners: The server's and, perhaps, that for metrics.
        """
        if len(listeners) > 1:
            self._metrics_port = listeners[1].getsockname()[1]
        try:
            self.run(sockets=listeners)
        except SystemExit as error:
            # How uvicorn ends when the application did not start.
            self._failure = self._failure or RuntimeError(f"the server did not start (exit code {error.code})")
        except BaseException as error:
            self._failure = self._failure or error
            raise
        finally:
            self.settled.set()

    def raise_startup_error(self) -> None:
        """Raise what kept the server from starting, if anything did."""
        if self._failure is not None:
            raise StartupError(str(self._failure)) from self._failure

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and let those know who wait for it."""
        await super().startup(sockets)
        self.settled.set()
        if self._notify is not None:
            self._notify()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: requests that wait for states end first, since those under way are waited for."""
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        # After it: who is told to open another connection must find none.
        self._draining.set()
        self._stopping.set()
        logger.debug("event=server_stopping connections=%d", len(self.server_state.connections))
        loop = asyncio.get_running_loop()
        until = loop.time() + self._linger
        # uvicorn tells nobody when a connection ends.
        while self.server_state.connections and loop.time() < until and not self.force_exit:  # noqa: ASYNC110
            await asyncio.sleep(_LINGER_TICK)
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Tell, ten times a second, whether to stop."""
        if self._draining.is_set() and time.monotonic() >= self._drained_at:
            self.should_exit = True
        return await super().on_tick(counter)

    def when_started(self, notify: Callable[[], None]) -> None:
        """Have ``notify`` called once the server answers."""
        self._notify = notify

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as signals call it
        """Stop at a signal; each further one cuts short what is waited for: the drain delay, what is under way."""
        # uvicorn would also note the signal, and raise it again when all is closed.
        if not self._draining.is_set() and self._drain_delay:
            self._drained_at = time.monotonic() + self._drain_delay
            self._draining.set()
            return
        self._draining.set()
        self.force_exit = self.should_exit
        self.should_exit = True

    async def _watched(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            if self._metrics_port is not None and scope["server"][1] == self._metrics_port:
                scope[OPEN] = True
            await self._application(scope, receive, send)
            return

        async def send_without_trace(message: Message) -> None:
            # The failure is raised to the caller; uvicorn would log its trace besides.
            await send({**message, "message": ""} if message["type"] == "lifespan.startup.failed" else message)

        try:
            await self._application(scope, receive, send_without_trace)
        except Exception as error:
            if self.settled.is_set():
                raise
            self._failure = error


def _address(settings: ServerSettings, port: int) -> str:
    host, scheme = settings.host, "http" if settings.tls is None else "https"
    # What listens everywhere is reached on the loopback.
    name = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - only compared
    return f"{scheme}://[{name}]:{port}" if ":" in name else f"{scheme}://{name}:{port}"
