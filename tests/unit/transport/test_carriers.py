"""Every carrier sends what it is given and brings back what came; over real sockets."""

from __future__ import annotations

import asyncio
import gc
import gzip
import math
import ssl
import threading
import time
from pathlib import Path

import pytest

from exospherehost import APIConnectionError, Timeouts
from exospherehost._transport import httpx_carrier, pyreqwest_carrier
from exospherehost_client.types import Request
from tests._support.carriers import CARRIERS, HTTPX, KEY, PYREQWEST, MakeCarrier, opened
from tests._support.certificates import make_certificate
from tests._support.eventually import eventually
from tests._support.http_service import Answer, HttpService
from tests._support.raw_service import OK, Connection, RawService, answer_always

POST = Request("POST", "/v0/report", headers={"content-type": "application/json"}, content=b'{"a": 1}')

both = pytest.mark.parametrize("make", CARRIERS, ids=repr)


def answering(data: bytes) -> RawService:
    """A service that gives these bytes in answer to each request."""

    async def script(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.send(data)

    return RawService(script)


def header_lines(head: bytes) -> list[tuple[str, str]]:
    """The names, in lower case, and values of a request's headers."""
    lines = head.decode("ascii").split("\r\n")[1:-2]
    return [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]


# ---- what goes out ---------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize("content", [None, b"", b"{}", "ümläut".encode(), b"x" * 1_000_000], ids=lambda c: str(c)[:9])
async def test_method_and_body_arrive(make: MakeCarrier, method: str, content: bytes | None) -> None:
    with HttpService(lambda _: Answer(200, {})) as service:
        async with opened(make, service.uri) as carrier:
            await carrier.send(Request(method, "/v0/x", content=content))

    (asked,) = service.asked
    assert (asked.method, asked.path, asked.content) == (method, "/v0/x", content or b"")


@pytest.mark.parametrize("make", [HTTPX], ids=repr)
async def test_names_of_dots_are_no_steps_up(make: MakeCarrier) -> None:
    async with RawService(answer_always) as service, opened(make, service.uri) as carrier:
        await carrier.send(Request("GET", "/v0/%2E%2E/%2E/x"))

    assert service.requests[0].split(b"\r\n")[0] == b"GET /v0/%2E%2E/%2E/x HTTP/1.1"


@both
async def test_target_stands_in_the_request_line_as_it_was_built(make: MakeCarrier) -> None:
    request = Request("GET", "/v0/a%20b%5Cc%3F/%2Fx/..%2E/%C3%BC", params={"q": "a b&c"})
    async with RawService(answer_always) as service, opened(make, f"{service.uri}/base/path") as carrier:
        await carrier.send(request)

    assert service.requests[0].split(b"\r\n")[0] == (
        b"GET /base/path/v0/a%20b%5Cc%3F/%2Fx/..%2E/%C3%BC?q=a+b%26c HTTP/1.1"
    )


@both
async def test_each_header_goes_out_once_and_the_right_one_wins(make: MakeCarrier) -> None:
    headers = {
        "User-Agent": "mine/2",
        "X-API-Key": "not this one",
        "Content-Type": "text/plain",
        "X-Tenant": "seven",
        "HOST": "state-manager.example",
    }
    async with RawService(answer_always) as service, opened(make, service.uri, headers=headers) as carrier:
        await carrier.send(POST)
        await carrier.send(Request("GET", "/", headers={"Prefer": "wait=5"}))

    first, second = (header_lines(head) for head in service.requests)
    for sent in (first, second):
        names = [name for name, _ in sent]
        assert sorted(names) == sorted(set(names))
        assert {("user-agent", "mine/2"), ("x-api-key", KEY), ("x-tenant", "seven")} <= set(sent)
        assert ("host", "state-manager.example") in sent
    assert ("content-type", "application/json") in first
    assert ("content-length", "8") in first
    assert ("prefer", "wait=5") in second


@both
async def test_user_agent_is_the_sdks_by_default(make: MakeCarrier) -> None:
    async with RawService(answer_always) as service, opened(make, service.uri) as carrier:
        await carrier.send(POST)

    assert ("user-agent", "the-sdk/1.0") in header_lines(service.requests[0])


# ---- what comes back -------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("status", [200, 201, 204, 304, 400, 404, 429, 500, 503])
async def test_every_status_is_an_answer(make: MakeCarrier, status: int) -> None:
    body = b"" if status in {204, 304} else b'{"detail": "x"}'
    head = f"HTTP/1.1 {status} Whatever\r\nretry-after: 3\r\ncontent-length: {len(body)}\r\n\r\n"
    async with answering(head.encode() + body) as service, opened(make, service.uri) as carrier:
        answer = await carrier.send(POST)
        again = await carrier.send(POST)

    assert (answer.status_code, answer.content, answer.headers["Retry-After"]) == (status, body, "3")
    assert again.status_code == status
    assert service.connections == 1


@both
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(make: MakeCarrier, status: int) -> None:
    head = f"HTTP/1.1 {status} Elsewhere\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n".encode()
    async with answering(head) as service, opened(make, service.uri) as carrier:
        answer = await carrier.send(POST)

    assert (answer.status_code, answer.headers["location"]) == (status, "/other")
    assert len(service.requests) == 1


@both
async def test_headers_are_found_in_any_case_and_joined(make: MakeCarrier) -> None:
    data = b"HTTP/1.1 200 OK\r\nX-One: 1\r\nx-two: a\r\nX-Two: b\r\ncontent-length: 2\r\n\r\n{}"
    async with answering(data) as service, opened(make, service.uri) as carrier:
        headers = (await carrier.send(POST)).headers

    assert headers["x-one"] == headers["X-ONE"] == headers.get("X-one") == "1"
    assert headers["x-two"] == "a, b"
    assert {name.lower(): value for name, value in headers.items()} == {
        "x-one": "1",
        "x-two": "a, b",
        "content-length": "2",
    }
    assert "x-three" not in headers
    assert headers.get("x-three") is None


@both
async def test_header_that_is_not_ascii_spoils_no_other(make: MakeCarrier) -> None:
    data = b"HTTP/1.1 200 OK\r\nx-name: caf\xe9 \xff\r\nx-other: 1\r\ncontent-length: 2\r\n\r\n{}"
    async with answering(data) as service, opened(make, service.uri) as carrier:
        headers = (await carrier.send(POST)).headers

    headers.get("x-name")
    assert headers["x-other"] == "1"
    assert dict(headers)["x-other"] == "1"
    assert "x-other" in repr(headers)


@both
async def test_compressed_body_arrives_plain(make: MakeCarrier) -> None:
    packed = gzip.compress(b'{"a": 1}')
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(packed)}\r\n\r\n"
    async with answering(head.encode() + packed) as service, opened(make, service.uri) as carrier:
        answer = await carrier.send(POST)

    assert answer.content == b'{"a": 1}'


