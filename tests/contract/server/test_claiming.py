from __future__ import annotations

import pytest

from tests._support.service import Api, good, registration


def test_a_claim_queues_due_states_of_the_named_nodes_only(api: Api) -> None:
    api.register(registration("One"), registration("Two"))
    api.graph("one", api.node("i1", node="One"))
    api.graph("two", api.node("i2", node="Two"))
    first, second = api.trigger("one"), api.trigger("two")
    answer = good(api.post("/states/enqueue", {"nodes": ["Two", "Two", "i1"], "batch_size": 5}))
    assert (answer["count"], answer["namespace"], answer["status"]) == (1, api.namespace, "QUEUED")
    state = answer["states"][0]
    assert set(state) >= {"state_id", "node_name", "identifier", "inputs", "created_at"}
    assert (state["node_name"], state["identifier"]) == ("Two", "i2")
    assert state["state_id"] == state["state_id"].lower()
    assert api.statuses(second) == [("i2", "QUEUED")]
    assert api.statuses(first) == [("i1", "CREATED")]


def test_a_claim_does_not_move_updated_at(api: Api) -> None:
    api.steps()
    api.graph("g", api.node("a"))
    run = api.trigger("g")
    state_id = api.states(run)[0]["id"]
    before = api.state("g", run, state_id)
    api.claim_one()
    after = api.state("g", run, state_id)
    assert (before["status"], after["status"]) == ("CREATED", "QUEUED")
    assert before["updated_at"] == after["updated_at"]


@pytest.mark.parametrize("size", [0, -1, -(2**63)])
def test_a_batch_of_none_or_less_is_empty(api: Api, size: int) -> None:
    api.steps()
    api.graph("g", api.node("a"))
    api.trigger("g")
    assert api.claim(size=size) == []


def test_no_node_or_an_unknown_one_gives_nothing(api: Api) -> None:
    assert good(api.post("/states/enqueue", {"nodes": [], "batch_size": 1}))["states"] == []
    assert good(api.post("/states/enqueue", {"nodes": ["Unknown"], "batch_size": 1}))["states"] == []


def test_what_is_due_longest_comes_first_whatever_the_order_of_the_names(api: Api) -> None:
    api.register(registration("One"), registration("Two"))
    api.graph("one", api.node("i1", node="One"))
    api.graph("two", api.node("i2", node="Two"))
    for name in ("one", "two", "one", "two"):
        api.trigger(name)
    assert [state["identifier"] for state in api.claim("Two", "One", size=3)] == ["i1", "i2", "i1"]
    assert [state["identifier"] for state in api.claim("Two", "One", size=3)] == ["i2"]


def test_a_claim_gives_a_thousand_at_most(api: Api) -> None:
    api.register(registration("Fan", [], ["y"]), registration("Leaf", [], ["y"]))
    api.graph("g", api.node("a", {}, ["b"], node="Fan"), api.node("b", node="Leaf"))
    api.trigger("g")
    api.executed(api.claim_one("Fan"), *({"y": str(number)} for number in range(1_100)))
    assert len(api.claim("Leaf", size=2**62)) == 1_000
    assert len(api.claim("Leaf", size=2**62)) == 100


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"batch_size": 1}, "nodes"),
        ({"nodes": []}, "batch_size"),
        ({"nodes": None, "batch_size": 1}, "nodes"),
        ({"nodes": "Step", "batch_size": 1}, "nodes"),
        ({"nodes": [None], "batch_size": 1}, "nodes"),
    ],
)
def test_a_body_that_breaks_the_schema_is_422(api: Api, body: object, field: str) -> None:
    answer = api.post("/states/enqueue", body)
    assert answer.status_code == 422
    assert {issue["loc"][1] for issue in answer.json()["detail"]} == {field}
