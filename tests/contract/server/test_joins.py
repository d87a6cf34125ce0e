"""The table of contract section 7.5, as part B changes it."""

from __future__ import annotations

import pytest

from tests._support.eventually import eventually_sync
from tests._support.service import Api, Json, good, registration

STRATEGIES = ["ALL_SUCCESS", "ALL_DONE"]


def fan(api: Api, strategy: str, *more: Json, **sections: object) -> str:
    """Start a run of a, b (which fans out in three), d below each, and c which unites a."""
    api.steps()
    api.graph(
        "g",
        api.node("a", {}, ["b"]),
        api.node("b", {}, ["d", *(node["identifier"] for node in more)]),
        api.node("d", {}, ["c"]),
        *more,
        api.node("c", unites="a", strategy=strategy),
        **{"retry_policy": {"max_retries": 0}, **sections},
    )
    run = api.trigger("g")
    api.executed(api.claim_one(), {"y": "a"})
    api.executed(api.claim_one(), {"y": "1"}, {"y": "2"}, {"y": "3"})
    return run


def branches(api: Api, identifier: str = "d") -> list[Json]:
    states = api.claim()
    assert {state["identifier"] for state in states} >= {identifier}
    return [state for state in states if state["identifier"] == identifier]


def joined(api: Api, run: str, identifier: str = "c") -> int:
    """Return how many states the uniting node has."""
    return api.identifiers(run).count(identifier)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_when_all_succeed_the_join_comes_once_after_the_last(api: Api, strategy: str) -> None:
    run = fan(api, strategy)
    for state in branches(api):
        assert joined(api, run) == 0
        api.executed(state, {"y": "d"})
    assert joined(api, run) == 1
    join = api.claim_one()
    assert join["identifier"] == "c"
    united = next(state for state in api.states(run) if state["identifier"] == "a")
    assert api.state("g", run, join["state_id"])["parents"] == {"a": united["id"]}
    api.executed(join)
    assert api.run(run)["status"] == "SUCCESS"
    assert joined(api, run) == 1


@pytest.mark.parametrize(("strategy", "expected"), [("ALL_SUCCESS", 0), ("ALL_DONE", 1)])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_branch_that_fails(api: Api, strategy: str, expected: int, position: int) -> None:
    run = fan(api, strategy)
    for at, state in enumerate(branches(api)):
        if at == position:
            api.errored(state)
        else:
            api.executed(state)
    assert joined(api, run) == expected


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_branch_that_is_pruned_counts_as_ended_well(api: Api, strategy: str, position: int) -> None:
    run = fan(api, strategy)
    for at, state in enumerate(branches(api)):
        if at == position:
            api.prune(state)
        else:
            api.executed(state)
    assert joined(api, run) == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_when_all_are_pruned_above_the_branch_ends_the_join_comes_too(api: Api, strategy: str) -> None:
    api.steps()
    api.graph("g", api.node("a", {}, ["b"]), api.node("b", {}, ["d"]), api.node("d", {}, ["c"]),
              api.node("c", unites="a", strategy=strategy))  # fmt: skip
    run = api.trigger("g")
    api.executed(api.claim_one())
    api.prune(api.claim_one())
    assert api.statuses(run) == [("a", "SUCCESS"), ("b", "PRUNED"), ("c", "CREATED")]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_failed_branch_that_is_retried_by_hand_completes_the_join_once(api: Api, strategy: str) -> None:
    run = fan(api, strategy)
    first, *others = branches(api)
    api.errored(first)
    for state in others:
        api.executed(state)
    assert joined(api, run) == (1 if strategy == "ALL_DONE" else 0)
    good(api.report(first["state_id"], "manual-retry", {"fanout_id": "f"}))
    retried = [state for state in api.claim() if state["identifier"] == "d"]
    assert len(retried) == 1
    api.executed(retried[0])
    assert joined(api, run) == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_automatic_retry_keeps_the_join_waiting(api: Api, strategy: str) -> None:
    run = fan(api, strategy, retry_policy={"max_retries": 1, "strategy": "FIXED", "backoff_factor": 1})
    first, *others = branches(api)
    for state in others:
        api.executed(state)
    assert api.errored(first)["retry_created"] is True
    assert joined(api, run) == 0
    api.executed(eventually_sync(api.claim)[0])
    assert joined(api, run) == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("leaf_last", [True, False])
def test_an_unrelated_leaf_below_the_united_state_is_waited_for(api: Api, strategy: str, leaf_last: bool) -> None:
    api.steps()
    api.graph(
        "g",
        api.node("a", {}, ["b", "leaf"]),
        api.node("b", {}, ["c"]),
        api.node("leaf"),
        api.node("c", unites="a", strategy=strategy),
    )
    run = api.trigger("g")
    api.executed(api.claim_one())
    states = sorted(api.claim(), key=lambda state: (state["identifier"] == "leaf") == leaf_last)
    api.executed(states[0])
    assert joined(api, run) == 0
    api.executed(states[1])
    assert joined(api, run) == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_uniters_of_one_state_both_come(api: Api, strategy: str) -> None:
    api.steps()
    api.graph(
        "g",
        api.node("a", {}, ["b", "e"]),
        api.node("b", {}, ["c1"]),
        api.node("e", {}, ["c2"]),
        api.node("c1", unites="a", strategy=strategy),
        api.node("c2", unites="a", strategy=strategy),
    )
    run = api.trigger("g")
    api.executed(api.claim_one())
    for state in api.claim():
        assert (joined(api, run, "c1"), joined(api, run, "c2")) == (0, 0)
        api.executed(state)
    assert sorted(api.work_off()) == ["c1", "c2"]
    assert api.run(run)["total_count"] == 5


