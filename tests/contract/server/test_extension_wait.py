from __future__ import annotations

import contextlib
import json
import socket
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from exospherehost.server import ServerThread
from exospherehost.testing.clock import ManualClock
from tests._support.eventually import eventually_sync
from tests._support.service import Api, Json, connect, good

StartServer = Callable[..., ServerThread]
START = 1_800_000_000_000
# Schedules, leases and alarms; each claim that waits adds itself.
OTHERS_WAITING = 3


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def server(start_server: StartServer, clock: ManualClock) -> ServerThread:
    return start_server(clock=clock)


@pytest.fixture
def timed(server: ServerThread) -> Iterator[Api]:
    with connect(server) as http:
        api = Api(http)
        api.steps()
        api.graph("g", api.node("a"), retry_policy={"max_retries": 1, "strategy": "FIXED", "backoff_factor": 2_000})
        yield api


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(40) as threads:
        yield threads


def ask(api: Api, prefer: str | None = "wait=20", **body: Any) -> httpx.Response:
    headers = {} if prefer is None else {"prefer": prefer}
    return api.call(
        "POST", "/states/enqueue", json={"nodes": ["Step"], "batch_size": 1, **body}, headers=headers, timeout=60
    )


def waiting_socket(server: ServerThread, api: Api, claim: Json) -> closing[socket.socket]:
    """Send a claim that waits on a connection of its own."""
    address = urlsplit(server.url)
    body = json.dumps(claim).encode()
    head = (
        f"POST /v0/namespace/{api.namespace}/states/enqueue HTTP/1.1\r\nhost: x\r\nprefer: wait=30\r\n"
        f"x-api-key: {server.api_key}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    client = socket.create_connection((address.hostname, address.port or 0))
    client.sendall(head.encode() + body)
    return closing(client)


def waiting(clock: ManualClock, claims: int) -> bool:
    return len(clock._sleepers) == OTHERS_WAITING + claims


def wait_in(pool: ThreadPoolExecutor, api: Api, clock: ManualClock, *, claims: int = 1, **body: Any) -> list[Any]:
    """Send claims that wait, and return once all of them do."""
    asked: list[Future[httpx.Response]] = [pool.submit(ask, api, **body) for _ in range(claims)]
    eventually_sync(lambda: waiting(clock, claims))
    return asked


def states_of(answer: httpx.Response) -> list[Json]:
    assert answer.headers["preference-applied"] == "wait=20"
    return list(good(answer)["states"])


def test_a_claim_that_finds_something_is_answered_at_once(timed: Api) -> None:
    timed.trigger("g")
    assert len(states_of(ask(timed))) == 1


def test_a_claim_waits_until_a_state_is_created(timed: Api, clock: ManualClock, pool: ThreadPoolExecutor) -> None:
    (asked,) = wait_in(pool, timed, clock, nodes=["Other", "Step"])
    run = timed.trigger("g")
    assert [state["run_id"] for state in states_of(asked.result(30))] == [run]
    eventually_sync(lambda: waiting(clock, 0))


def test_when_the_time_is_over_the_answer_is_empty(timed: Api, clock: ManualClock, pool: ThreadPoolExecutor) -> None:
    (asked,) = wait_in(pool, timed, clock)
    clock.advance_to(START + 19_999)
    assert not asked.done()
    clock.advance_to(START + 20_000)
    assert states_of(asked.result(30)) == []


def test_a_wait_is_cut_to_thirty_seconds(timed: Api, clock: ManualClock, pool: ThreadPoolExecutor) -> None:
    asked = pool.submit(ask, timed, "respond-async, WAIT = 3600; foo")
    eventually_sync(lambda: waiting(clock, 1))
    clock.advance_to(START + 30_000)
    answer = asked.result(30)
    assert (good(answer)["count"], answer.headers["preference-applied"]) == (0, "wait=30")


@pytest.mark.parametrize("prefer", [None, "respond-async", "wait", "wait=soon", "wait=-1", "x-wait=5", ";,="])
def test_a_claim_that_asks_for_no_wait_is_answered_at_once(timed: Api, prefer: str | None) -> None:
    answer = ask(timed, prefer)
    assert good(answer)["count"] == 0
    assert "preference-applied" not in answer.headers


@pytest.mark.parametrize("body", [{"batch_size": 0}, {"nodes": []}])
def test_a_claim_that_could_never_get_anything_does_not_wait(timed: Api, body: Json) -> None:
    assert states_of(ask(timed, **body)) == []


def test_a_state_that_is_due_later_ends_the_wait_when_it_is(
    timed: Api, clock: ManualClock, pool: ThreadPoolExecutor
) -> None:
    timed.trigger("g", start_delay=9_000)
    (asked,) = wait_in(pool, timed, clock)
    # Known to the claim from the start, and from a commit while it waits.
    sooner = timed.trigger("g", start_delay=4_000)
    clock.advance_to(START + 3_999)
    assert not asked.done()
    clock.advance_to(START + 4_000)
    assert [state["run_id"] for state in states_of(asked.result(30))] == [sooner]
    (next_asked,) = wait_in(pool, timed, clock)
    clock.advance_to(START + 9_000)
    assert len(states_of(next_asked.result(30))) == 1


@pytest.mark.parametrize(
    ("kind", "body", "delay"),
    [("errored", {"error": "e"}, 2_000), ("re-enqueue-after", {"enqueue_after": 3_000}, 3_000),
     ("manual-retry", {"fanout_id": "f"}, 0)],
)  # fmt: skip
def test_a_retry_or_a_requeued_state_ends_the_wait(
    timed: Api, clock: ManualClock, pool: ThreadPoolExecutor, kind: str, body: Json, delay: int
) -> None:
    run = timed.trigger("g")
    state = timed.claim_one()
    (asked,) = wait_in(pool, timed, clock)
    good(timed.report(state["state_id"], kind, body))
    clock.advance_to(START + delay)
    assert [state["run_id"] for state in states_of(asked.result(30))] == [run]


def test_an_expired_lease_ends_the_wait(timed: Api, clock: ManualClock, pool: ThreadPoolExecutor) -> None:
    timed.trigger("g")
    (state,) = states_of(ask(timed, lease_ms=5_000))
    (asked,) = wait_in(pool, timed, clock)
    clock.advance_to(START + 5_000)
    eventually_sync(lambda: ("a", "CREATED") in timed.statuses(state["run_id"]))
    clock.advance_to(START + 7_000)
    assert [found["attempt"] for found in states_of(asked.result(30))] == [2]


def test_of_many_that_wait_each_state_goes_to_one_and_the_rest_wait_on(
    timed: Api, clock: ManualClock, pool: ThreadPoolExecutor
) -> None:
    asked = wait_in(pool, timed, clock, claims=30)
    runs = {timed.trigger("g") for _ in range(12)}
    eventually_sync(lambda: sum(one.done() for one in asked) == 12)
    eventually_sync(lambda: waiting(clock, 18))
    clock.advance_to(START + 20_000)
    found = [state for one in asked for state in states_of(one.result(30))]
    assert {state["run_id"] for state in found} == runs
    assert len(found) == 12


def test_another_namespace_or_node_wakes_nobody(timed: Api, clock: ManualClock, pool: ThreadPoolExecutor) -> None:
    other = timed.in_namespace(f"{timed.namespace}-other")
    other.steps()
    other.graph("g", other.node("a"))
    (asked,) = wait_in(pool, timed, clock, nodes=["Other"])
    timed.trigger("g")
    other.trigger("g")
    assert not asked.done()
    clock.advance_to(START + 20_000)
    assert states_of(asked.result(30)) == []


def test_a_client_that_goes_away_while_it_waits_is_given_nothing(
    server: ServerThread, timed: Api, clock: ManualClock
) -> None:
    with waiting_socket(server, timed, {"nodes": ["Step"], "batch_size": 10}):
        eventually_sync(lambda: waiting(clock, 1))
    eventually_sync(lambda: waiting(clock, 0))
    run = timed.trigger("g")
    assert timed.claim_one()["run_id"] == run


def test_what_waits_keeps_nothing_of_its_body_but_what_it_asks_for(
    server: ServerThread, timed: Api, clock: ManualClock
) -> None:
    claims, padding = 8, 1_000_000
    tracemalloc.start()
    with contextlib.ExitStack() as stack:
        stack.callback(tracemalloc.stop)
        before, _peak = tracemalloc.get_traced_memory()
        for _claim in range(claims):
            body = {"nodes": ["Step"], "batch_size": 1, "padding": "x" * padding}
            stack.enter_context(waiting_socket(server, timed, body))
        del body
        eventually_sync(lambda: waiting(clock, claims))
        after, _peak = tracemalloc.get_traced_memory()
    assert after - before < claims * padding / 2


def test_at_shutdown_who_waits_is_answered_with_nothing(
    server: ServerThread, timed: Api, clock: ManualClock, pool: ThreadPoolExecutor
) -> None:
    asked = wait_in(pool, timed, clock, claims=3)
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 5
    assert [states_of(one.result(30)) for one in asked] == [[]] * 3


@pytest.mark.parametrize("settings", [{"without": frozenset({"wait"})}, {"strict": True}])
def test_without_it_a_claim_is_answered_at_once(start_server: StartServer, settings: dict[str, Any]) -> None:
    with connect(start_server(**settings)) as http:
        answer = ask(Api(http))
        assert good(answer)["count"] == 0
        assert "preference-applied" not in answer.headers
