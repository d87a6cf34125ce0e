"""What a client may make the server hold and wait for, on the level of connections.

uvicorn bounds how long a connection may rest between requests, and nothing else: heads without end, bodies that never
come and answers that nobody reads would be held for as long as the client likes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from exospherehost.server.domain.ids import new_uuid
from exospherehost.server.http.middleware import REQUEST_ID
from exospherehost.server.http.request_bodies import BODY_LATE

if sys.platform != "win32":
    import resource

logger = logging.getLogger(__name__)

LARGEST_HEAD = 64 * 1024
"""The most bytes of a request's first line and headers."""

LEAST_PACE = 16 * 1024
"""How many bytes of a body a second are fast enough, however long it takes."""

_MOST_DISCARDED = 16 * 1024 * 1024
_UNREAD_SECONDS = 60.0
_SPARE_DESCRIPTORS = 64
_MOST_DESCRIPTORS = 65_536


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, for clients that are slow, silent or without end.

    Attributes:
        most_connections: How many there may be at once; further ones are closed at once.
        patience: How long a head may take to arrive, and how long a body may pause for, in seconds.
    """

    most_connections = 10_000
    patience = 30.0

    _timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None
    _in_head = False
    _in_message = False
    _fed = 0
    _body_bytes = 0
    _discarded = 0
    _began_at = 0.0
    _unread = 0
    _refusal = 400

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, if there are not too many."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self.connections.discard(self)
            transport.abort()
            return
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of a connection."""
        self._stop_timer()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what came, as far as it may be read."""
        # What follows a head in the same segment, a body or further requests, is no part of it.
        while self._in_head and self._fed + len(data) > LARGEST_HEAD:
            room = LARGEST_HEAD - self._fed
            if room <= 0:
                self._refuse(431)
                return
            head, data = data[:room], data[room:]
            self._fed += room
            super().data_received(head)
            if self.transport.is_closing():
                self._stop_timer()
                return
        if self._in_head:
            self._fed += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            self._stop_timer()
        elif self._timer is None and self.timeout_keep_alive_task is None and self._awaits_client():
            self._start_timer()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._in_head = self._in_message = True
        self._fed = self._body_bytes = self._discarded = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer, which comes after the body, is dropped: nobody has judged the request by it."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer a request, unless its head is too large."""
        self._in_head = False
        self._stop_timer()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > LARGEST_HEAD:
            self._refusal = 431
            raise ValueError("the head is too large")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body, or throw it away once the request has been answered."""
        self._body_bytes += len(body)
        if self.cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > _MOST_DISCARDED:
                self.transport.abort()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._in_message = False
        self._stop_timer()
        super().on_message_complete()
        if self.cycle.response_complete and self.timeout_keep_alive_task is None:
            # Answered before it had come whole, and so after uvicorn began to wait for the next one.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def pause_writing(self) -> None:
        """Note that the client does not read what it is sent."""
        super().pause_writing()
        if self._unread_timer is None:
            self._unread = self.transport.get_write_buffer_size()
            self._unread_timer = self.loop.call_later(_UNREAD_SECONDS, self._check_reader)

    def resume_writing(self) -> None:
        """Note that the client reads."""
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be read as a request."""
        status = HTTPStatus(self._refusal)
        detail = "The head of the request is too large" if status == 431 else msg
        body = json.dumps({"detail": detail}).encode("ascii")
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n{REQUEST_ID.decode('ascii')}: {new_uuid()}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()

    def _awaits_client(self) -> bool:
        # None until the first request: uvicorn does not say so.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return self._in_message or cycle is None or cycle.response_complete

    def _refuse(self, status: int) -> None:
        self._refusal = status
        self.send_400_response("")

    def _start_timer(self) -> None:
        self._began_at = self.loop.time()
        self._timer = self.loop.call_later(self.patience, self._check_sender)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_sender(self) -> None:
        """Give up on a head or a body that has not come in time; a body may take long if it comes steadily."""
        self._timer = None
        if self.transport.is_closing():
            return
        if self._in_head or not self._in_message:
            logger.debug("event=head_late address=%s", self.client and self.client[0])
            self.transport.close()
            return
        due = self._began_at + self.patience + self._body_bytes / LEAST_PACE
        if self.flow.read_paused:
            # It is the server that does not take more.
            due = self.loop.time() + self.patience
        if due > self.loop.time():
            self._timer = self.loop.call_later(due - self.loop.time(), self._check_sender)
            return
        logger.debug("event=body_late address=%s bytes=%d", self.client and self.client[0], self._body_bytes)
        if self.cycle.response_complete:
            self.transport.abort()
            return
        self.cycle.keep_alive = False
        cast("dict[str, Any]", self.cycle.scope)[BODY_LATE] = True
        self.cycle.more_body = False
        self.cycle.message_event.set()

    def _check_reader(self) -> None:
        """Give up on a client that has read nothing for long."""
        unread = self.transport.get_write_buffer_size()
        if unread >= self._unread:
            logger.debug("event=answer_unread address=%s bytes=%d", self.client and self.client[0], unread)
            self._unread_timer = None
            self.transport.abort()
            return
        self._unread = unread
        self._unread_timer = self.loop.call_later(_UNREAD_SECONDS, self._check_reader)


def bounded_protocol(most_connections: int, patience: float) -> type[BoundedProtocol]:
    """Return the protocol with these bounds, and fewer connections where the system allows fewer open files."""
    allowed = most_connections
    if sys.platform != "win32":
        soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY:
            allowed = min(allowed, soft - _SPARE_DESCRIPTORS)
    bounds: dict[str, Any] = {"most_connections": max(allowed, 1), "patience": patience}
    return type("BoundedProtocol", (BoundedProtocol,), bounds)


def allow_open_files() -> None:
    """Let this process open more files than it is started with, as far as the system lets it: connections are files."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
