"""A proxy between a runtime and a real state manager, over real sockets, that spoils what it is told to spoil."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeAlias
from urllib.parse import urlsplit

import httptools

_CHUNK = 256 * 1024
_OPERATIONS = tuple(
    (method, re.compile(path), name)
    for method, path, name in (
        ("PUT", r".*/nodes/", "register"),
        ("POST", r".*/states/enqueue", "claim"),
        ("POST", r".*/states/renew", "renew"),
        ("POST", r".*/states/report", "report"),
        ("POST", r".*/state/[^/]+/executed", "executed"),
        ("POST", r".*/state/[^/]+/errored", "errored"),
        ("POST", r".*/state/[^/]+/prune", "prune"),
        ("POST", r".*/state/[^/]+/re-enqueue-after", "requeue"),
        ("GET", r".*/state/[^/]+/secrets", "secrets"),
        ("GET", r"/openapi\.json", "document"),
    )
)
REPORTS = frozenset({"report", "executed", "errored", "prune", "requeue"})
"""The operations that tell what became of states."""

# Belong to one connection, or are written anew.
_OF_THE_HOP = frozenset({b"connection", b"content-length", b"keep-alive", b"transfer-encoding"})


# ---- what can be done to a request ---------------------------------------------------------------


@dataclass(frozen=True)
class ResetBefore:
    """Reset the connection (RST) in place of forwarding."""


@dataclass(frozen=True)
class ResetAfter:
    """Forward, then reset the connection (RST) in place of answering."""


@dataclass(frozen=True)
class DropResponse:
    """Forward, then close the connection in place of answering."""


@dataclass(frozen=True)
class SlowHeaders:
    """Forward, then keep the whole response back for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Truncate:
    """Forward, and answer with half of the body; the length given is the whole one's, or the half one's."""

    keep_length: bool


@dataclass(frozen=True)
class Answer:
    """Answer in the service's stead."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Repeat:
    """Answer a claim with what an earlier claim was answered, if one brought states; else forward it."""


Action: TypeAlias = ResetBefore | ResetAfter | DropResponse | SlowHeaders | Truncate | Answer | Repeat

HTML_FAILURE = Answer(
    500, b"<html><body><h1>500 Internal Server Error</h1>nginx</body></html>", {"content-type": "text/html"}
)
UNAUTHORISED = Answer(401, b'{"detail":"Invalid API key"}', {"content-type": "application/json"})


def too_many(retry_after: str) -> Answer:
    """A 429 that says when to come back."""
    headers = {"content-type": "application/json", "retry-after": retry_after}
    return Answer(429, b'{"detail":"Too many requests"}', headers)


# ---- what has been seen --------------------------------------------------------------------------


@dataclass
class Exchange:
    """A request and what became of it.

    Attributes:
        operation: the operation's name, or "other".
        content: the request's body.
        action: what was done to it; None where it was let through.
        status: the service's status; None where it was not asked.
        answer: the service's body; empty where it was not asked.
        delivered: the client was sent the service's answer whole.
        came_at: when the request came in, on the event loop's clock.
    """

    method: str
    path: str
    operation: str
    content: bytes
    action: Action | None = None
    status: int | None = None
    answer: bytes = b""
    delivered: bool = False
    came_at: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    @property
    def claimed(self) -> list[str]:
        """The ids of the states that the service gave to this claim."""
        if self.operation != "claim" or self.status != 200:
            return []
        return [state["state_id"] for state in json.loads(self.answer)["states"]]


Matches: TypeAlias = Callable[[Exchange], bool]


def everything(_exchange: Exchange) -> bool:
    """Match every request."""
    return True


def on(*operations: str) -> Matches:
    """Match requests of these operations."""
    return lambda exchange: exchange.operation in operations


@dataclass(eq=False)
class Rule:
    """Does something to requests.

    Attributes:
        action: what is done.
        matches: to which requests.
        every: to each how-manieth of those.
        times: at most so often.
        active: whether now.
        hits: how often it has been done.
    """

    action: Action
    matches: Matches = everything
    every: int = 1
    times: int | None = None
    active: bool = True
    hits: int = 0
    _seen: int = 0

    def takes(self, exchange: Exchange) -> bool:
        """Tell whether this request's turn has come, and count it."""
        if not self.active or (self.times is not None and self.hits >= self.times) or not self.matches(exchange):
            return False
        self._seen += 1
        if self._seen % self.every:
            return False
        self.hits += 1
        return True


