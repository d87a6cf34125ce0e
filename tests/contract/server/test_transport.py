from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Callable

import httpx
import pytest

from exospherehost.server import ServerThread
from tests._support.service import Api, connect, registration

REQUEST_ID = "x-exosphere-request-id"
STATE = "/state/0123456789abcdef01234567"


@pytest.mark.parametrize("key", [None, "wrong", "", "The-key-of-the-tests", "the-key-of-the-tests, more"])
def test_a_missing_or_wrong_key_is_401(server: ServerThread, key: str | None) -> None:
    headers = {} if key is None else {"x-api-key": key}
    answer = httpx.get(f"{server.url}/v0/namespaces", headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"detail": "Invalid API key"})


def test_the_name_of_the_key_header_is_read_in_any_case(server: ServerThread) -> None:
    assert raw_request(server, b"GET", b"/v0/namespaces", [(b"X-API-Key", b"the-key-of-the-tests")]).startswith(
        b"HTTP/1.1 200"
    )


def test_health_needs_no_key(server: ServerThread) -> None:
    answer = httpx.get(f"{server.url}/health")
    assert (answer.status_code, answer.json()) == (200, {"message": "OK"})


def test_health_answers_probes_that_ask_with_head(server: ServerThread) -> None:
    with httpx.Client(base_url=server.url) as http:
        answer = http.head("/health")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-length"] == str(len(b'{"message":"OK"}'))
        # The connection goes on: nothing followed that a client does not expect.
        assert http.get("/health").json() == {"message": "OK"}
        assert http.post("/health").headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_pages_of_documentation_lead_to_the_document(server: ServerThread, page: str) -> None:
    answer = httpx.get(f"{server.url}{page}")
    assert (answer.status_code, answer.headers["location"]) == (307, f"{server.url}/openapi.json")
    assert httpx.get(f"{server.url}{page}", follow_redirects=True).json()["openapi"].startswith("3.1")
    assert httpx.post(f"{server.url}{page}").status_code == 405


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", "/nowhere", 404, "Not Found"),
        ("GET", "/v0/namespace//nodes/", 404, "Not Found"),
        ("GET", "/v0/namespace/a%2Fnodes/", 404, "Not Found"),
        ("GET", "/v0/namespace/a%2fb/nodes/", 404, "Not Found"),
        ("PATCH", "/v0/namespace/a/nodes/", 405, "Method Not Allowed"),
        ("PATCH", "/v0/namespace/a/graph/g", 405, "Method Not Allowed"),
        ("HEAD", "/v0/namespaces", 405, None),
        ("HEAD", "/openapi.json", 405, None),
        ("POST", "/health", 405, "Method Not Allowed"),
        ("OPTIONS", "/v0/namespaces", 405, "Method Not Allowed"),
        # Of extensions, known by other methods.
        ("PUT", "/v0/namespace/a/runs/x/cancel", 405, "Method Not Allowed"),
        ("POST", "/v0/namespace/a/runs/x/events", 405, "Method Not Allowed"),
    ],
)
def test_what_cannot_be_routed_is_told_before_the_key_is_looked_at(
    server: ServerThread, method: str, path: str, status: int, detail: str | None
) -> None:
    answer = httpx.request(method, f"{server.url}{path}")
    assert answer.status_code == status
    if detail is not None:
        assert answer.json() == {"detail": detail}
    if status == 405:
        assert answer.headers["allow"]


def test_a_redirect_leads_to_the_other_spelling_of_the_slash(server: ServerThread) -> None:
    for path, other in (
        ("/v0/namespace/a%20b/nodes?x=1", "/v0/namespace/a%20b/nodes/?x=1"),
        ("/v0/namespace/a/graphs", "/v0/namespace/a/graphs/"),
        ("/v0/namespaces/", "/v0/namespaces"),
        ("/v0/namespace/a/runs/1/2/", "/v0/namespace/a/runs/1/2"),
        ("/health/", "/health"),
    ):
        answer = httpx.get(f"{server.url}{path}")
        assert (answer.status_code, answer.content) == (307, b"")
        assert answer.headers["location"] == f"{server.url}{other}"
        assert REQUEST_ID in answer.headers


@pytest.mark.parametrize(
    "spelling",
    [
        "0b0c5f0e-9f5b-4d0e-8a5e-0d3b1f6d2f11",
        "0B0C5F0E-9F5B-4D0E-8A5E-0D3B1F6D2F11",
        "0b0c5f0e9f5b4d0e8a5e0d3b1f6d2f11",
        "{0b0c5f0e-9f5b-4d0e-8a5e-0d3b1f6d2f11}",
        "urn:uuid:0b0c5f0e-9f5b-4d0e-8a5e-0d3b1f6d2f11",
    ],
)
def test_a_request_id_that_is_a_uuid_comes_back_as_it_was(server: ServerThread, spelling: str) -> None:
    answer = httpx.get(f"{server.url}/health", headers={REQUEST_ID: spelling})
    assert answer.headers[REQUEST_ID] == spelling


