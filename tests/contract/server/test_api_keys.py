from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from exospherehost.server import ServerThread
from exospherehost.testing.clock import ManualClock
from tests._support.api_keys import id_of, make_key, revoke
from tests._support.databases import Database
from tests._support.eventually import eventually_sync
from tests._support.service import Api, good, registration

StartServer = Callable[..., ServerThread]


@contextmanager
def using(server: ServerThread, key: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"x-api-key": key}, timeout=40) as http:
        yield http


def test_a_key_made_while_a_server_runs_works_at_once_beside_the_servers_own(
    start_server: StartServer, database: Database
) -> None:
    server = start_server()
    key = make_key(database.setting)
    for each in (key, server.api_key):
        with using(server, each) as http:
            assert http.get("/v0/namespaces").status_code == 200
    with using(server, key[:-1] + ("a" if key[-1] != "a" else "b")) as http:
        assert http.get("/v0/namespaces").status_code == 401


def test_a_revoked_key_is_refused_on_every_server_within_the_time_that_is_promised(
    start_server: StartServer, database: Database
) -> None:
    # A file is one server's.
    servers = [start_server() for _ in range(1 if database.is_file else 2)]
    key, other = make_key(database.setting), make_key(database.setting)
    with ExitStack() as stack:
        connections = [stack.enter_context(using(server, key)) for server in servers]
        assert [http.get("/v0/namespaces").status_code for http in connections] == [200] * len(servers)
        revoke(database.setting, key)
        for http in connections:
            eventually_sync(lambda http=http: http.get("/v0/namespaces").status_code == 401)  # type: ignore[misc]
        with using(servers[0], other) as http:
            assert http.get("/v0/namespaces").status_code == 200


def test_a_key_whose_time_is_over_is_refused(start_server: StartServer, database: Database) -> None:
    clock = ManualClock(time.time_ns() // 1_000_000)
    server = start_server(clock=clock)
    with using(server, make_key(database.setting, "--expires", "1h")) as http:
        assert http.get("/v0/namespaces").status_code == 200
        clock.advance_to(clock.now_ms() + 3_601_000)
        assert http.get("/v0/namespaces").status_code == 401


def test_a_claim_that_waits_ends_when_its_key_is_revoked_and_takes_nothing(
    start_server: StartServer, database: Database
) -> None:
    server = start_server()
    key = make_key(database.setting)
    with using(server, server.api_key) as own, using(server, key) as http, ExitStack() as stack:
        api = Api(own, "a")
        api.steps()
        api.graph("g", api.node("n"))
        pool = stack.enter_context(ThreadPoolExecutor(1))
        began = time.monotonic()
        held = pool.submit(
            http.post,
            "/v0/namespace/a/states/enqueue",
            json={"nodes": ["Step"], "batch_size": 1},
            headers={"prefer": "wait=30"},
        )
        wait([held], timeout=1)
        assert not held.done()
        revoke(database.setting, key)
        assert good(held.result(timeout=40))["states"] == []
        assert time.monotonic() - began < 29
        api.trigger("g")
        assert len(api.claim()) == 1


def test_a_bound_key_acts_in_its_namespaces_alone(start_server: StartServer, database: Database) -> None:
    server = start_server()
    key = make_key(database.setting, "--namespace", "a", "--namespace", "b")
    with using(server, server.api_key) as own, using(server, key) as http:
        for namespace in ("a", "b", "c"):
            Api(own, namespace).steps()
        assert http.get("/v0/namespaces").json() == {"namespaces": ["a", "b"], "count": 2}
        assert own.get("/v0/namespaces").json()["count"] == 3
        Api(http, "b").steps()
        foreign = Api(http, "c")
        refusals = [
            foreign.get("/nodes/"),
            foreign.put("/nodes/", {"runtime_name": "r", "nodes": [registration("X")]}),
            foreign.get("/graph/g"),
            foreign.post("/graph/g/trigger", {}),
            foreign.post("/states/enqueue", {"nodes": ["Step"], "batch_size": 1}),
            foreign.post(f"/state/{'0' * 24}/executed", b"not even read".decode()),
            foreign.get("/runs/1/1"),
            Api(http, "never-seen").get("/nodes/"),
        ]
        assert {answer.status_code for answer in refusals} == {403}
        assert refusals[0].json() == {"detail": "This API key is not for the namespace 'c'"}


def test_a_bound_key_puts_no_graph_that_runs_nodes_of_another_namespace(
    start_server: StartServer, database: Database
) -> None:
    server = start_server()
    key = make_key(database.setting, "--namespace", "a")
    with using(server, server.api_key) as own, using(server, key) as http:
        Api(own, "b").steps()
        api = Api(http, "a")
        api.steps()
        body = {"secrets": {}, "nodes": [api.node("x", next_nodes=["y"]), api.node("y", namespace="b")]}
        answer = api.put("/graph/g", body)
        assert (answer.status_code, answer.json()["detail"]) == (403, "This API key is not for the namespace 'b'")
        assert api.get("/graph/g").status_code == 404
        # One for both may, and then the other may start it.
        assert Api(own, "a").put("/graph/g", body).status_code == 201
        api.trigger("g")


def test_several_keys_in_one_request_are_none(start_server: StartServer) -> None:
    server = start_server()
    headers = [("x-api-key", server.api_key), ("x-api-key", server.api_key)]
    assert httpx.get(f"{server.url}/v0/namespaces", headers=headers).status_code == 401


@pytest.mark.sqlite
def test_no_database_holds_a_key_in_clear(start_server: StartServer, database: Database) -> None:
    server = start_server()
    key = make_key(database.setting, "--name", "for the billing team")
    with using(server, key) as http:
        http.get("/v0/namespaces")
        stored = b"".join(path.read_bytes() for path in Path(database.setting).parent.iterdir() if path.is_file())
    assert id_of(key).encode() in stored
    assert key.encode() not in stored
    assert key.split("_", 2)[2].encode() not in stored
