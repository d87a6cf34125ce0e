"""Every carrier tells truly whether a request may have been seen, and sends none twice; over real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from exospherehost import APIConnectionError, APITimeoutError, Timeouts
from exospherehost_client.types import Request
from tests._support.carriers import CARRIERS, MakeCarrier, opened
from tests._support.certificates import make_certificate
from tests._support.eventually import eventually
from tests._support.raw_service import OK, Connection, RawService, Script

POST = Request("POST", "/v0/report", headers={"content-type": "application/json"}, content=b'{"a": 1}')
LARGE = Request("POST", "/v0/report", content=b"x" * 30_000_000)

pytestmark = pytest.mark.parametrize("make", CARRIERS, ids=repr)


async def closes_at_once(_: Connection) -> None:
    """Neither reads nor answers."""


async def resets_at_once(connection: Connection) -> None:
    connection.reset()


async def closes_after_reading(connection: Connection) -> None:
    await connection.request()


async def resets_after_reading(connection: Connection) -> None:
    await connection.request()
    connection.reset()


async def closes_in_the_head(connection: Connection) -> None:
    await connection.request()
    await connection.send(OK[:20])


async def closes_in_the_body(connection: Connection) -> None:
    await connection.request()
    await connection.send(OK[:-1])


async def resets_in_the_body(connection: Connection) -> None:
    await connection.request()
    await connection.send(OK[:-1])
    connection.reset()


async def speaks_no_http(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


async def answers_broken_gzip(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope")


@pytest.mark.parametrize(
    "script",
    [
        closes_at_once,
        resets_at_once,
        closes_after_reading,
        resets_after_reading,
        closes_in_the_head,
        closes_in_the_body,
        resets_in_the_body,
        speaks_no_http,
        answers_broken_gzip,
    ],
)
async def test_lost_connection_may_have_been_seen(make: MakeCarrier, script: Script) -> None:
    async with RawService(script) as service, opened(make, service.uri) as carrier:
        with pytest.raises(APIConnectionError) as caught:
            await carrier.send(POST)

    assert caught.value.sent
    assert not isinstance(caught.value, APITimeoutError)
    assert str(caught.value)
    assert service.connections == 1


async def stalls_before_reading(connection: Connection) -> None:
    await connection.wait()


async def stalls_before_the_head(connection: Connection) -> None:
    await connection.request()
    await connection.wait()


async def stalls_in_the_body(connection: Connection) -> None:
    await connection.request()
    await connection.send(OK[:-1])
    await connection.wait()


@pytest.mark.parametrize(
    ("script", "request_"),
    [
        (stalls_before_reading, POST),
        (stalls_before_reading, LARGE),
        (stalls_before_the_head, POST),
        (stalls_in_the_body, POST),
    ],
    ids=["before reading", "while being written", "before the head", "in the body"],
)
async def test_response_that_does_not_come_in_time_may_have_been_seen(
    make: MakeCarrier, script: Script, request_: Request
) -> None:
    timeouts = Timeouts(connect=20, read=0.3, write=0.3, pool=20)
    async with RawService(script) as service, opened(make, service.uri, timeouts=timeouts) as carrier:
        with pytest.raises(APITimeoutError) as caught:
            await carrier.send(request_)

    assert caught.value.sent
    assert isinstance(caught.value, TimeoutError)


async def test_refused_connection_was_never_seen(make: MakeCarrier) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        async with opened(make, f"http://127.0.0.1:{reserved.getsockname()[1]}") as carrier:
            with pytest.raises(APIConnectionError) as caught:
                await carrier.send(POST)

    assert not caught.value.sent
    assert not isinstance(caught.value, APITimeoutError)


async def test_unknown_host_was_never_reached(make: MakeCarrier) -> None:
    async with opened(make, "http://state-manager.invalid") as carrier:
        with pytest.raises(APIConnectionError) as caught:
            await carrier.send(POST)

    assert not caught.value.sent


@pytest.fixture
def silent_address() -> Iterator[str]:
    """An address whose queue of connections is full, so that connecting takes for ever."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


async def test_connection_that_does_not_open_in_time_carried_nothing(make: MakeCarrier, silent_address: str) -> None:
    timeouts = Timeouts(connect=0.2, read=20, write=20, pool=20)
    async with opened(make, f"http://{silent_address}", timeouts=timeouts) as carrier:
        with pytest.raises(APITimeoutError) as caught:
            await carrier.send(POST)

    assert not caught.value.sent


async def test_handshake_that_does_not_end_in_time_carried_nothing(make: MakeCarrier) -> None:
    timeouts = Timeouts(connect=0.3, read=20, write=20, pool=20)
    async with (
        RawService(stalls_before_reading) as service,
        opened(make, f"https://{service.address}", timeouts=timeouts) as carrier,
    ):
        with pytest.raises(APITimeoutError) as caught:
            await carrier.send(POST)

    assert not caught.value.sent


@pytest.mark.parametrize("script", [closes_at_once, resets_at_once])
async def test_broken_handshake_carried_nothing(make: MakeCarrier, script: Script) -> None:
    async with RawService(script) as service, opened(make, f"https://{service.address}") as carrier:
        with pytest.raises(APIConnectionError) as caught:
            await carrier.send(POST)

    assert not caught.value.sent


async def test_service_with_an_unknown_certificate_sees_nothing(make: MakeCarrier, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, "server")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.certificate, certificate.key)
    async with RawService(closes_after_reading, tls=context) as service, opened(make, service.uri) as carrier:
        with pytest.raises(APIConnectionError, match=r"(?i)certificate") as caught:
            await carrier.send(POST)

        assert not caught.value.sent
        assert service.requests == []


async def test_wait_for_a_place_in_the_pool_ends_before_anything_is_sent(make: MakeCarrier) -> None:
    timeouts = Timeouts(connect=20, read=20, write=20, pool=0.3)
    limit = make.most_connections
    async with RawService(stalls_before_the_head) as service, opened(make, service.uri, timeouts=timeouts) as carrier:
        held = [asyncio.ensure_future(carrier.send(POST)) for _ in range(limit)]
        await eventually(lambda: len(service.requests) == limit)
        with pytest.raises(APITimeoutError, match="pool") as caught:
            await carrier.send(POST)
        for one in held:
            one.cancel()
        await asyncio.gather(*held, return_exceptions=True)

    assert not caught.value.sent
    assert len(service.requests) == limit


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
@pytest.mark.parametrize("ending", ["close", "reset"])
async def test_request_lost_on_a_used_connection_is_not_sent_again(make: MakeCarrier, method: str, ending: str) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(OK)
        await connection.request()
        if ending == "reset":
            connection.reset()

    request = Request(method, "/v0/x", content=None if method == "GET" else b"{}")
    async with RawService(script) as service, opened(make, service.uri) as carrier:
        await carrier.send(request)
        with pytest.raises(APIConnectionError) as caught:
            await carrier.send(request)

    assert caught.value.sent
    assert len(service.requests) == 2
    assert service.connections == 1


async def test_connection_that_the_service_closed_while_idle_costs_no_request(make: MakeCarrier) -> None:
    gone: list[int] = []

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(OK)
        await connection.closed_by_client()
        gone.append(connection.number)

    async with RawService(script) as service, opened(make, service.uri) as carrier:
        for number in range(1, 4):
            await carrier.send(POST)
            if make.notices_at_once:
                await eventually(lambda number=number: number in gone)

    assert len(service.requests) == 3
    assert service.connections == 3
