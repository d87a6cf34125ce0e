"""Requests that no client would send, byte by byte, against a live server.

Whatever comes, the server answers or closes the connection within the time that a slow machine needs, never with a
5xx, and goes on serving others. `FUZZ=long FUZZ_EXAMPLES=20000` tries more; the last lines of pytest tell the counts.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exospherehost.server import ServerSettings, ServerThread
from tests._support.fuzz_counts import count, fuzz_settings
from tests._support.service import Api, connect, registration

KEY = "the-key-of-the-fuzz"
SECONDS = 60
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
STATE = "0123456789abcdef01234567"

SEGMENTS = st.sampled_from(
    [
        *(
            "a",
            "a",
            "b",
            "fuzzed",
            "..",
            ".",
            "",
            "%2f",
            "%2F",
            "%2e%2e",
            "%00",
            "%",
            "%zz",
            "%ff",
            "%ed%a0%80",
            "%c3%a9",
        ),
        *("%0d%0a", "é", "~", ";", "\\", "a b", "*", "?", "#", "@host", "1", "0", "-1", "store", "null", STATE),
        *("9" * 30, "x" * 3_000, "%41" * 1_000),
    ]
)
TEMPLATES = st.sampled_from(
    [
        "/v0/namespace/{}/nodes/",
        "/v0/namespace/{}/graph/{}",
        "/v0/namespace/{}/graphs/",
        "/v0/namespace/{}/graph/{}/trigger",
        "/v0/namespace/{}/states/enqueue",
        "/v0/namespace/{}/states/renew",
        "/v0/namespace/{}/states/report",
        "/v0/namespace/{}/state/{}/executed",
        "/v0/namespace/{}/state/{}/errored",
        "/v0/namespace/{}/state/{}/prune",
        "/v0/namespace/{}/state/{}/re-enqueue-after",
        "/v0/namespace/{}/state/{}/manual-retry",
        "/v0/namespace/{}/state/{}/secrets",
        "/v0/namespace/{}/runs/{}/{}",
        "/v0/namespace/{}/states/run/{}/graph",
        "/v0/namespace/{}/graph/{}/run/{}/node/{}",
        "/v0/namespaces",
        "/v0/namespaces/",
        "/openapi.json",
        "/health",
        "/{}",
        "/v0/{}/{}",
        "//{}",
    ]
)
PATHS = st.builds(
    lambda template, segments, query: (template.format(*segments) + query).encode("utf-8"),
    TEMPLATES,
    st.tuples(SEGMENTS, SEGMENTS, SEGMENTS, SEGMENTS),
    st.sampled_from(["", "?", "?a=b", "?é", "?%00", "?" + "q" * 5_000]),
)
METHODS = st.sampled_from(
    [
        b"GET",
        b"GET",
        b"PUT",
        b"PUT",
        b"POST",
        b"POST",
        b"POST",
        b"DELETE",
        b"PATCH",
        b"HEAD",
        b"OPTIONS",
        b"TRACE",
        b"get",
        b"\xff",
    ]
)
HEADERS = st.lists(
    st.sampled_from(
        [
            b"content-type: application/json",
            b"content-type: application/json",
            b"content-type: \xff/json",
            b"content-type: application/json; charset=utf-16",
            b"host: ",
            b"host: a\r\nhost: b",
            b"host: \xe9",
            b"host: http://x/y?z",
            b"content-length: 5",
            b"content-length: 5\r\ncontent-length: 7",
            b"content-length: -1",
            b"content-length: 99999999999999999999999",
            b"content-length: 1e3",
            b"transfer-encoding: chunked",
            b"transfer-encoding: gzip, chunked",
            b"transfer-encoding: chunked\r\ncontent-length: 3",
            b"expect: 100-continue",
            b"expect: pigs",
            b"upgrade: websocket\r\nconnection: upgrade",
            b"upgrade: h2c\r\nconnection: upgrade, http2-settings",
            b"connection: close, keep-alive",
            b"x-api-key: wrong",
            b"x-api-key: \xff",
            b"prefer: wait=0",
            b"prefer: wait=" + b"9" * 200,
            b"prefer: a" + b";  " * 60 + b"\xe9",
            b"prefer: " + b'"\\' * 500,
            b"prefer: wait=-1, wait=0",
            b"idempotency-key: \xff\xfe",
            b"idempotency-key: " + b"k" * 300,
            b"idempotency-key: a\r\nidempotency-key: b",
            b"x-exosphere-request-id: {0b0c5f0e-9f5b-4d0e-8a5e-0d3b1f6d2f11}",
            b"x-exosphere-request-id: \xff" + b"-" * 5_000,
            b"x-forwarded-for: 1.2.3.4, \xff",
            b"x-forwarded-proto: gopher",
            b"origin: http://localhost:3000",
            b"origin: null\r\naccess-control-request-method: PUT",
            b"accept-encoding: gzip;q=abc",
            b"cookie: " + b"c" * 20_000,
            b": no name",
            b"bad name: x",
            b"x\x00y: z",
            b"folded: a\r\n b",
            b"no colon at all",
            b"x: " + b"h" * 70_000,
        ]
    ),
    max_size=2,
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        [10**23, -(2**63) - 1, 2**63, "\x00", "${{a.outputs.y}}", "${{", "}}", "x" * 5_000, STATE, 1e308]
    ),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(["nodes", "name", "identifier", "secrets", "inputs", "a", "states", ""])
            | st.text(max_size=8),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)
RAW_BODIES = st.one_of(
    st.binary(max_size=200),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.sampled_from(
        [
            b"[" * 100_000,
            b'{"a":' * 50_000,
            b"[" * 1_000 + b"]" * 1_000,
            b'{"nodes":[],"batch_size":' + b"9" * 24 + b"}",
            b'{"nodes":[],"batch_size":1' + b"0" * 5_000 + b"}",
            b'{"nodes":[],"batch_size":NaN}',
            b'{"nodes":[],"batch_size":-Infinity}',
            b'{"nodes":["\\ud800"],"batch_size":1}',
            b'{"nodes":["\\u0000"],"batch_size":1}',
            b'{"nodes":["\x00"],"batch_size":1}',
            b'{"nodes":["\xff\xfe"],"batch_size":1}',
            b'{"nodes":[],"nodes":[],"batch_size":1}',
            b"\xef\xbb\xbf{}",
            '{"é":1}'.encode("utf-16"),
            b"{}" + b" " * 100_000,
            b'{"nodes":[' + b"1," * 40_000 + b'1],"batch_size":1}',
        ]
    ),
)
FRAMES = st.sampled_from([*["length"] * 20, *["chunked"] * 10, "short", "long", "none", "bad chunks"])


@pytest.fixture(scope="module")
def hasty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    """A server that does not wait long for what will never come."""
    database = tmp_path_factory.mktemp("fuzz") / "exosphere.db"
    with ServerThread(ServerSettings(api_key=KEY, database=database, port=0, body_seconds=2)) as running:
        yield running


@pytest.fixture(scope="session")
def known(server: ServerThread) -> Iterator[dict[str, str]]:
    """A namespace with a graph, a run and a claimed state."""
    with connect(server) as http:
        api = Api(http)
        api.register(registration("Step", ["x"], ["y"], ["token"]))
        api.graph("g", api.node("a", {"x": "1"}, ["b"]), api.node("b", {"x": "2"}), secrets={"token": "v"})
        run = api.trigger("g")
        yield {"namespace": api.namespace, "run": run, "state": api.claim_one()["state_id"]}


@given(method=METHODS, path=PATHS, headers=HEADERS, body=RAW_BODIES, frame=FRAMES, pieces=st.integers(1, 4))
@fuzz_settings(120)
def test_no_bytes_get_a_5xx_or_no_answer(
    hasty_server: ServerThread, method: bytes, path: bytes, headers: list[bytes], body: bytes, frame: str, pieces: int
) -> None:
    lines = [method + b" " + path + b" HTTP/1.1", *headers, b"x-api-key: " + KEY.encode()]
    sent = b"\r\n".join(_framed(lines, body, frame))
    answer = _exchange(hasty_server, sent, pieces)
    statuses = [int(status) for status in STATUS.findall(answer)]
    # Closed without an answer is what never became a request.
    count("bytes", statuses[0] if statuses else "closed")
    assert all(status < 500 for status in statuses), (statuses, sent[:2_000])


def test_then_it_still_serves_others(hasty_server: ServerThread) -> None:
    with connect(hasty_server) as http:
        api = Api(http)
        api.steps()
        api.graph("g", api.node("a"))
        run = api.trigger("g")
        assert api.work_off() == ["a"]
        assert api.statuses(run) == [("a", "SUCCESS")]


@given(data=st.data())
@fuzz_settings(150)
def test_no_change_to_a_good_body_gets_a_5xx(http: httpx.Client, known: Mapping[str, str], data: st.DataObject) -> None:
    method, path, good = data.draw(st.sampled_from(list(_good_requests(known))))
    value = good
    for _ in range(data.draw(st.integers(1, 3))):
        value = _mutated(data, value)
    body = json.dumps(value).encode()
    answer = http.request(
        method,
        f"/v0/namespace/{known['namespace']}{path}",
        content=body,
        headers={"content-type": "application/json", "prefer": "wait=0"},
    )
    count("changed bodies", answer.status_code)
    assert answer.status_code < 500, (method, path, body[:2_000])
    detail = answer.json().get("detail")
    assert answer.is_success or isinstance(detail, list if answer.status_code == 422 else str), answer.text


def _framed(lines: list[bytes], body: bytes, frame: str) -> list[bytes]:
    match frame:
        case "length":
            lines = [*lines, b"content-length: %d" % len(body)]
        case "short":
            lines = [*lines, b"content-length: %d" % (len(body) // 2)]
        case "long":
            lines = [*lines, b"content-length: %d" % (len(body) + 100)]
        case "chunked":
            lines = [*lines, b"transfer-encoding: chunked"]
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        case "bad chunks":
            lines = [*lines, b"transfer-encoding: chunked"]
            body = b"zz\r\n" + body
        case _:
            pass
    return [*lines, b"connection: close", b"", body]


def _exchange(server: ServerThread, sent: bytes, pieces: int) -> bytes:
    """Send in some pieces, and return what comes back until the server closes."""
    port = int(server.url.rsplit(":", 1)[1])
    received = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        size = len(sent) // pieces + 1
        try:
            for start in range(0, len(sent), size):
                connection.sendall(sent[start : start + size])
            while piece := connection.recv(65_536):
                received += piece
        except ConnectionError:
            # It had seen enough before all was sent.
            return bytes(received)
    return bytes(received)


def _good_requests(known: Mapping[str, str]) -> Iterator[tuple[str, str, Any]]:
    namespace, state = known["namespace"], f"/state/{known['state']}"
    node = {
        "node_name": "Step",
        "namespace": namespace,
        "identifier": "a",
        "inputs": {"x": "${{store.k}}"},
        "next_nodes": ["b"],
        "unites": None,
    }
    graph = {
        "secrets": {"token": "v"},
        "nodes": [node, {**node, "identifier": "b", "next_nodes": [], "inputs": {"x": "${{a.outputs.y}}"}}],
        "retry_policy": {"max_retries": 1, "strategy": "FIXED", "backoff_factor": 1, "exponent": 2, "max_delay": 5},
        "store_config": {"required_keys": [], "default_values": {"k": "v"}},
        "triggers": [{"type": "CRON", "value": {"expression": "0 0 1 1 *"}}],
    }
    schema = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}
    registered = {"name": "Fuzzed", "inputs_schema": schema, "outputs_schema": schema, "secrets": ["token"]}
    yield "PUT", "/nodes/", {"runtime_name": "r", "nodes": [registered]}
    yield "PUT", "/graph/fuzzed", graph
    yield "POST", "/graph/fuzzed/trigger", {"inputs": {"x": "1"}, "store": {"k": "v"}, "start_delay": 0}
    yield "POST", "/graph/g/trigger", {"states": [{"identifier": "a", "inputs": {"x": "1"}}]}
    yield "POST", "/states/enqueue", {"nodes": ["Fuzzed"], "batch_size": 3, "lease_ms": 1_000}
    yield "POST", "/states/renew", {"state_ids": [known["state"]], "lease_ms": 1_000}
    yield "POST", "/states/report", {"reports": [{"state_id": STATE, "executed": {"outputs": [{"y": "1"}]}}]}
    yield "POST", f"{state}/executed", {"outputs": [{"y": "1"}]}
    yield "POST", f"{state}/errored", {"error": "boom"}
    yield "POST", f"{state}/prune", {"data": {"why": "x"}}
    yield "POST", f"{state}/re-enqueue-after", {"enqueue_after": 1_000}
    yield "POST", f"{state}/manual-retry", {"fanout_id": "f"}


def _mutated(data: st.DataObject, value: Any) -> Any:
    """Return a value with one place in it replaced, dropped, doubled or renamed."""
    if isinstance(value, dict) and value and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(value)))
        match data.draw(st.sampled_from(["deeper", "deeper", "drop", "rename"])):
            case "drop":
                return {name: item for name, item in value.items() if name != key}
            case "rename":
                other = data.draw(st.text(max_size=5))
                return {other if name == key else name: item for name, item in value.items()}
            case _:
                return {**value, key: _mutated(data, value[key])}
    if isinstance(value, list) and value and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(value) - 1))
        if data.draw(st.booleans()):
            return [*value, value[at]]
        return [*value[:at], _mutated(data, value[at]), *value[at + 1 :]]
    return data.draw(JSON)
