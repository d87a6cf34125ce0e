"""The generated client against a real HTTP server."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import httpx
import pytest

from exospherehost_client import AuthenticatedClient
from exospherehost_client.api.nodes import list_namespaces, list_nodes
from exospherehost_client.api.runs import stream_run_events
from exospherehost_client.api.service import get_health
from exospherehost_client.api.states import report_executed
from exospherehost_client.errors import InvalidResponse, StatusError, UndocumentedStatus
from exospherehost_client.models import ExecutedRequest

KEY = "key-of-the-socket"
EVENTS = 'id: 1\nevent: state\ndata: {"event_id":"1"}\n\n'


class Handler(BaseHTTPRequestHandler):
    """Answers by the namespace in the path, and notes what came."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[tuple[str, str, str | None, bytes]]] = []
    connections: ClassVar[set[Any]] = set()

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.seen.append((self.command, self.path, self.headers.get("x-api-key"), body))
        self.connections.add(self.client_address)
        status, kind, content = self.plan()
        self.send_response_only(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        if status == 307:
            self.send_header("location", "/health")
        self.end_headers()
        self.wfile.write(content)

    def plan(self) -> tuple[int, str, bytes]:
        html = b"<html>gateway</html>"
        if self.path == "/health":
            return 200, "application/json", b'{"status": "ok", "version": "1"}'
        if self.path.endswith("/events"):
            return 200, "text/event-stream; charset=utf-8", EVENTS.encode()
        if self.path.endswith("/executed"):
            return 200, "application/json", b'{"status": "EXECUTED"}'
        namespace = self.path.split("/")[3]
        nodes = json.dumps({"namespace": namespace, "count": 0, "nodes": []}).encode()
        return {
            "html": (200, "text/html", html),
            "gateway": (502, "text/html", html),
            "teapot": (520, "text/html", html),
            "moved": (307, "text/plain", b""),
            "unknown": (404, "application/json", b'{"detail": "Not Found"}'),
        }.get(namespace, (200, "application/json", nodes))

    do_GET = answer  # noqa: N815 - the standard library's names
    do_POST = answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class has it
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


@pytest.fixture
def seen() -> list[tuple[str, str, str | None, bytes]]:
    Handler.seen.clear()
    Handler.connections.clear()
    return Handler.seen


@pytest.mark.parametrize("namespace", ["billing", "a%b", "grün weiß", "a?b", ".."])
def test_a_path_arrives_as_it_was_encoded(server: str, seen: list[Any], namespace: str) -> None:
    path = list_nodes.build_request(namespace).path
    with AuthenticatedClient(server, KEY) as client:
        assert list_nodes.sync(namespace, client=client).namespace == path.split("/")[3]
    assert seen == [("GET", path, KEY, b"")]


async def test_an_async_report_arrives(server: str, seen: list[Any]) -> None:
    async with AuthenticatedClient(server, KEY) as client:
        done = await report_executed.asyncio_detailed(
            "billing", "65f0c0ffee0123456789abcf", client=client, body=ExecutedRequest(outputs=[])
        )
    assert (done.status_code, done.parsed.status, done.headers["Content-Type"]) == (200, "EXECUTED", "application/json")
    assert seen == [("POST", "/v0/namespace/billing/state/65f0c0ffee0123456789abcf/executed", KEY, b'{"outputs":[]}')]


def test_a_connection_is_kept(server: str, seen: list[Any]) -> None:
    with AuthenticatedClient(server, KEY) as client:
        assert [get_health.sync(client=client).status for _ in range(3)] == ["ok"] * 3
    assert len(seen) == 3
    assert len(Handler.connections) == 1


@pytest.mark.parametrize(
    ("namespace", "error", "status"),
    [
        ("html", InvalidResponse, 200),
        ("gateway", UndocumentedStatus, 502),
        ("teapot", UndocumentedStatus, 520),
        ("moved", UndocumentedStatus, 307),
        ("unknown", StatusError, 404),
    ],
)
def test_errors_arrive(server: str, seen: list[Any], namespace: str, error: type[Any], status: int) -> None:
    with AuthenticatedClient(server, KEY) as client, pytest.raises(error) as caught:
        list_nodes.sync(namespace, client=client)
    assert (type(caught.value), caught.value.status_code, len(seen)) == (error, status, 1)


def test_events_are_read_whole_or_as_they_come(server: str, seen: list[Any]) -> None:
    with AuthenticatedClient(server, KEY) as client:
        assert stream_run_events.sync("billing", "run", client=client, last_event_id="0") == EVENTS
        with client.stream(stream_run_events.build_request("billing", "run")) as response:
            assert list(response.iter_lines()) == EVENTS.splitlines()
    assert [each[2] for each in seen] == [KEY, KEY]


async def test_events_are_read_as_they_come_by_asyncio(server: str, seen: list[Any]) -> None:
    request = stream_run_events.build_request("billing", "run")
    async with AuthenticatedClient(server, KEY) as client, client.stream_async(request) as response:
        assert [line async for line in response.aiter_lines()] == EVENTS.splitlines()
    assert len(seen) == 1


def test_no_server_is_a_connect_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with AuthenticatedClient(url, KEY) as client, pytest.raises(httpx.ConnectError):
            list_namespaces.sync(client=client)


def test_a_server_that_says_nothing_is_a_read_time_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with AuthenticatedClient(url, KEY, timeout=0.05) as client, pytest.raises(httpx.ReadTimeout):
            list_namespaces.sync(client=client)