@pytest.mark.parametrize("given", [None, "", "no uuid", "0b0c5f0e"])
def test_another_request_id_is_replaced(server: ServerThread, given: str | None) -> None:
    answer = httpx.get(f"{server.url}/health", headers={} if given is None else {REQUEST_ID: given})
    assert uuid.UUID(answer.headers[REQUEST_ID]).version == 4


def test_every_refusal_carries_a_request_id(api: Api, server: ServerThread) -> None:
    answers = [
        httpx.get(f"{server.url}/v0/namespaces"),
        httpx.get(f"{server.url}/nowhere"),
        httpx.put(f"{server.url}/health"),
        api.call("POST", f"{STATE}/executed", content=b"{"),
        api.get("/graph/none"),
    ]
    assert [answer.status_code for answer in answers] == [401, 404, 405, 422, 404]
    assert len({answer.headers[REQUEST_ID] for answer in answers}) == len(answers)


def test_a_good_preflight_needs_no_key(server: ServerThread) -> None:
    answer = preflight(server, "http://localhost:3000", "PUT", "X-API-Key, Content-Type, X-Exosphere-Request-ID")
    assert (answer.status_code, answer.text) == (200, "OK")
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-max-age"] == "600"
    allowed = answer.headers["access-control-allow-methods"]
    assert {method.strip() for method in allowed.split(",")} == {"GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}
    assert REQUEST_ID not in answer.headers


@pytest.mark.parametrize(
    ("origin", "method", "header", "part"),
    [
        ("http://evil.example", "GET", "accept", "origin"),
        ("http://localhost:3000", "TRACE", "accept", "method"),
        ("http://localhost:3000", "GET", "x-other", "headers"),
    ],
)
def test_a_bad_preflight_names_the_part(server: ServerThread, origin: str, method: str, header: str, part: str) -> None:
    answer = preflight(server, origin, method, header)
    assert answer.status_code == 400
    assert answer.text.startswith("Disallowed CORS")
    assert part in answer.text


def test_a_foreign_origin_is_answered_but_not_allowed_to_read(server: ServerThread) -> None:
    foreign = httpx.get(f"{server.url}/health", headers={"origin": "http://evil.example"})
    assert foreign.status_code == 200
    assert "access-control-allow-origin" not in foreign.headers
    own = httpx.get(f"{server.url}/health", headers={"origin": "http://127.0.0.1:3001"})
    assert own.headers["access-control-allow-origin"] == "http://127.0.0.1:3001"
    assert own.headers["access-control-expose-headers"].lower() == REQUEST_ID


@pytest.mark.parametrize("origin", [None, "http://evil.example", "http://127.0.0.1:3001"])
def test_every_answer_says_that_it_is_another_for_other_origins(server: ServerThread, origin: str | None) -> None:
    answer = httpx.get(f"{server.url}/health", headers={} if origin is None else {"origin": origin})
    assert answer.headers.get_list("vary") == ["Origin"]


def test_a_star_among_the_origins_allows_all(start_server: Callable[..., ServerThread]) -> None:
    server = start_server(cors_origins=("http://a.example", "*"))
    assert preflight(server, "https://any.example", "GET", "accept").status_code == 200
    answer = httpx.get(f"{server.url}/health", headers={"origin": "https://any.example"})
    assert answer.headers["access-control-allow-origin"] == "https://any.example"


# -- bodies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("application/vnd.some+json", 200),
        ("text/plain", 422),
        ("text/json", 422),
        ("application/x-www-form-urlencoded", 422),
        (None, 422),
    ],
)
def test_only_json_content_types_are_read_as_json(api: Api, content_type: str | None, status: int) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    answer = api.call("POST", "/states/enqueue", content=b'{"nodes":[],"batch_size":1}', headers=headers)
    assert answer.status_code == status
    if status == 422:
        assert [issue["loc"] for issue in answer.json()["detail"]] == [["body"]]


