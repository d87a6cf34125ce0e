"""`exospherehost ui`: a proxy that keeps the key to itself, as a person starts it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from exospherehost.server import ServerSettings, ServerThread
from tests._support.command import Command
from tests._support.http_service import Answer, Asked, HttpService
from tests._support.service import Api, registration

KEY = "the-key-of-the-service"
SESSION = "x-exosphere-session"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    with ServerThread(ServerSettings(api_key=KEY, database=tmp_path_factory.mktemp("s") / "s.db", port=0)) as running:
        yield running


def start(uri: str, folder: Path, *arguments: str) -> Command:
    return Command("ui", "--uri", uri, "--key", KEY, "--port", "0", *arguments, folder=folder)


def url_of(command: Command) -> str:
    command.wait_for("sign in with the API key")
    match = re.search(r"^Dashboard: (\S+)/ui/ ", command.output, re.MULTILINE)
    assert match, command.output
    return match[1]


@pytest.fixture(scope="module")
def proxy(server: ServerThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with start(server.url, tmp_path_factory.mktemp("p")) as command:
        yield url_of(command)
        assert command.interrupt() == 0
        assert KEY not in command.output + command.errors


def session_of(proxy: str) -> str:
    answer = httpx.post(f"{proxy}/ui/session", headers={"x-api-key": KEY})
    assert answer.status_code == 200
    return str(answer.json()["session"])


@pytest.fixture
def http(proxy: str) -> Iterator[httpx.Client]:
    """A connection with a session."""
    with httpx.Client(base_url=proxy, headers={SESSION: session_of(proxy)}) as client:
        yield client


def test_the_page_and_the_api_are_there_with_a_session(proxy: str, http: httpx.Client) -> None:
    page = httpx.get(f"{proxy}/", follow_redirects=True)
    assert "<title>ExosphereHost</title>" in page.text
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert httpx.get(f"{proxy}/docs").headers["location"] == f"{proxy}/ui/api"
    assert http.get("/v0/namespaces").json() == {"namespaces": [], "count": 0}
    assert http.get("/openapi.json").json()["openapi"].startswith("3.1")
    assert http.get("/health").json() == {"message": "OK"}


@pytest.mark.parametrize("path", ["/v0/namespaces", "/health", "/openapi.json"])
def test_without_a_session_nothing_is_handed_on(proxy: str, path: str) -> None:
    for headers in ({}, {"x-api-key": KEY}, {SESSION: "made-up"}):
        assert httpx.get(proxy + path, headers=headers).status_code == 401
    assert httpx.post(f"{proxy}/ui/session", headers={"x-api-key": "wrong"}).status_code == 401


def test_what_is_written_arrives_and_what_is_read_comes_back(http: httpx.Client) -> None:
    api = Api(http, "through the proxy")
    api.steps()
    api.graph("g", api.node("n"))
    first, again = (
        http.post(
            "/v0/namespace/through%20the%20proxy/graph/g/trigger", json={}, headers={"idempotency-key": "the-same"}
        ).json()
        for _ in range(2)
    )
    assert first == again
    claimed = api.post("/states/enqueue", {"nodes": ["Step"], "batch_size": 1}).json()["states"]
    with http.stream("GET", f"/v0/namespace/through%20the%20proxy/runs/{first['run_id']}/events") as stream:
        lines = stream.iter_lines()
        # Before the run has ended: nothing is held back.
        assert any("QUEUED" in line for line in lines)
        api.post(f"/state/{claimed[0]['state_id']}/executed", {"outputs": []})
        assert any(line == "event: end" for line in lines)
    refused = api.post(f"/state/{claimed[0]['state_id']}/executed", {"outputs": []})
    assert (refused.status_code, refused.json()) == (400, {"detail": "State is not queued"})


@pytest.mark.parametrize(
    "path",
    [
        "/v0/namespace/a/state/{id}/secrets",
        "/v0/namespace/a/state/{id}/secrets/",
        "/v0/namespace/a/state/{id}/%73ecrets",
        "/v0/namespace/a/state/{id}/SECRETS",
        "/v0/namespace/a//state/{id}/secrets",
        "/v0/namespace/a/./state/{id}/secrets",
        "/v0/namespace/a/x/%2e%2e/state/{id}/secrets",
        "/v0/namespace/a/state/{id}%2fsecrets",
    ],
)
def test_a_states_secrets_stay_at_the_service(server: ServerThread, proxy: str, path: str) -> None:
    with httpx.Client(base_url=server.url, headers={"x-api-key": KEY}) as own:
        api = Api(own, "a")
        api.register(registration("Keeper", secrets=["s"]))
        graph = {"secrets": {"s": "a-secret"}, "nodes": [api.node("n", node="Keeper")]}
        assert api.put("/graph/keeper", graph).json()["validation_status"] == "VALID"
        api.trigger("keeper")
        (state,) = api.post("/states/enqueue", {"nodes": ["Keeper"], "batch_size": 1}).json()["states"]
        assert "a-secret" in api.get(f"/state/{state['state_id']}/secrets").text
    sent = path.format(id=state["state_id"])
    answer = raw(proxy, f"GET {sent} HTTP/1.1", f"{SESSION}: {session_of(proxy)}")
    assert answer.startswith("HTTP/1.1 404")
    assert "a-secret" not in answer


@pytest.mark.parametrize("path", ["/metrics", "/ready", "/v1/x", "/v0x", "/", "//evil.example/v0/namespaces"])
def test_nothing_but_the_api_is_handed_on(proxy: str, path: str) -> None:
    answer = raw(proxy, f"POST {path} HTTP/1.1", f"{SESSION}: {session_of(proxy)}", "content-length: 0")
    assert re.match(r"HTTP/1.1 (404|307)", answer)


def raw(proxy: str, line: str, *headers: str, host: str | None = None) -> str:
    """A request with a path as it stands, which a client would tidy."""
    name, port = proxy.removeprefix("http://").split(":")
    with socket.create_connection((name, int(port)), timeout=20) as connection:
        head = [line, f"host: {host or f'{name}:{port}'}", "connection: close", *headers]
        connection.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
        parts: list[bytes] = []
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts).decode()


@pytest.mark.parametrize("path", ["/", "/ui/", "/v0/namespaces", "/ui/session"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1.evil.example:{port}", ""]
)
def test_under_another_name_nothing_is_answered(proxy: str, host: str, path: str) -> None:
    port = proxy.rpartition(":")[2]
    answer = raw(proxy, f"GET {path} HTTP/1.1", f"{SESSION}: {session_of(proxy)}", host=host.format(port=port) or " ")
    assert answer.startswith("HTTP/1.1 421")


def test_localhost_is_a_name_of_this_machine(proxy: str) -> None:
    assert raw(proxy, "GET /ui/ HTTP/1.1", host=f"localhost:{proxy.rpartition(':')[2]}").startswith("HTTP/1.1 200")


@pytest.mark.parametrize(
    "header",
    [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("origin", "http://127.0.0.1:1"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ],
)
def test_another_page_is_refused(proxy: str, http: httpx.Client, header: tuple[str, str]) -> None:
    assert http.get("/v0/namespaces", headers=[header]).status_code == 403
    assert http.post("/ui/session", headers=[header, ("x-api-key", KEY)]).status_code == 403
    assert http.get("/v0/namespaces", headers={"origin": proxy, "sec-fetch-site": "same-origin"}).status_code == 200
    # A link to the page may stand anywhere.
    assert httpx.get(f"{proxy}/ui/", headers={"sec-fetch-site": "cross-site"}).status_code == 200


def service_that(answer: Answer) -> HttpService:
    def answered(asked: Asked) -> Answer:
        return Answer(200, {"namespaces": [], "count": 0}) if asked.path == "/v0/namespaces" else answer

    return HttpService(answered)


def test_only_what_belongs_to_a_request_is_handed_on(tmp_path: Path) -> None:
    said = Answer(200, {"message": "OK"}, headers={"set-cookie": "a=b", "x-internal": "c", "retry-after": "3"})
    with service_that(said) as service, start(service.uri, tmp_path) as command:
        proxy = url_of(command)
        headers = {SESSION: session_of(proxy), "cookie": "d=e", "x-forwarded-for": "f", "prefer": "wait=1"}
        answer = httpx.get(f"{proxy}/health?a=b%20c", headers=headers)
        sent = service.asked[-1]
        assert sent.path == "/health?a=b%20c"
        given = {name.lower(): value for name, value in sent.headers.items()}
        assert given["x-api-key"] == KEY
        assert given["prefer"] == "wait=1"
        assert not given.keys() & {"cookie", "x-forwarded-for", SESSION, "referer", "origin"}
        assert not answer.headers.keys() & {"set-cookie", "x-internal"}
        assert answer.headers["retry-after"] == "3"
        assert answer.headers["cache-control"] == "no-store"


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    with HttpService(lambda _: Answer(200, {"stolen": True})) as elsewhere:
        leading = Answer(307, b"", {"location": f"{elsewhere.uri}/health"})
        with service_that(leading) as service, start(service.uri, tmp_path) as command:
            proxy = url_of(command)
            answer = httpx.get(f"{proxy}/health", headers={SESSION: session_of(proxy)})
            assert answer.status_code == 502
            assert "not followed" in answer.json()["detail"]
            assert elsewhere.uri not in answer.text + str(answer.headers)
        assert elsewhere.asked == []


def test_a_key_that_the_service_refuses_later_ends_no_session(tmp_path: Path) -> None:
    refusing = Answer(401, {"detail": "Invalid API key"})
    with service_that(refusing) as service, start(service.uri, tmp_path) as command:
        proxy = url_of(command)
        answer = httpx.get(f"{proxy}/health", headers={SESSION: session_of(proxy)})
        assert answer.status_code == 403
        assert "was started with" in answer.json()["detail"]


def test_a_service_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    with ExitStack() as stack:
        with service_that(Answer()) as service:
            proxy = url_of(stack.enter_context(start(service.uri, tmp_path)))
            session = session_of(proxy)
        answer = httpx.get(f"{proxy}/health", headers={SESSION: session})
        assert answer.status_code == 502
        assert service.uri in answer.json()["detail"]


def test_a_wrong_key_is_known_before_a_page_is_shown(server: ServerThread, tmp_path: Path) -> None:
    with Command("ui", "--uri", server.url, "--key", "wrong", "--port", "0", folder=tmp_path) as command:
        assert command.wait() == 4
        assert "Dashboard" not in command.output