# ---- messages ------------------------------------------------------------------------------------


@dataclass
class _Message:
    """A request or a response, read whole."""

    target: bytes = b""
    status: int = 0
    method: str = ""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    body: bytearray = field(default_factory=bytearray)

    @property
    def may_be_held(self) -> bool:
        """Whether the service was asked to answer only once it has something to say."""
        return any(name.lower() == b"prefer" for name, _ in self.headers)

    def head(self, first_line: bytes, length: int) -> bytes:
        lines = [first_line]
        lines += [name + b": " + value for name, value in self.headers if name.lower() not in _OF_THE_HOP]
        lines.append(b"content-length: %d" % length)
        return b"\r\n".join(lines) + b"\r\n\r\n"


class _Reading:
    """Collects what httptools tells of a stream of messages."""

    def __init__(self) -> None:
        self.ended: list[_Message] = []
        self._message = _Message()

    def on_message_begin(self) -> None:
        self._message = _Message()

    def on_url(self, url: bytes) -> None:
        self._message.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._message.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self._message.body += body

    def on_message_complete(self) -> None:
        self.ended.append(self._message)


class _Service:
    """A connection to the service, for one connection of a client."""

    def __init__(self, host: str, port: int) -> None:
        self._place = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: _Message) -> _Message:
        """Forward a request, and return the response.

        Raises:
            ConnectionError: the service closed the connection.
        """
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._place)
        reader, writer = self._streams
        first_line = request.method.encode() + b" " + request.target + b" HTTP/1.1"
        writer.write(request.head(first_line, len(request.body)) + request.body)
        reading = _Reading()
        parser = httptools.HttpResponseParser(reading)
        while not reading.ended:
            data = await reader.read(_CHUNK)
            if not data:
                raise ConnectionResetError("the service closed the connection")
            parser.feed_data(data)
        response = reading.ended[0]
        response.status = parser.get_status_code()
        return response

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()


class _Gone(Exception):
    """The client's connection is over: it went away, or was sent away."""


# ---- the proxy -----------------------------------------------------------------------------------


