from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import httpx
import pytest

from tests._support.service import Api, Json, good, registration

T = TypeVar("T")


def at_once(*calls: Callable[[], T]) -> list[T]:
    """Make the calls in threads of their own, let go together."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def reports(api: Api, state: Json, kinds: Sequence[tuple[str, Json]]) -> list[httpx.Response]:
    return at_once(*(lambda kind=kind, body=body: api.report(state["state_id"], kind, body) for kind, body in kinds))


def queued(api: Api) -> tuple[str, Json]:
    api.steps()
    api.graph(
        "g",
        api.node("a", {}, ["b"]),
        api.node("b", {}, ["c"]),
        api.node("c", unites="a"),
        retry_policy={"max_retries": 3},
    )
    return api.trigger("g"), api.claim_one()


@pytest.mark.parametrize(
    ("kind", "body", "after"),
    [
        ("executed", {"outputs": [{"y": "1"}, {"y": "2"}]}, [("a", "SUCCESS")] * 2 + [("b", "CREATED")] * 2),
        ("errored", {"error": "e"}, [("a", "CREATED"), ("a", "RETRY_CREATED")]),
    ],
)
def test_of_equal_reports_one_is_taken_and_there_is_one_set_of_children(
    api: Api, kind: str, body: Json, after: list[tuple[str, str]]
) -> None:
    run, state = queued(api)
    answers = reports(api, state, [(kind, body)] * 12)
    assert Counter(answer.status_code for answer in answers) == {200: 1, 400: 11}
    assert api.statuses(run) == after


def test_of_different_reports_one_is_taken(api: Api) -> None:
    run, state = queued(api)
    kinds: list[tuple[str, Json]] = [
        ("executed", {"outputs": [{"y": "1"}]}),
        ("errored", {"error": "e"}),
        ("prune", {"data": {}}),
    ]
    answers = reports(api, state, kinds * 4)
    taken = [answer for answer, (kind, _body) in zip(answers, kinds * 4, strict=True) if answer.is_success]
    # Of the four prunes, those after the first are 200 as well, and change nothing.
    assert len(taken) == (4 if api.statuses(run) == [("a", "PRUNED")] else 1)
    assert len(api.states(run)) == (1 if api.statuses(run) == [("a", "PRUNED")] else 2)


def test_a_state_goes_to_one_of_many_claimers(api: Api) -> None:
    api.steps()
    api.graph("g", api.node("a"))
    for _ in range(60):
        api.trigger("g")
    claims = at_once(*(lambda: api.claim(size=7) for _ in range(20)))
    ids = [state["state_id"] for states in claims for state in states]
    assert len(ids) == len(set(ids)) == 60


def test_a_manual_retry_under_one_id_is_made_once(api: Api) -> None:
    run, state = queued(api)
    answers = reports(api, state, [("manual-retry", {"fanout_id": "f"})] * 10)
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 9}
    assert len(api.states(run)) == 2


def test_a_wide_fan_out_that_ends_all_at_once_makes_one_join(api: Api) -> None:
    api.steps()
    api.graph("g", api.node("a", {}, ["b"]), api.node("b", {}, ["d"]), api.node("d", {}, ["c"]),
              api.node("c", unites="a"))  # fmt: skip
    run = api.trigger("g")
    api.executed(api.claim_one())
    api.executed(api.claim_one(), *({"y": str(number)} for number in range(16)))
    ends = api.claim()
    assert len(ends) == 16
    at_once(*(lambda state=state: api.executed(state) for state in ends))
    assert api.identifiers(run).count("c") == 1


def test_concurrent_first_registrations_all_succeed(api: Api) -> None:
    body = {"runtime_name": "r", "nodes": [registration("One"), registration("Two")]}
    answers = at_once(*(lambda: api.put("/nodes/", body) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert [node["name"] for node in good(api.get("/nodes/"))["nodes"]] == ["One", "Two"]


def test_concurrent_puts_of_one_graph_all_succeed_and_are_valid(api: Api) -> None:
    api.steps()
    body = {
        "secrets": {},
        "nodes": [api.node("a")],
        "triggers": [{"type": "CRON", "value": {"expression": "0 9 * * *"}}],
    }
    answers = at_once(*(lambda: api.put("/graph/g", body) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {201}
    assert {answer.json()["validation_status"] for answer in answers} == {"VALID"}
    assert good(api.get("/graphs/"))["count"] == 1
