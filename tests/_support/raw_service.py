"""A service on a real socket that does to each connection what a test says, byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeAlias

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class Connection:
    """One connection as the service has it.

    Attributes:
        number: counted from 1.
    """

    def __init__(
        self, service: RawService, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.number = number
        self._service = service
        self._reader = reader
        self._writer = writer

    async def request(self) -> bytes:
        """Read one request to its end; returns and records its head."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")), 0)
        await self._reader.readexactly(length)
        self._service.requests.append(head)
        return head

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def closed_by_client(self) -> None:
        """Close this side, and wait until the client has closed its own."""
        self._writer.write_eof()
        while await self._reader.read(65536):
            pass

    async def wait(self) -> None:
        """Do nothing until the service ends."""
        await self._service.ended.wait()

    def reset(self) -> None:
        """End the connection with RST."""
        raw: socket.socket = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.close()


Script: TypeAlias = Callable[[Connection], Awaitable[None]]


class RawService:
    """Runs `script(connection)` for each connection, on the test's own event loop; closes it afterwards.

    Attributes:
        requests: the heads of all requests that came whole.
        connections: how many were opened.
        open_connections: how many scripts have not ended.
        ended: set when the service ends.
    """

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.open_connections = 0
        self.ended = asyncio.Event()
        self._script = script
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def address(self) -> str:
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def uri(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.address}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self.ended.set()
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        task = asyncio.ensure_future(self._run(Connection(self, self.connections, reader, writer), writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, connection: Connection, writer: asyncio.StreamWriter) -> None:
        self.open_connections += 1
        try:
            # The client may go at any moment.
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._script(connection)
        finally:
            self.open_connections -= 1
            writer.close()


async def answer_always(connection: Connection) -> None:
    """A script: answer every request with an empty JSON object."""
    while True:
        await connection.request()
        await connection.send(OK)