class FaultProxy:
    """Forwards to a service what no rule takes; an async context manager.

    Args:
        service: the service's address.

    Attributes:
        exchanges: every request so far, in the order in which they came in.
    """

    def __init__(self, service: str) -> None:
        parts = urlsplit(service)
        assert parts.hostname is not None
        assert parts.port is not None
        self._service = parts.hostname, parts.port
        self._rules: list[Rule] = []
        self._listener: asyncio.Server | None = None
        self._port = 0
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.exchanges: list[Exchange] = []

    @property
    def uri(self) -> str:
        """Where a client finds it, also while it refuses connections."""
        return f"http://127.0.0.1:{self._port}"

    def add(
        self,
        action: Action,
        matches: Matches = everything,
        *,
        every: int = 1,
        times: int | None = None,
        active: bool = True,
    ) -> Rule:
        """Add a rule; of several that match a request, the first takes it."""
        rule = Rule(action, matches, every, times, active)
        self._rules.append(rule)
        return rule

    def count(self, *operations: str) -> int:
        """Tell how many requests of these operations have come in."""
        return sum(exchange.operation in operations for exchange in self.exchanges)

    def lost_claims(self) -> set[str]:
        """List the states that the service gave to claims whose answers the client cannot have read."""
        return {state_id for exchange in self.exchanges if not exchange.delivered for state_id in exchange.claimed}

    async def accept(self) -> None:
        """Listen, at the same port as before."""
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        self._port = self._listener.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Stop listening and reset every connection: from outside, a service that is down."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for task, writer in list(self._clients.items()):
            _reset(writer)
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()

    # ---- a client's connection -------------------------------------------------------------------

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._clients[task] = writer
        task.add_done_callback(lambda _: self._clients.pop(task, None))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests: asyncio.Queue[_Message] = asyncio.Queue()
        answering = asyncio.ensure_future(self._answer_each(requests, writer))
        reading = asyncio.ensure_future(_read(reader, requests))
        try:
            # A client that goes away ends the answering too, and with it the request to the service.
            await asyncio.wait((answering, reading), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (answering, reading):
                task.cancel()
            ends = await asyncio.gather(answering, reading, return_exceptions=True)
            writer.transport.abort()
        for end in ends:
            if isinstance(end, Exception) and not isinstance(end, _Gone | OSError):
                raise end

    async def _answer_each(self, requests: asyncio.Queue[_Message], writer: asyncio.StreamWriter) -> None:
        service = _Service(*self._service)
        try:
            while True:
                await self._answer(await requests.get(), service, writer)
        finally:
            service.close()

    async def _answer(self, request: _Message, service: _Service, writer: asyncio.StreamWriter) -> None:
        path = request.target.decode()
        exchange = Exchange(request.method, path, _operation(request.method, path), bytes(request.body))
        exchange.action = next((rule.action for rule in self._rules if rule.takes(exchange)), None)
        earlier = self._earlier_claim(exchange) if isinstance(exchange.action, Repeat) else None
        self.exchanges.append(exchange)
        if isinstance(exchange.action, Answer):
            await _write(writer, _made(exchange.action))
            return
        if earlier is not None:
            await _write(writer, _made(Answer(200, earlier, {"content-type": "application/json"})))
            return
        if isinstance(exchange.action, ResetBefore):
            _reset(writer)
            raise _Gone
        asking = asyncio.ensure_future(service.ask(request))
        try:
            response = await asyncio.shield(asking)
        except asyncio.CancelledError:
            if not request.may_be_held:
                # What the service did must be known, also where nobody waits for it any more.
                await asyncio.wait((asking,))
                if asking.exception() is None:
                    exchange.status, exchange.answer = asking.result().status, bytes(asking.result().body)
            asking.cancel()
            raise
        exchange.status, exchange.answer = response.status, bytes(response.body)
        await self._pass_on(exchange, response, writer)

    async def _pass_on(self, exchange: Exchange, response: _Message, writer: asyncio.StreamWriter) -> None:
        body = bytes(response.body)
        match exchange.action:
            case ResetAfter():
                _reset(writer)
                raise _Gone
            case DropResponse():
                writer.close()
                raise _Gone
            case Truncate(keep_length):
                half = body[: len(body) // 2]
                length = len(body) if keep_length else len(half)
                await _write(writer, response.head(b"HTTP/1.1 %d Status" % response.status, length) + half)
                if keep_length:
                    writer.close()
                    raise _Gone
                return
            case SlowHeaders(seconds):
                await asyncio.sleep(seconds)
            case _:
                pass
        await _write(writer, response.head(b"HTTP/1.1 %d Status" % response.status, len(body)) + body)
        exchange.delivered = True

    def _earlier_claim(self, claim: Exchange) -> bytes | None:
        for exchange in reversed(self.exchanges):
            if exchange.claimed and exchange.delivered and exchange.path == claim.path:
                return exchange.answer
        return None


async def _read(reader: asyncio.StreamReader, requests: asyncio.Queue[_Message]) -> None:
    reading = _Reading()
    parser = httptools.HttpRequestParser(reading)
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            parser.feed_data(data)
            for message in reading.ended:
                message.method = parser.get_method().decode()
                requests.put_nowait(message)
            reading.ended.clear()


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if writer.transport.is_closing():
        raise _Gone
    writer.write(data)
    await writer.drain()


def _made(answer: Answer) -> bytes:
    headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    first_line = b"HTTP/1.1 %d Status" % answer.status
    return _Message(headers=headers).head(first_line, len(answer.body)) + answer.body


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: Any = writer.get_extra_info("socket")
    # Closed without lingering, a connection is reset.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _operation(method: str, path: str) -> str:
    for wanted, pattern, name in _OPERATIONS:
        if method == wanted and pattern.fullmatch(path):
            return name
    return "other"