@pytest.mark.parametrize(
    ("content", "kind", "loc"),
    [
        (b"", "missing", ["body"]),
        (b"[]", "model_attributes_type", ["body"]),
        (b'"text"', "model_attributes_type", ["body"]),
        (b"null", "model_attributes_type", ["body"]),
        (b'{"nodes":[,', "json_invalid", ["body", 10]),
        (b"{", "json_invalid", ["body", 1]),
        (b"\xef\xbb\xbf{}", "json_invalid", ["body", 0]),
        (b'{"nodes":[],"batch_size":NaN}', "finite_number", ["body", "batch_size"]),
        (b'{"nodes":[],"batch_size":1,"more":1e999}', "finite_number", ["body", "more"]),
        (b'{"nodes":[],"batch_size":9223372036854775808}', "int_out_of_range", ["body", "batch_size"]),
        (b'{"nodes":[],"batch_size":' + b"9" * 9000 + b"}", "int_out_of_range", ["body", "batch_size"]),
        (b'{"nodes":["\\ud800"],"batch_size":1}', "string_unicode", ["body", "nodes", 0]),
    ],
)
def test_a_body_that_cannot_be_taken_is_422_and_says_where(
    api: Api, content: bytes, kind: str, loc: list[object]
) -> None:
    answer = api.call("POST", "/states/enqueue", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    issues = answer.json()["detail"]
    assert (kind, loc) in [(issue["type"], issue["loc"]) for issue in issues]
    assert not any("url" in issue for issue in issues)


def test_a_body_that_is_not_utf8_is_400(api: Api) -> None:
    answer = api.call(
        "POST", "/states/enqueue", content=b'{"nodes":["\xff"]}', headers={"content-type": "application/json"}
    )
    assert (answer.status_code, answer.json()) == (400, {"detail": "There was an error parsing the body"})


@pytest.mark.parametrize("depth", [300, 5_000, 200_000])
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")])
def test_deep_nesting_is_422(api: Api, depth: int, brackets: tuple[bytes, bytes]) -> None:
    middle = b"1" if brackets[0] != b"[" else b""
    nested = brackets[0] * depth + middle + brackets[1] * depth
    answer = api.call(
        "POST",
        f"{STATE}/prune",
        content=b'{"data":{"deep":' + nested + b"}}",
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 422


def test_all_violations_of_path_and_body_come_together(api: Api) -> None:
    answer = api.post("/state/xyz/re-enqueue-after", {"enqueue_after": 0})
    assert answer.status_code == 422
    assert sorted(issue["loc"][0] for issue in answer.json()["detail"]) == ["body", "path"]
    answer = api.post("/states/enqueue", {"nodes": [1, "a", None], "batch_size": "x"})
    assert sorted(tuple(issue["loc"]) for issue in answer.json()["detail"]) == [
        ("body", "batch_size"),
        ("body", "nodes", 0),
        ("body", "nodes", 2),
    ]


@pytest.mark.parametrize("key", ["x-wrong", "x-api-key"])
def test_the_key_is_looked_at_before_the_body(server: ServerThread, key: str) -> None:
    answer = httpx.post(f"{server.url}/v0/namespace/a/states/enqueue", content=b"{", headers={key: server.api_key})
    assert answer.status_code == (422 if key == "x-api-key" else 401)


@pytest.mark.parametrize("value", ["3", 3.0, True, 3])
def test_integers_are_read_leniently(api: Api, value: object) -> None:
    assert api.post("/states/enqueue", {"nodes": [], "batch_size": value}).status_code == 200


@pytest.mark.parametrize("value", ["x", 1.5, None, "", [], {}])
def test_what_is_no_integer_is_refused(api: Api, value: object) -> None:
    assert api.post("/states/enqueue", {"nodes": [], "batch_size": value}).status_code == 422


@pytest.mark.parametrize("value", [1, 1.5, True, None, [], {}])
def test_strings_are_strict(api: Api, value: object) -> None:
    assert api.post(f"{STATE}/errored", {"error": value}).status_code == 422


def test_strings_of_8_mib_pass_both_ways(api: Api) -> None:
    api.steps()
    api.graph("g", api.node("a"))
    run = api.trigger("g")
    text = "é" * (4 * 1024 * 1024)
    state = api.claim_one()
    api.executed(state, {"y": text})
    assert api.state("g", run, state["state_id"])["outputs"] == {"y": text}


def test_a_body_beyond_the_limit_is_413_however_it_is_sent(start_server: Callable[..., ServerThread]) -> None:
    server = start_server(largest_body=1_000)
    body = json.dumps({"error": "x" * 2_000}).encode()
    with connect(server) as http:
        api = Api(http)
        whole = api.call("POST", f"{STATE}/errored", content=body, headers={"content-type": "application/json"})
        pieces = api.call(
            "POST",
            f"{STATE}/errored",
            content=iter([body[:900], body[900:]]),
            headers={"content-type": "application/json"},
        )
        assert [whole.status_code, pieces.status_code] == [413, 413]
        assert isinstance(whole.json()["detail"], str)
        api.register(registration("Within"))


def preflight(server: ServerThread, origin: str, method: str, headers: str) -> httpx.Response:
    return httpx.options(
        f"{server.url}/v0/namespaces",
        headers={
            "origin": origin,
            "access-control-request-method": method,
            "access-control-request-headers": headers,
        },
    )


def raw_request(server: ServerThread, method: bytes, path: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Send a request that no client library has touched, and return all that comes back."""
    port = int(server.url.rsplit(":", 1)[1])
    lines = [method + b" " + path + b" HTTP/1.1", b"host: test", b"connection: close"]
    lines += [name + b": " + value for name, value in headers]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
        received = b""
        while piece := connection.recv(65_536):
            received += piece
    return received
