from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack

import httpx
import pytest

from exospherehost.server import ServerThread
from exospherehost.server.http.connection_limits import LARGEST_HEAD
from tests._support.service import Api, connect

StartServer = Callable[..., ServerThread]
KEY = "the-key-of-the-tests"
SECONDS = 40
ENQUEUE = b"POST /v0/namespace/a/states/enqueue HTTP/1.1\r\nhost: x\r\nx-api-key: " + KEY.encode() + b"\r\n"


def open_connection(server: ServerThread) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout=SECONDS)


def received(connection: socket.socket) -> bytes:
    """Return what comes until the server closes."""
    pieces = []
    try:
        while piece := connection.recv(65_536):
            pieces.append(piece)
    except ConnectionError:
        pass
    return b"".join(pieces)


@pytest.mark.parametrize("framing", [b"content-length: 100", b"transfer-encoding: chunked"])
def test_a_body_that_is_never_finished_is_408(start_server: StartServer, framing: bytes) -> None:
    server = start_server(body_seconds=0.5)
    with open_connection(server) as connection:
        connection.sendall(ENQUEUE + b"content-type: application/json\r\n" + framing + b"\r\n\r\n")
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer
    assert b"x-exosphere-request-id: " in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"detail": "The body did not arrive in time"}


def test_a_body_that_comes_slowly_but_steadily_is_taken(start_server: StartServer) -> None:
    server = start_server(body_seconds=1)
    pieces = [b'{"nodes":[],"batch_size":1,"more":"', *[b"x" * 32_768] * 8, b'"}']
    length = sum(map(len, pieces))
    with open_connection(server) as connection:
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % length
        connection.sendall(ENQUEUE + head)
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.25)
        assert received(connection).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"POST /v0/na", b"GET /health HTTP/1.1\r\nx: y"])
def test_a_head_that_is_never_finished_ends_the_connection(start_server: StartServer, sent: bytes) -> None:
    server = start_server(body_seconds=0.5)
    with open_connection(server) as connection:
        connection.sendall(sent)
        assert received(connection) == b""


def test_a_connection_that_has_served_may_rest(start_server: StartServer) -> None:
    server = start_server(body_seconds=0.5)
    with httpx.Client(base_url=server.url) as http:
        assert http.get("/health").status_code == 200
        stream = http._transport._pool.connections[0]  # type: ignore[attr-defined]
        time.sleep(1.5)
        assert http.get("/health").status_code == 200
        assert http._transport._pool.connections == [stream]  # type: ignore[attr-defined]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_head_without_end_is_431(start_server: StartServer, at_once: bool) -> None:
    server = start_server()
    with open_connection(server) as connection:
        size = LARGEST_HEAD + 100 if at_once else 100 * LARGEST_HEAD
        try:
            connection.sendall(b"GET /health HTTP/1.1\r\nx: " + b"h" * size + (b"\r\n\r\n" if at_once else b""))
        except ConnectionError:
            assert not at_once
        answer = received(connection)
    # Who goes on sending may find the connection gone before the answer.
    assert answer.startswith(b"HTTP/1.1 431 ") or (not at_once and answer == b"")
    with connect(server) as http:
        assert http.get("/health", headers={"x": "h" * (LARGEST_HEAD - 1_000)}).status_code == 200


def test_a_body_over_the_limit_is_413_before_it_has_come(start_server: StartServer) -> None:
    server = start_server(largest_body=1_000)
    for framing in (b"content-length: 5000000000\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1_001):
        with open_connection(server) as connection:
            connection.sendall(ENQUEUE + framing)
            assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_what_comes_behind_an_answer_is_not_read_without_end(start_server: StartServer) -> None:
    server = start_server(largest_body=1_000)
    chunk = b"100000\r\n" + b"x" * 1_048_576 + b"\r\n"
    sent = 0
    with open_connection(server) as connection:
        connection.sendall(ENQUEUE + b"transfer-encoding: chunked\r\n\r\n")
        try:
            while sent < 1_000:
                connection.sendall(chunk)
                sent += 1
        except ConnectionError:
            pass
    assert sent < 1_000


def test_more_connections_than_allowed_are_closed_and_the_others_served(start_server: StartServer) -> None:
    server = start_server(most_connections=5)
    with ExitStack() as stack:
        kept = [stack.enter_context(httpx.Client(base_url=server.url)) for _ in range(5)]
        assert [http.get("/health").status_code for http in kept] == [200] * 5
        with open_connection(server) as sixth:
            assert received(sixth) == b""
        assert [http.get("/health").status_code for http in kept] == [200] * 5


def test_what_is_no_http_is_told_so_as_everything_else_is(start_server: StartServer) -> None:
    server = start_server()
    with open_connection(server) as connection:
        connection.sendall(b"HELO there\r\n\r\n")
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert set(json.loads(answer.partition(b"\r\n\r\n")[2])) == {"detail"}
    assert b"x-exosphere-request-id: " in answer


@pytest.mark.parametrize(
    "body",
    [
        b'{"nodes":[' + b"1," * 1_100_000 + b'1],"batch_size":1}',
        b'{"nodes":[],"batch_size":1,"more":[' + b"[]," * 600_000 + b"1]}",
        b'{"nodes":[],"batch_size":1,"more":' + b'{"a":' * 1_100_000,
    ],
)
def test_more_values_than_a_body_may_have_are_422_while_others_are_served(api: Api, body: bytes) -> None:
    answer = api.call("POST", "/states/enqueue", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert [issue["type"] for issue in answer.json()["detail"]] == ["too_many_values"]


def test_commas_in_texts_are_no_values(api: Api) -> None:
    body = {"nodes": [], "batch_size": 1, "more": 'a,"[{\\' * 1_000_000}
    assert api.post("/states/enqueue", body).status_code == 200


def test_very_many_violations_are_told_as_one(api: Api) -> None:
    answer = api.post("/states/enqueue", {"nodes": [1] * 200_000, "batch_size": 1})
    assert answer.status_code == 422
    assert [(issue["type"], issue["msg"]) for issue in answer.json()["detail"]] == [
        ("too_many_violations", "200000 values do not fit the schema")
    ]


def test_a_large_body_is_not_sent_back(api: Api) -> None:
    answer = api.post("/states/enqueue", {"nodes": [], "more": "x" * 1_000_000})
    assert [issue["loc"] for issue in answer.json()["detail"]] == [["body", "batch_size"]]
    assert len(answer.content) < 1_000


def test_blanks_between_preferences_cost_nothing(api: Api) -> None:
    body = {"nodes": [], "batch_size": 1}
    answer = api.call("POST", "/states/enqueue", json=body, headers={"prefer": "a" + ";  " * 1_000 + "@"})
    assert answer.status_code == 200
