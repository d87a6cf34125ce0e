from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from exospherehost.server import ServerThread
from exospherehost.testing.clock import ManualClock
from tests._support.api_keys import make_key, revoke
from tests._support.databases import Database
from tests._support.eventually import eventually_sync
from tests._support.service import Api

StartServer = Callable[..., ServerThread]
SESSION = "x-exosphere-session"
NOT_SIGNED_IN = {"detail": "This session is over: sign in again"}


@pytest.fixture
def server(start_server: StartServer) -> ServerThread:
    return start_server(ui=True)


@contextmanager
def page(server: ServerThread, session: str | None = None) -> Iterator[httpx.Client]:
    headers = {} if session is None else {SESSION: session}
    with httpx.Client(base_url=server.url, headers=headers, timeout=20) as http:
        yield http


def sign_in(server: ServerThread, key: str | None = None) -> str:
    with page(server) as http:
        answer = http.post("/ui/session", headers={"x-api-key": key or server.api_key})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.json()["session"])


def link_token(server: ServerThread) -> str:
    address, _, token = server.sign_in_link().partition("#link=")
    assert address == f"{server.url}/ui/"
    return token


def status(server: ServerThread, session: str, path: str = "/v0/namespaces") -> int:
    with page(server, session) as http:
        return http.get(path).status_code


@pytest.mark.parametrize("path", ["/", "/ui"])
def test_the_servers_own_address_leads_to_the_dashboard(server: ServerThread, path: str) -> None:
    with page(server) as http:
        answer = http.get(path)
        assert (answer.status_code, answer.headers["location"]) == (307, f"{server.url}/ui/")
        assert "<title>ExosphereHost</title>" in http.get(path, follow_redirects=True).text
        assert http.post(path).status_code == 405


def test_the_pages_of_documentation_lead_to_the_page_of_the_api(server: ServerThread) -> None:
    with page(server) as http:
        for path in ("/docs", "/redoc"):
            assert http.get(path).headers["location"] == f"{server.url}/ui/api"


def test_a_server_without_it_has_no_part_of_it(start_server: StartServer) -> None:
    server = start_server()
    with page(server) as http:
        for path in ("/", "/ui", "/ui/", "/ui/session"):
            assert http.get(path).status_code == 404, path
        assert http.post("/ui/session", headers={"x-api-key": server.api_key}).status_code == 404


def test_a_key_is_exchanged_for_a_session_with_its_rights(server: ServerThread, database: Database) -> None:
    for key, namespaces in ((server.api_key, None), (make_key(database.setting, "--namespace", "a"), ["a"])):
        session = sign_in(server, key)
        assert session != key
        with page(server, session) as http:
            shown = http.get("/ui/session").json()
            assert (shown["session"], shown["namespaces"]) == (session, namespaces)
            assert http.get("/v0/namespace/a/nodes/").status_code == 200
            assert http.get("/v0/namespace/b/nodes/").status_code == (200 if namespaces is None else 403)


@pytest.mark.parametrize("headers", [{"x-api-key": "wrong"}, {}, {SESSION: "wrong"}])
def test_without_a_right_key_there_is_no_session(server: ServerThread, headers: dict[str, str]) -> None:
    with page(server) as http:
        answer = http.post("/ui/session", headers=headers)
        assert answer.status_code == 401
        assert "session" not in answer.json()


def test_a_link_signs_in_once(server: ServerThread) -> None:
    body = {"link": link_token(server)}
    with page(server) as http:
        first = http.post("/ui/session", json=body)
        assert first.status_code == 200
        again = http.post("/ui/session", json=body)
        assert (again.status_code, "used before" in again.json()["detail"]) == (401, True)
    assert status(server, first.json()["session"]) == 200


def test_a_link_is_good_for_five_minutes_and_a_session_for_twelve_hours(start_server: StartServer) -> None:
    clock = ManualClock(time.time_ns() // 1_000_000)
    server = start_server(ui=True, clock=clock)
    late, body = {"link": link_token(server)}, {"link": link_token(server)}
    with page(server) as http:
        session = http.post("/ui/session", json=body).json()["session"]
        clock.advance_to(clock.now_ms() + 5 * 60_000)
        assert http.post("/ui/session", json=late).status_code == 401
    assert status(server, session) == 200
    clock.advance_to(clock.now_ms() + 12 * 3_600_000)
    assert status(server, session) == 401


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"link": null}', b'{"link": ["x"]}', b'{"link": "\xc3\xa4"}', b"\xff"])
def test_a_body_without_a_link_is_refused(server: ServerThread, body: bytes) -> None:
    with page(server) as http:
        assert http.post("/ui/session", content=body).status_code == 401
        assert http.post("/ui/session", content=b'{"link": "%s"}' % (b"x" * 5_000)).status_code == 413
        assert http.put("/ui/session").status_code == 405


def test_signing_out_ends_the_session_and_what_it_follows(server: ServerThread) -> None:
    session, other = sign_in(server), sign_in(server)
    with page(server, session) as http:
        api = Api(http)
        api.steps()
        api.graph("g", api.node("n"))
        run = api.trigger("g")
        with http.stream("GET", f"/v0/namespace/{api.namespace}/runs/{run}/events") as stream:
            assert stream.status_code == 200
            assert http.delete("/ui/session").json() == {}
            # It is broken off, without an end of the run.
            with pytest.raises(httpx.RemoteProtocolError):
                [*stream.iter_text()]
        answer = http.get("/v0/namespaces")
        assert (answer.status_code, answer.json()) == (401, NOT_SIGNED_IN)
        assert http.get("/ui/session").status_code == 401
    assert status(server, other) == 200


def test_a_key_that_is_revoked_takes_its_sessions_with_it(server: ServerThread, database: Database) -> None:
    key, other = make_key(database.setting), make_key(database.setting)
    session, kept = sign_in(server, key), sign_in(server, other)
    assert status(server, session) == 200
    revoke(database.setting, key)
    eventually_sync(lambda: status(server, session) == 401)
    # However often it is asked for: these are no wrong keys, for which an address would be held off.
    assert {status(server, session) for _ in range(30)} == {401}
    assert status(server, kept) == 200


def test_a_restart_ends_sessions(start_server: StartServer) -> None:
    server = start_server(ui=True)
    session = sign_in(server)
    server.stop()
    assert status(start_server(ui=True), session) == 401


def test_a_session_is_a_session_on_its_own_server_only_and_no_key(server: ServerThread) -> None:
    session = sign_in(server)
    with page(server) as http:
        assert http.get("/v0/namespaces", headers={"x-api-key": session}).status_code == 401
        both = {"x-api-key": "wrong", SESSION: session}
        assert http.get("/v0/namespaces", headers=both).status_code == 401
        assert http.get("/metrics", headers={SESSION: session}).status_code == 200
        twice = [(SESSION, session), (SESSION, session)]
        assert http.get("/v0/namespaces", headers=twice).status_code == 401
