"""A small HTTP service on a real socket, which records what it is asked and answers as a test says."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Answer:
    """What the service answers: a JSON value, or bytes as they are, or parts one by one until the connection ends."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    parts: Iterable[bytes] | None = None


DROP = Answer(status=0)
"""Closes the connection in place of an answer."""


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    content: bytes
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class HttpService:
    """Answers each request with `answer(asked)`, every connection in a thread of its own.

    Attributes:
        asked: all requests, in order.
        connections: how many connections were opened.
        open_connections: how many of them are open now.
    """

    def __init__(self, answer: Callable[[Asked], Answer], *, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self.connections = 0
        self.open_connections = 0
        self._lock = threading.Lock()
        self._answer = answer
        self._tls = tls
        self._server = _Server(("127.0.0.1", 0), self._handler_class())
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="test-http-service")

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def uri(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def paths(self, method: str | None = None) -> list[str]:
        """The paths asked for so far."""
        with self._lock:
            return [asked.path for asked in self.asked if method in (None, asked.method)]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler_class(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Without it, headers and body in two packets wait for each other.
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                with service._lock:
                    service.connections += 1
                    service.open_connections += 1
                    self.number = service.connections

            def finish(self) -> None:
                super().finish()
                with service._lock:
                    service.open_connections -= 1

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except (ConnectionError, ssl.SSLError):
                    self.close_connection = True

            def answer(self) -> None:
                content = self.rfile.read(int(self.headers.get("content-length") or 0))
                asked = Asked(self.command, self.path, dict(self.headers.items()), content, self.number)
                with service._lock:
                    service.asked.append(asked)
                answer = service._answer(asked)
                if answer is DROP:
                    self.close_connection = True
                    return
                _send(self, answer)

            do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Say nothing."""

        return Handler


def _send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    handler.send_response(answer.status)
    handler.send_header("content-type", answer.content_type)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    if answer.parts is None:
        parts: Iterable[bytes] = [answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()]
        handler.send_header("content-length", str(sum(map(len, parts))))
    else:
        parts, handler.close_connection = answer.parts, True
        handler.send_header("connection", "close")
    handler.end_headers()
    for part in parts:
        handler.wfile.write(part)


class _Server(ThreadingHTTPServer):
    # A test that leaves a connection open ends all the same; whether it does is asserted where it matters.
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
