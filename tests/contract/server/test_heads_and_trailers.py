"""The head of a request counts alone, however it arrives, and trailers are no headers."""

from __future__ import annotations

import socket
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from exospherehost.server import ServerThread

BODY = b"x" * 70_000


def speak(server: ServerThread, *parts: bytes, until: bytes = b"", answers: int = 1) -> bytes:
    """Send parts, each in a segment of its own, and return what comes back, up to some answers."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received = b""
        for index, part in enumerate(parts):
            connection.sendall(part)
            if index < len(parts) - 1:
                # Only an answer to something of it shows that a segment was read: ask in between.
                connection.settimeout(0.2)
                with suppress(TimeoutError):
                    received += connection.recv(65_536)
                connection.settimeout(20)
        while received.count(b"HTTP/1.1 ") < answers or not received.endswith(until):
            chunk = connection.recv(65_536)
            if not chunk:
                break
            received += chunk
    return received


def head(server: ServerThread, key: str, length: int, *extra: str) -> bytes:
    lines = [
        "PUT /v0/namespace/ns/nodes/ HTTP/1.1",
        f"Host: {urlsplit(server.url).netloc}",
        f"x-api-key: {key}",
        "Content-Type: application/json",
        f"Content-Length: {length}",
        *extra,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@pytest.mark.parametrize("cut", [1, 40, -3])
def test_a_head_in_two_segments_before_a_large_body_is_taken(server: ServerThread, cut: int) -> None:
    whole = head(server, server.api_key, len(BODY))

    answer = speak(server, whole[:cut], whole[cut:] + BODY)

    # The body is no JSON, which only a request that was taken can be told.
    assert answer.startswith(b"HTTP/1.1 422")


def test_many_pipelined_requests_are_taken(server: ServerThread) -> None:
    one = f"GET /health HTTP/1.1\r\nHost: h\r\nx-api-key: {server.api_key}\r\nx-pad: {'p' * 2_000}\r\n\r\n".encode()

    answer = speak(server, one[:10], one[10:] + one * 99, answers=100)

    assert answer.count(b"HTTP/1.1 200") == 100


@pytest.mark.parametrize("cut", [0, 20])
def test_a_head_that_is_too_large_is_refused(server: ServerThread, cut: int) -> None:
    large = head(server, server.api_key, 0, f"x-pad: {'p' * 80_000}")

    assert speak(server, large[:cut], large[cut:]).startswith(b"HTTP/1.1 431")


def test_a_key_in_a_trailer_opens_nothing(server: ServerThread) -> None:
    chunked = (
        b"PUT /v0/namespace/ns/nodes/ HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + f"x-api-key: {server.api_key}\r\n\r\n".encode()
    )

    assert speak(server, chunked).startswith(b"HTTP/1.1 401")
