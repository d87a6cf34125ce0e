"""Running the application: in the foreground until a signal, or in a thread."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from exospherehost.dashboard import DASHBOARD_PATH
from exospherehost.server.domain.clock import Clock, SystemClock
from exospherehost.server.domain.errors import StartupError
from exospherehost.server.http.connection_limits import allow_open_files
from exospherehost.server.http.monitoring import METRICS_PATH
from exospherehost.server.listening import address_of, listen
from exospherehost.server.security.api_keys import digest
from exospherehost.server.security.sessions import Sessions
from exospherehost.server.settings import ServerSettings
from exospherehost.server.uvicorn_server import Server

# For requests that cross with the stop on connections that are kept alive.
_LINGER_SECONDS = 1.0
_START_SECONDS = 60.0


def serve(
    settings: ServerSettings, *, started: Callable[[str], None] | None = None, sessions: Sessions | None = None
) -> None:
    """Run the server until SIGINT or SIGTERM, finish the requests under way, and return.

    SIGHUP reloads the TLS files.

    Args:
        settings: The server's settings; port 0 takes a free port.
        started: Called with the server's address once it answers.
        sessions: The dashboard's sessions and links, for a caller that makes links; its own by default.

    Raises:
        StartupError: The address is taken, the database cannot be opened or is in use, or a key is malformed.
    """
    allow_open_files()
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(contextlib.closing(listener)) for listener in listen(settings)]
        server = Server(settings, None, linger=_LINGER_SECONDS, sessions=sessions)
        address = address_of(settings, listeners[0].getsockname()[1])

        def ready() -> None:
            _freeze_memory()
            if started is not None:
                started(address)

        server.when_started(ready)
        server.run_on(listeners)
        server.raise_startup_error()


def sign_in_link(url: str, api_key: str, sessions: Sessions) -> str:
    """Return a link that signs in to the dashboard once, within five minutes, with a key's rights.

    Args:
        url: The server's address.
        api_key: The key.
        sessions: The server's sessions and links.
    """
    # In the fragment, which browsers keep to themselves.
    return f"{url}{DASHBOARD_PATH}/#link={sessions.make_link_token(digest(api_key.encode('ascii')))}"


def _freeze_memory() -> None:
    """Exempt everything loaded so far from garbage collection: scanning it again and again would delay requests."""
    gc.collect()
    gc.freeze()


class ServerThread:
    """A server in a thread of its own, for tests and for programs that embed their state manager.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`, each once.

    Args:
        settings: The server's settings; port 0 takes a free port.
        clock: The server's clock; the machine's by default.
    """

    def __init__(self, settings: ServerSettings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._sessions = Sessions(clock or SystemClock())
        self._clock = clock
        self._listeners: list[socket.socket] = []
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """The server's address, such as ``http://127.0.0.1:41213``; known once it has started."""
        if not self._url:
            raise RuntimeError("the server has not been started")
        return self._url

    @property
    def metrics_url(self) -> str:
        """The address of the metrics that need no key; known once the server has started with a port for them."""
        if len(self._listeners) < 2:
            raise RuntimeError("the server has no port for metrics, or has not been started")
        return f"{address_of(self._settings, self._listeners[1].getsockname()[1])}{METRICS_PATH}"

    @property
    def api_key(self) -> str:
        """The API key to send."""
        return self._settings.api_key

    def sign_in_link(self) -> str:
        """Return a link that signs in to the dashboard once, within five minutes, with all rights."""
        return sign_in_link(self.url, self.api_key, self._sessions)

    def start(self) -> Self:
        """Start the server, and return when it answers.

        Raises:
            StartupError: The address is taken, the database cannot be opened or is in use, or a key is malformed.
        """
        if self._thread is not None:
            raise RuntimeError("the server has been started before")
        self._listeners = listen(self._settings)
        try:
            self._server = server = Server(self._settings, self._clock, sessions=self._sessions)
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
        self._url = address_of(self._settings, self._listeners[0].getsockname()[1])
        return self

    def stop(self) -> None:
        """Finish the requests under way, close the database, and return when the thread has ended."""
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
