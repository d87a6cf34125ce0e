from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from exospherehost.server import ServerThread
from exospherehost.testing.clock import ManualClock
from tests._support.databases import Database
from tests._support.service import Api, Json, connect, good, registration

StartServer = Callable[..., ServerThread]
START = 1_800_000_000_000
DAY = 24 * 60 * 60 * 1_000
HEADER = "Idempotency-Key"


@pytest.fixture
def ready(api: Api) -> Api:
    prepare(api)
    return api


def prepare(api: Api) -> None:
    api.register(registration("Step", inputs=["x"], outputs=["y"]))
    api.graph("g", api.node("a", {"x": "1"}))
    api.graph("h", api.node("a", {"x": "1"}))


def trigger(api: Api, key: str, body: Json | None = None, graph: str = "g") -> httpx.Response:
    return api.call("POST", f"/graph/{graph}/trigger", json=body or {}, headers={HEADER: key})


def runs(api: Api) -> int:
    return int(good(api.get("/runs/1/1"))["total"])


def test_the_same_key_and_body_give_the_same_response_and_no_second_run(ready: Api) -> None:
    first = good(trigger(ready, "k", {"inputs": {"x": "2"}, "store": {}, "start_delay": 5}))
    # However it is written: order, defaults, unknown keys, numbers as text.
    assert good(trigger(ready, "k", {"start_delay": "5", "inputs": {"x": "2"}, "more": 1})) == first
    assert runs(ready) == 1


def test_the_states_of_a_response_are_repeated_too(ready: Api) -> None:
    body = {"states": [{"identifier": "a", "inputs": {"x": "2"}}, {"identifier": "a", "inputs": {"x": "3"}}]}
    first = good(trigger(ready, "k", body))
    for state in ready.claim():
        ready.executed(state, {"y": "1"})
    assert good(trigger(ready, "k", body)) == first
    assert [state["inputs"] for state in first["states"]] == [{"x": "2"}, {"x": "3"}]
    assert runs(ready) == 1


def test_of_concurrent_triggers_under_one_key_one_starts_a_run(ready: Api) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: good(trigger(ready, "k")), range(16)))
    assert all(answer == answers[0] for answer in answers)
    assert runs(ready) == 1


@pytest.mark.parametrize(
    "body",
    [{"inputs": {"x": "secret-thing"}}, {"store": {"s": "secret-thing"}}, {"start_delay": 1},
     {"states": [{"identifier": "a", "inputs": {}}]}],
)  # fmt: skip
def test_the_same_key_with_another_body_is_422_and_names_the_key_only(ready: Api, body: Json) -> None:
    good(trigger(ready, "the-key"))
    answer = trigger(ready, "the-key", body)
    assert answer.status_code == 422
    (issue,) = answer.json()["detail"]
    assert (issue["loc"], issue["input"]) == (["header", "Idempotency-Key"], "the-key")
    assert "secret-thing" not in answer.text
    assert runs(ready) == 1


def test_a_key_is_of_its_graph_and_namespace(ready: Api) -> None:
    other = ready.in_namespace(f"{ready.namespace}-other")
    prepare(other)
    found = {good(trigger(api, "k", graph=graph))["run_id"] for api in (ready, other) for graph in ("g", "h")}
    assert len(found) == 4


def test_a_trigger_that_was_refused_is_not_remembered(ready: Api) -> None:
    assert trigger(ready, "k", graph="later").status_code == 404
    assert trigger(ready, "k", {"states": [{"identifier": "no", "inputs": {}}]}).status_code == 404
    assert trigger(ready, "k", {"start_delay": -1}).status_code == 422
    ready.graph("later", ready.node("a", {"x": "1"}))
    good(trigger(ready, "k", graph="later"))
    good(trigger(ready, "k", {"inputs": {"x": "3"}}))


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_that_cannot_be_used_is_422(ready: Api, key: str) -> None:
    answer = trigger(ready, key, {"start_delay": -1})
    assert answer.status_code == 422
    assert [issue["loc"] for issue in answer.json()["detail"]] == [["body", "start_delay"], ["header", HEADER]]
    assert trigger(ready, key).status_code == 422


def test_two_keys_are_422_and_the_longest_key_is_taken(ready: Api) -> None:
    answer = ready.call("POST", "/graph/g/trigger", json={}, headers=[(HEADER, "a"), (HEADER, "b")])
    assert answer.status_code == 422
    long = "k" * 255
    assert good(trigger(ready, long)) == good(trigger(ready, long))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def timed(start_server: StartServer, clock: ManualClock) -> Iterator[Api]:
    with connect(start_server(clock=clock)) as http:
        api = Api(http)
        prepare(api)
        yield api


def test_after_a_day_the_key_starts_a_run_again(timed: Api, clock: ManualClock) -> None:
    first = good(trigger(timed, "k"))["run_id"]
    clock.advance_to(START + DAY - 1)
    assert good(trigger(timed, "k"))["run_id"] == first
    clock.advance_to(START + DAY)
    second = good(trigger(timed, "k", {"start_delay": 1}))["run_id"]
    assert second != first
    assert good(trigger(timed, "k", {"start_delay": 1}))["run_id"] == second


def test_what_has_expired_is_dropped(timed: Api, clock: ManualClock, database: Database) -> None:
    for number in range(5):
        good(trigger(timed, f"k{number}"))
    clock.advance_to(START + DAY)
    good(trigger(timed, "next"))
    kept = database.query("SELECT idempotency_key FROM trigger_keys")
    assert kept == [("next",)]


def test_a_key_outlives_the_server(start_server: StartServer) -> None:
    first = start_server()
    with connect(first) as http:
        api = Api(http)
        prepare(api)
        answer = good(trigger(api, "k"))
    first.stop()
    with connect(start_server()) as http:
        assert good(trigger(Api(http, api.namespace), "k")) == answer


@pytest.mark.parametrize("settings", [{"without": frozenset({"idempotency"})}, {"strict": True}])
def test_without_it_each_trigger_starts_a_run(start_server: StartServer, settings: dict[str, Any]) -> None:
    with connect(start_server(**settings)) as http:
        api = Api(http)
        prepare(api)
        found = {good(trigger(api, key))["run_id"] for key in ("k", "k", "", "k" * 300)}
        assert len(found) == 4
