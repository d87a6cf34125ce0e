"""The leanest HTTP client: a socket, no time-outs, no TLS, no pool, nothing tried again. A bound, not a candidate."""

import asyncio
from urllib.parse import urlsplit


class LeanConnection(asyncio.Protocol):
    """One keep-alive connection that carries one request at a time."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what requests are written to."""
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the one who waits know."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the connection was closed"))

    def data_received(self, data: bytes) -> None:
        """Put an answer together."""
        received = self._received = self._received + data if self._received else data
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return
        at = received.find(b"content-length: ", 0, end) + 16
        length = int(received[at : received.find(b"\r", at)])
        if len(received) < end + 4 + length:
            return
        answer, self._answer, self._received = self._answer, None, b""
        if answer is None:
            raise RuntimeError("an answer without a request")
        if received.startswith(b"HTTP/1.1 2"):
            answer.set_result(received[end + 4 :])
        else:
            answer.set_exception(RuntimeError(received[:60].decode()))

    async def post(self, path: bytes, body: bytes, more: bytes = b"") -> bytes:
        """Send a request and return the body of its answer."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(b"POST %s%s%scontent-length: %d\r\n\r\n%s" % (path, self._head, more, len(body), body))
        return await self._answer


async def connect(url: str, key: str) -> LeanConnection:
    """Open a connection."""
    address = urlsplit(url)
    head = f" HTTP/1.1\r\nhost: {address.netloc}\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n".encode()
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: LeanConnection(head), address.hostname or "", address.port or 80
    )
    return connection