@both
@pytest.mark.parametrize("size", [0, 1, 5_000_000])
async def test_body_is_bytes_of_any_size(make: MakeCarrier, size: int) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n"
    async with answering(head.encode() + b"y" * size) as service, opened(make, service.uri) as carrier:
        answer = await carrier.send(POST)

    assert type(answer.content) is bytes
    assert answer.content == b"y" * size


# ---- time ------------------------------------------------------------------------------------------


@both
async def test_read_timeout_holds_between_two_parts_and_not_for_the_whole(make: MakeCarrier) -> None:
    parts = 6

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(f"HTTP/1.1 200 OK\r\ncontent-length: {parts}\r\n\r\n".encode())
        for _ in range(parts):
            await asyncio.sleep(0.25)
            await connection.send(b"z")

    async with RawService(script) as service, opened(make, service.uri, timeouts=Timeouts(read=1.0)) as carrier:
        started = time.monotonic()
        answer = await carrier.send(POST)

    assert time.monotonic() - started > 1.0
    assert answer.content == b"z" * parts


@both
async def test_held_request_outlasts_every_timeout_but_that_of_reading(make: MakeCarrier) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await asyncio.sleep(0.6)
        await connection.send(OK)

    timeouts = Timeouts(connect=0.3, read=20, write=0.3, pool=0.3)
    async with RawService(script) as service, opened(make, service.uri, timeouts=timeouts) as carrier:
        assert (await carrier.send(POST)).status_code == 200


@both
@pytest.mark.parametrize("seconds", [math.inf, 1e15])
async def test_timeout_may_be_for_ever(make: MakeCarrier, seconds: float) -> None:
    async with RawService(answer_always) as service, opened(make, service.uri, timeouts=seconds) as carrier:
        assert (await carrier.send(POST)).status_code == 200


