"""An HTTP endpoint that tells an orchestrator whether a runtime is alive, and whether it gets work done."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socket import AF_INET6
from socketserver import TCPServer, ThreadingMixIn
from types import TracebackType
from typing import Any, Self, TypeAlias

from exospherehost._errors import ConfigurationError
from exospherehost._runtime.stats import RuntimeStats

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
BLOCKED_AFTER_SECONDS = 30.0
"""How old the event loop's last heartbeat may be before the runtime counts as dead."""

_REQUEST_SECONDS = 5.0
_CLOSING_SECONDS = 0.1

_Answer: TypeAlias = Callable[[str], tuple[HTTPStatus, dict[str, Any]]]


def parse_address(liveness: str) -> tuple[str, int]:
    """Read HOST:PORT.

    Raises:
        ConfigurationError: it is something else.
    """
    remedy = "pass for instance 127.0.0.1:8080, [::1]:8080, or 0.0.0.0:8080 for every address"
    if not isinstance(liveness, str):
        raise ConfigurationError(f"liveness={liveness!r} is not HOST:PORT; {remedy}")
    host, _, port = liveness.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    is_port = port.isascii() and port.isdecimal() and int(port) <= 65_535
    if not host or not is_port or any(letter.isspace() or letter in "/@" for letter in host):
        raise ConfigurationError(f"liveness={liveness!r} is not HOST:PORT; {remedy}")
    return host, int(port)


class Liveness:
    """Answers GET /live and GET /ready in a thread of its own, also while the event loop is blocked.

    An async context manager, of the event loop whose heartbeat it watches.

    Args:
        address: where to listen; port 0 takes a free one.
        stats: reads the counters; called in other threads.
        stopping: tells whether a stop was asked for; likewise.

    Attributes:
        address: where it listens, `HOST:PORT`; once it is entered.

    Raises:
        ConfigurationError: on entering, the address cannot be had.
    """

    def __init__(
        self, address: tuple[str, int], stats: Callable[[], RuntimeStats], stopping: Callable[[], bool]
    ) -> None:
        self.address = ""
        self._wanted = address
        self._stats = stats
        self._stopping = stopping
        self._has_started = False
        self._beat = 0.0
        self._beating: asyncio.Task[None] | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def started(self) -> None:
        """Note that the nodes are registered and claiming begins."""
        self._has_started = True

    async def __aenter__(self) -> Self:
        host, port = self._wanted
        shown = f"[{host}]" if ":" in host else host
        try:
            self._server = _Server(self._wanted, self._answer)
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "that is no host's name"
            raise ConfigurationError(
                f"liveness={f'{shown}:{port}'!r}: cannot listen there: {reason}; give another host or port"
            ) from error
        self.address = f"{shown}:{self._server.server_address[1]}"
        self._beat = time.monotonic()
        self._beating = asyncio.create_task(self._beat_on(), name="exospherehost-heartbeat")
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_CLOSING_SECONDS,), name="exospherehost-liveness", daemon=True
        )
        self._thread.start()
        logger.info("event=liveness_started address=%s", self.address)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._beating is not None:
            self._beating.cancel()
        if self._server is not None:
            # Being cancelled ends the waiting and not the closing.
            await asyncio.to_thread(self._close, self._server)

    @staticmethod
    def _close(server: _Server) -> None:
        server.shutdown()
        server.server_close()

    async def _beat_on(self) -> None:
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(min(HEARTBEAT_SECONDS, BLOCKED_AFTER_SECONDS / 4))

    def _answer(self, path: str) -> tuple[HTTPStatus, dict[str, Any]]:
        if path == "/live":
            return self._live()
        if path == "/ready":
            return self._ready()
        return HTTPStatus.NOT_FOUND, {"detail": "there are /live and /ready"}

    def _live(self) -> tuple[HTTPStatus, dict[str, Any]]:
        blocked = self._blocked_for()
        counts = dataclasses.asdict(self._stats())
        if blocked is not None:
            return _unwell(f"the event loop has been blocked for {blocked:.0f} s", counts)
        return HTTPStatus.OK, {"status": "ok", **counts}

    def _ready(self) -> tuple[HTTPStatus, dict[str, Any]]:
        if self._stopping():
            return _unwell("stopping")
        if (blocked := self._blocked_for()) is not None:
            return _unwell(f"the event loop has been blocked for {blocked:.0f} s")
        if not self._has_started:
            return _unwell("starting")
        if self._stats().claims_failing:
            return _unwell("claims failing")
        return HTTPStatus.OK, {"status": "ok"}

    def _blocked_for(self) -> float | None:
        age = time.monotonic() - self._beat
        return age if age > BLOCKED_AFTER_SECONDS else None


def _unwell(reason: str, counts: dict[str, Any] | None = None) -> tuple[HTTPStatus, dict[str, Any]]:
    return HTTPStatus.SERVICE_UNAVAILABLE, {"status": "unavailable", "reason": reason, **(counts or {})}


class _Server(ThreadingMixIn, TCPServer):
    """A server of threads; http.server's own asks the name service for this machine's name before it listens."""

    # On Windows this would let two programs listen at one port.
    allow_reuse_address = sys.platform != "win32"
    request_queue_size = 16
    daemon_threads = True
    # A prober that keeps its connection open must not keep the runtime from ending.
    block_on_close = False

    def __init__(self, address: tuple[str, int], answer: _Answer) -> None:
        if ":" in address[0]:
            self.address_family = AF_INET6
        super().__init__(address, partial(_Handler, answer))

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - as the base class calls it
        # Called while the error is handled. One who asks and hangs up is no fault of this runtime.
        logger.debug("event=liveness_request_failed", exc_info=True)  # noqa: LOG014


class _Handler(BaseHTTPRequestHandler):
    timeout = _REQUEST_SECONDS

    def __init__(self, answer: _Answer, *arguments: Any) -> None:
        self._answer = answer
        super().__init__(*arguments)

    def do_GET(self) -> None:
        status, body = self._answer(self.path.partition("?")[0])
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815 - the base class's name

    def version_string(self) -> str:
        return "exospherehost"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        logger.debug("event=liveness_asked message=%r", format % args)
