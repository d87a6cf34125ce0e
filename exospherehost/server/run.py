"""Runs the application: in the foreground until it is told to stop, or in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exospherehost.server.app import create_app
from exospherehost.server.clock import Clock
from exospherehost.server.connections import allow_open_files, bounded_protocol
from exospherehost.server.errors import StartupError
from exospherehost.server.settings import ServerSettings

_BACKLOG = 2_048
_GRACE_SECONDS = 10
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
    with contextlib.closing(listen(settings)) as listener:
        server = _Server(settings, None)
        if started is not None:
            address = _address(settings, listener.getsockname()[1])
            server.when_started(lambda: started(address))
        server.run_on(listener)
        server.raise_startup_error()


def listen(settings: ServerSettings) -> socket.socket:
    """Return a socket that listens where the settings say.

    Raises:
        StartupError: The address cannot be had.
    """
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
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
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; give another host or port"
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
        self._listener: socket.socket | None = None
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
        self._listener = listen(self._settings)
        try:
            self._server = server = _Server(self._settings, self._clock)
        except StartupError:
            self._listener.close()
            raise
        self._thread = threading.Thread(
            target=server.run_on, args=(self._listener,), name="exosphere-server", daemon=True
        )
        self._thread.start()
        if not server.settled.wait(_START_SECONDS):
            raise StartupError(f"the server did not start within {_START_SECONDS:.0f} seconds")
        try:
            server.raise_startup_error()
        except StartupError:
            self.stop()
            raise
        self._url = _address(self._settings, self._listener.getsockname()[1])
        return self

    def stop(self) -> None:
        """Let requests under way end, close the database, and return when all is over."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
        if self._listener is not None:
            self._listener.close()

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
    """uvicorn as we want it: it returns after a signal, and tells why it could not start."""

    def __init__(self, settings: ServerSettings, clock: Clock | None) -> None:
        self._stopping = asyncio.Event()
        self._application = create_app(settings, clock=clock, stopping=self._stopping)
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
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )

    def run_on(self, listener: socket.socket) -> None:
        """Serve on a listening socket until told to stop; a failed start is kept for later."""
        try:
            self.run(sockets=[listener])
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
        self._stopping.set()
        await super().shutdown(sockets)

    def when_started(self, notify: Callable[[], None]) -> None:
        """Have ``notify`` called once the server answers."""
        self._notify = notify

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 (as signals call it)
        """Stop at a signal; a second one does not wait for what is under way."""
        # uvicorn would also note the signal, and raise it again when all is closed.
        self.force_exit = self.should_exit
        self.should_exit = True

    async def _watched(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
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
    name = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 (only compared)
    return f"{scheme}://[{name}]:{port}" if ":" in name else f"{scheme}://{name}:{port}"