# ---- connections -----------------------------------------------------------------------------------


@both
async def test_one_after_the_other_takes_one_connection(make: MakeCarrier) -> None:
    async with RawService(answer_always) as service, opened(make, service.uri) as carrier:
        for _ in range(20):
            await carrier.send(POST)

    assert service.connections == 1


@both
async def test_many_at_once_keep_to_the_limit(make: MakeCarrier) -> None:
    async with RawService(answer_always) as service, opened(make, service.uri) as carrier:
        answers = await asyncio.gather(*(carrier.send(POST) for _ in range(3 * make.most_connections)))
        again = await asyncio.gather(*(carrier.send(POST) for _ in range(3 * make.most_connections)))

    assert {answer.status_code for answer in answers + again} == {200}
    # pyreqwest limits requests: now and then it opens a connection that a free one has made needless.
    assert 1 < service.connections < 2 * make.most_connections


@both
async def test_connection_that_was_idle_for_long_is_not_used(
    make: MakeCarrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (httpx_carrier, pyreqwest_carrier):
        monkeypatch.setattr(module, "IDLE_SECONDS", 0.2)
    async with RawService(answer_always) as service, opened(make, service.uri) as carrier:
        await carrier.send(POST)
        idle_since = time.monotonic()
        await eventually(lambda: time.monotonic() > idle_since + 0.3)
        await carrier.send(POST)

    assert service.connections == 2


@both
async def test_closing_ends_idle_connections_and_refuses_more(make: MakeCarrier) -> None:
    async with RawService(answer_always) as service:
        carrier = make(service.uri)
        await asyncio.gather(*(carrier.send(POST) for _ in range(5)))
        await carrier.aclose()
        await carrier.aclose()

        await eventually(lambda: service.open_connections == 0)
        with pytest.raises(APIConnectionError, match="closed") as caught:
            await carrier.send(POST)

    assert not caught.value.sent
    assert len(service.requests) == 5


async def test_closing_fails_what_is_under_way() -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.wait()

    async with RawService(script) as service:
        carrier = PYREQWEST(service.uri)
        call = asyncio.ensure_future(carrier.send(POST))
        await eventually(lambda: service.requests)
        await carrier.aclose()
        with pytest.raises(APIConnectionError) as caught:
            await call

    assert caught.value.sent


async def test_carrier_that_nobody_closes_leaves_no_connection() -> None:
    async with RawService(answer_always) as service:
        carrier = PYREQWEST(service.uri)
        await carrier.send(POST)
        del carrier
        gc.collect()

        await eventually(lambda: service.open_connections == 0)


@both
async def test_cancelled_request_disturbs_no_other(make: MakeCarrier) -> None:
    async def script(connection: Connection) -> None:
        while True:
            if b"/held" in await connection.request():
                await connection.wait()
            await connection.send(OK)

    async with RawService(script) as service, opened(make, service.uri) as carrier:
        for round_ in range(1, 4):
            call = asyncio.ensure_future(carrier.send(Request("POST", "/held")))
            await eventually(lambda round_=round_: sum(b"/held" in head for head in service.requests) == round_)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert (await carrier.send(POST)).content == b"{}"


@both
async def test_cancellation_that_comes_with_the_response_is_heard(make: MakeCarrier) -> None:
    arrived, released = threading.Semaphore(0), threading.Semaphore(0)

    def answer(_: object) -> Answer:
        arrived.release()
        released.acquire(timeout=20)
        return Answer(200, {})

    with HttpService(answer) as service:
        async with opened(make, service.uri) as carrier:
            for _ in range(20):
                call = asyncio.ensure_future(carrier.send(POST))
                await eventually(lambda: arrived.acquire(blocking=False))
                released.release()
                # Holds up the loop, so that the response is there when the cancellation comes.
                threading.Event().wait(0.02)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call


# ---- TLS -------------------------------------------------------------------------------------------


@both
async def test_verification_can_be_switched_off(make: MakeCarrier, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, "server")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.certificate, certificate.key)
    async with RawService(answer_always, tls=context) as service, opened(make, service.uri, verify=False) as carrier:
        assert (await carrier.send(POST)).status_code == 200