def test_a_uniter_waits_for_the_uniter_above_it(api: Api) -> None:
    api.steps()
    api.graph(
        "g",
        api.node("a", {}, ["b"]),
        api.node("b", {}, ["c1"]),
        api.node("c1", {}, ["d"], unites="a"),
        api.node("d", {}, ["c2"]),
        api.node("c2", unites="a"),
    )
    run = api.trigger("g")
    assert api.work_off() == ["a", "b", "c1", "d", "c2"]
    assert api.run(run)["status"] == "SUCCESS"


def test_each_united_state_has_a_join_of_its_own(api: Api) -> None:
    api.steps()
    api.graph("g", api.node("r", {}, ["a"]), api.node("a", {}, ["b"]), api.node("b", {}, ["c"]),
              api.node("c", unites="a"))  # fmt: skip
    run = api.trigger("g")
    api.executed(api.claim_one(), {"y": "1"}, {"y": "2"})
    lefts = api.claim()
    for state in lefts:
        api.executed(state, {"y": "1"}, {"y": "2"})
    work = [state for state in api.claim() if state["identifier"] == "b"]
    assert len(work) == 4
    for at, state in enumerate(work, 1):
        api.executed(state)
        assert joined(api, run) == at  # a fanned out as well, so each of its states is united for itself


def test_joins_nest_from_the_inside_out(api: Api) -> None:
    api.steps()
    api.graph(
        "g",
        api.node("a", {}, ["b"]),
        api.node("b", {}, ["d"]),
        api.node("d", {}, ["inner"]),
        api.node("inner", {}, ["e"], unites="b"),
        api.node("e", {}, ["outer"]),
        api.node("outer", unites="a"),
    )
    run = api.trigger("g")
    api.executed(api.claim_one(), {"y": "1"})
    api.executed(api.claim_one(), {"y": "1"}, {"y": "2"})
    for state in api.claim():
        assert joined(api, run, "inner") < 2
        api.executed(state)
    assert (joined(api, run, "inner"), joined(api, run, "outer")) == (2, 0)
    first, second = api.claim()
    api.executed(first)
    api.executed(second)
    first, second = api.claim()
    api.executed(first)
    assert joined(api, run, "outer") == 0
    api.executed(second)
    assert joined(api, run, "outer") == 1


def test_what_follows_a_join_may_read_it_and_what_it_united(api: Api) -> None:
    api.register(registration("Step", [], ["y"]), registration("Read", ["x"], ["y"]))
    api.graph(
        "g",
        api.node("a", {}, ["b"]),
        api.node("b", {}, ["c"]),
        api.node("c", {"x": "${{a.outputs.y}}"}, ["d"], node="Read", unites="a"),
        api.node("d", {"x": "${{c.outputs.y}} of ${{a.outputs.y}}"}, node="Read"),
    )
    api.trigger("g")
    api.executed(api.claim_one(), {"y": "A"})
    api.executed(api.claim_one(), {"y": "B"})
    join = api.claim_one("Read")
    assert join["inputs"] == {"x": "A"}
    api.executed(join, {"y": "C"}, {"y": "C2"})
    assert sorted(state["inputs"]["x"] for state in api.claim("Read")) == ["C of A", "C2 of A"]


def test_a_join_that_cannot_be_made_fails_the_state_that_completed_it(api: Api) -> None:
    api.register(registration("Step", [], ["y"]), registration("Read", ["x"], ["y"]))
    api.graph(
        "g",
        api.node("a", {}, ["b"]),
        api.node("b", {}, ["c", "leaf"]),
        api.node("leaf"),
        api.node("c", {"x": "${{a.outputs.y}}"}, node="Read", unites="a"),
    )
    run = api.trigger("g")
    api.executed(api.claim_one(), {})
    api.executed(api.claim_one(), {"y": "B"})
    api.executed(api.claim_one(), {"y": "L"})
    assert api.statuses(run) == [("a", "SUCCESS"), ("b", "SUCCESS"), ("leaf", "NEXT_CREATED_ERROR")]
    failed = next(state for state in api.states(run) if state["identifier"] == "leaf")
    assert "'y'" in failed["error"]
    assert api.run(run)["status"] == "FAILED"


def test_a_join_that_cannot_be_made_after_a_prune_shows_as_failed(api: Api) -> None:
    api.register(registration("Step", [], ["y"]), registration("Read", ["x"], ["y"]))
    api.graph("g", api.node("a", {}, ["b"]), api.node("b", {}, ["c"]),
              api.node("c", {"x": "${{a.outputs.y}}"}, node="Read", unites="a"))  # fmt: skip
    run = api.trigger("g")
    api.executed(api.claim_one(), {})
    api.prune(api.claim_one())
    assert api.statuses(run) == [("a", "SUCCESS"), ("b", "PRUNED"), ("c", "NEXT_CREATED_ERROR")]
    assert api.run(run)["status"] == "FAILED"


def test_a_wide_join_comes_once_and_its_cost_per_state_does_not_grow(api: Api) -> None:
    api.steps()
    api.graph("g", api.node("a", {}, ["b"]), api.node("b", {}, ["d"]), api.node("d", {}, ["c"]),
              api.node("c", unites="a"))  # fmt: skip
    run = api.trigger("g")
    api.executed(api.claim_one())
    api.executed(api.claim_one(), *({"y": str(number)} for number in range(1_000)))
    states = api.claim(size=1_000)
    assert len(states) == 1_000
    for state in states:
        api.executed(state)
    assert joined(api, run) == 1
    assert api.run(run)["success_count"] == 2_001
