from __future__ import annotations

from typing import Any

import pytest

from tests._support.eventually import eventually_sync
from tests._support.service import Api, Json, good, registration

REPORTS: list[tuple[str, Json]] = [
    ("executed", {"outputs": []}),
    ("errored", {"error": "e"}),
    ("prune", {"data": {}}),
    ("re-enqueue-after", {"enqueue_after": 1}),
    ("manual-retry", {"fanout_id": "f"}),
]
FINAL = ["SUCCESS", "PRUNED", "ERRORED", "RETRY_CREATED", "NEXT_CREATED_ERROR"]


def chain(api: Api, **sections: Any) -> None:
    """Put the graph ``g``: a, then b, which reads a's output."""
    api.register(registration("Step", [], ["y"]), registration("Read", ["x"], ["y"]))
    api.graph("g", api.node("a", {}, ["b"]), api.node("b", {"x": "<${{a.outputs.y}}>"}, node="Read"), **sections)


def bring_to(api: Api, status: str) -> tuple[str, str]:
    """Return the run and the id of a state of ``a`` that has this status."""
    chain(api, retry_policy={"max_retries": 1 if status == "RETRY_CREATED" else 0})
    run = api.trigger("g")
    if status == "CREATED":
        return run, api.states(run)[0]["id"]
    state = api.claim_one()
    state_id = str(state["state_id"])
    if status == "SUCCESS":
        api.executed(state, {"y": "1"})
    elif status == "PRUNED":
        api.prune(state)
    elif status in {"ERRORED", "RETRY_CREATED"}:
        api.errored(state)
    elif status == "NEXT_CREATED_ERROR":
        api.executed(state, {"other": "1"})
    assert api.state("g", run, state_id)["status"] == status
    return run, state_id


# -- executed -------------------------------------------------------------------------------------


def test_a_success_makes_the_next_states_in_the_same_moment(api: Api) -> None:
    chain(api)
    run = api.trigger("g")
    first = api.claim_one()
    answer = api.report(first["state_id"], "executed", {"outputs": [{"y": "1", "extra": {"any": [1, None]}}]})
    assert good(answer) == {"status": "EXECUTED"}
    assert api.statuses(run) == [("a", "SUCCESS"), ("b", "CREATED")]
    second = api.claim_one("Read")
    assert second["inputs"] == {"x": "<1>"}
    detail = api.state("g", run, second["state_id"])
    assert detail["parents"] == {"a": first["state_id"]}
    assert api.state("g", run, first["state_id"])["outputs"] == {"y": "1", "extra": {"any": [1, None]}}


def test_several_outputs_fan_out_into_siblings_with_children_each(api: Api) -> None:
    chain(api)
    run = api.trigger("g")
    first = api.claim_one()
    api.executed(first, {"y": "1"}, {"y": "2"}, {"y": "3"})
    assert api.statuses(run) == [("a", "SUCCESS")] * 3 + [("b", "CREATED")] * 3
    children = api.claim("Read")
    assert sorted(state["inputs"]["x"] for state in children) == ["<1>", "<2>", "<3>"]
    parents = {api.state("g", run, state["state_id"])["parents"]["a"] for state in children}
    assert len(parents) == 3
    assert first["state_id"] in parents
    assert api.run(run)["success_count"] == 3


def test_no_output_is_one_empty_output(api: Api) -> None:
    api.steps()
    api.graph("g", api.node("a", {}, ["b"]), api.node("b"))
    run = api.trigger("g")
    assert api.work_off(api.executed) == ["a", "b"]
    assert api.state("g", run, api.states(run)[0]["id"])["outputs"] == {}
    assert api.run(run)["status"] == "SUCCESS"


@pytest.mark.parametrize("output", [{}, {"y": 1}, {"y": None}, {"y": ["1"]}, {"y": {"a": "b"}}, {"y": True}])
def test_a_next_state_that_cannot_be_made_fails_all_that_were_reported(api: Api, output: Json) -> None:
    chain(api)
    run = api.trigger("g")
    state = api.claim_one()
    assert good(api.report(state["state_id"], "executed", {"outputs": [{"y": "fine"}, output]})) == {
        "status": "EXECUTED"
    }
    assert api.statuses(run) == [("a", "NEXT_CREATED_ERROR")] * 2
    detail = api.state("g", run, state["state_id"])
    assert "x" in detail["error"]
    assert detail["outputs"] == {"y": "fine"}
    assert (api.run(run)["status"], api.run(run)["errored_count"]) == ("FAILED", 2)


def test_unreferenced_outputs_may_be_anything(api: Api) -> None:
    chain(api)
    api.trigger("g")
    api.executed(api.claim_one(), {"y": "1", "n": 1, "null": None, "a.b": [], "$": {}, "": 1.5})
    assert api.claim_one("Read")["inputs"] == {"x": "<1>"}


def test_inputs_follow_the_registered_schema_of_the_moment(api: Api) -> None:
    api.register(registration("Step", [], ["y"]), registration("Read", ["x", "z"], ["y"]))
    api.graph("g", api.node("a", {}, ["b"]), api.node("b", {"x": "1", "z": "2", "surplus": "3"}, node="Read"))
    run = api.trigger("g")
    api.register(registration("Read", ["z"], ["y"]))
    api.executed(api.claim_one(), {"y": "1"})
    assert api.claim_one("Read")["inputs"] == {"z": "2"}
    api.register(registration("Read", ["x", "added"], ["y"]))
    run = api.trigger("g")
    api.executed(api.claim_one(), {"y": "1"})
    assert api.statuses(run) == [("a", "NEXT_CREATED_ERROR")]


def test_a_child_may_read_any_ancestor_and_the_store(api: Api) -> None:
    api.register(registration("Step", [], ["y"]), registration("Read", ["x"], ["y"]))
    api.graph(
        "g",
        api.node("a", {}, ["b"]),
        api.node("b", {}, ["c"]),
        api.node("c", {"x": "${{a.outputs.y}}+${{b.outputs.y}}+${{store.k}}+${{store.d}}"}, node="Read"),
        store_config={"required_keys": ["k"], "default_values": {"d": "default"}},
    )
    run = api.trigger("g", store={"k": "${{literal}}"})
    api.executed(api.claim_one(), {"y": "A"})
    api.executed(api.claim_one(), {"y": "B"}, {"y": "B2"})
    children = api.claim("Read")
    assert sorted(state["inputs"]["x"] for state in children) == [
        "A+B+${{literal}}+default",
        "A+B2+${{literal}}+default",
    ]
    assert list(api.state("g", run, children[0]["state_id"])["parents"]) == ["a", "b"]


def test_an_error_is_gone_once_a_state_succeeds(api: Api) -> None:
    chain(api)
    run = api.trigger("g")
    state = api.claim_one()
    api.executed(state, {"wrong": "1"})
    assert api.state("g", run, state["state_id"])["error"]
    new = good(api.report(state["state_id"], "manual-retry", {"fanout_id": "again"}))["id"]
    api.executed(api.claim_one(), {"y": "1"})
    assert api.state("g", run, new)["error"] is None
    assert api.state("g", run, new)["status"] == "SUCCESS"


# -- errored --------------------------------------------------------------------------------------


def test_a_failure_keeps_its_text_and_makes_a_retry_while_there_is_one(api: Api) -> None:
    chain(api, retry_policy={"max_retries": 1, "strategy": "FIXED", "backoff_factor": 1})
    run = api.trigger("g")
    first = api.claim_one()
    assert api.errored(first, "") == {"status": "ERRORED", "retry_created": True}
    assert api.statuses(run) == [("a", "CREATED"), ("a", "RETRY_CREATED")]
    assert api.state("g", run, first["state_id"])["error"] == ""
    second = api.claim_one()
    assert second["state_id"] != first["state_id"]
    assert second["inputs"] == first["inputs"]
    assert api.errored(second, "for good") == {"status": "ERRORED", "retry_created": False}
    assert api.statuses(run) == [("a", "ERRORED"), ("a", "RETRY_CREATED")]
    line = api.run(run)
    assert (line["status"], line["errored_count"], line["retried_count"]) == ("FAILED", 1, 1)


# -- signals --------------------------------------------------------------------------------------


def test_a_pruned_state_ends_without_next_states(api: Api) -> None:
    chain(api)
    run = api.trigger("g")
    answer = api.prune(api.claim_one())
    assert answer["status"] == "PRUNED"
    assert api.statuses(run) == [("a", "PRUNED")]
    assert api.run(run)["status"] == "SUCCESS"
    assert api.state("g", run, api.states(run)[0]["id"])["outputs"] == {}


def test_a_second_prune_is_answered_like_the_first(api: Api) -> None:
    run, state_id = bring_to(api, "PRUNED")
    before = api.state("g", run, state_id)
    first = good(api.report(state_id, "prune", {"data": {"other": 1}}))
    assert first["status"] == "PRUNED"
    assert api.state("g", run, state_id) == before


def test_a_requeued_state_is_due_after_the_delay_under_the_same_id(api: Api) -> None:
    chain(api)
    run = api.trigger("g")
    state = api.claim_one()
    later = good(api.report(state["state_id"], "re-enqueue-after", {"enqueue_after": 3_600_000}))
    assert later["status"] == "CREATED"
    assert api.claim() == []
    assert api.statuses(run) == [("a", "CREATED")]
    # A second signal finds it CREATED, and changes nothing.
    again = good(api.report(state["state_id"], "re-enqueue-after", {"enqueue_after": 1}))
    assert again == later
    assert api.claim() == []


def test_a_state_requeued_for_a_moment_comes_back(api: Api) -> None:
    chain(api)
    run = api.trigger("g")
    state = api.claim_one()
    good(api.report(state["state_id"], "re-enqueue-after", {"enqueue_after": 1}))
    assert wait_for_claim(api)["state_id"] == state["state_id"]
    assert len(api.states(run)) == 1


def test_the_longest_delay_is_no_error(api: Api) -> None:
    chain(api)
    api.trigger("g")
    state = api.claim_one()
    answer = good(api.report(state["state_id"], "re-enqueue-after", {"enqueue_after": 2**63 - 1}))
    assert answer["enqueue_after"] == 2**63 - 1


@pytest.mark.parametrize("status", ["CREATED", *FINAL])
def test_a_requeue_of_any_other_state_changes_nothing_and_is_200(api: Api, status: str) -> None:
    run, state_id = bring_to(api, status)
    before = api.state("g", run, state_id)
    answer = good(api.report(state_id, "re-enqueue-after", {"enqueue_after": 5}))
    assert answer["status"] == status
    assert api.state("g", run, state_id) == before
    assert sum(node["identifier"] == "a" for node in api.states(run)) == (2 if status == "RETRY_CREATED" else 1)


# -- manual retry ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["QUEUED", *FINAL])
def test_a_manual_retry_replaces_a_state_of_nearly_any_status(api: Api, status: str) -> None:
    run, state_id = bring_to(api, status)
    answer = good(api.report(state_id, "manual-retry", {"fanout_id": ""}))
    assert answer["status"] == "CREATED"
    assert api.state("g", run, state_id)["status"] == "RETRY_CREATED"
    new = api.state("g", run, answer["id"])
    assert (new["status"], new["identifier"], new["outputs"], new["error"]) == ("CREATED", "a", {}, None)
    late = api.report(state_id, "executed", {"outputs": []})
    assert (late.status_code, late.json()) == (400, {"detail": "State is not queued"})


def test_a_state_that_waits_is_not_to_be_retried(api: Api) -> None:
    _run, state_id = bring_to(api, "CREATED")
    assert api.report(state_id, "manual-retry", {"fanout_id": "f"}).status_code == 400


def test_a_fanout_id_serves_once_for_each_node_of_a_run(api: Api) -> None:
    run, state_id = bring_to(api, "ERRORED")
    first = good(api.report(state_id, "manual-retry", {"fanout_id": "f"}))["id"]
    for same in (state_id, first):
        if same == first:
            api.errored(api.claim_one())
        refused = api.report(same, "manual-retry", {"fanout_id": "f"})
        assert (refused.status_code, refused.json()) == (409, {"detail": "Duplicate retry state detected"})
    other = good(api.report(state_id, "manual-retry", {"fanout_id": "g"}))["id"]
    assert len({first, other, state_id}) == 3
    assert len(api.states(run)) == 3
    # Another run has its own.
    api.trigger("g")
    states = api.claim()
    for state in states:
        api.errored(state)
    fresh = next(state for state in states if state["state_id"] != other)
    assert api.report(fresh["state_id"], "manual-retry", {"fanout_id": "f"}).status_code == 200


def test_a_manual_retry_has_the_whole_retry_budget(api: Api) -> None:
    chain(api, retry_policy={"max_retries": 1, "strategy": "FIXED", "backoff_factor": 1})
    api.trigger("g")
    assert api.errored(api.claim_one())["retry_created"] is True
    last = wait_for_claim(api)
    assert api.errored(last)["retry_created"] is False
    good(api.report(last["state_id"], "manual-retry", {"fanout_id": "f"}))
    assert api.errored(api.claim_one())["retry_created"] is True


def test_retrying_a_success_leaves_its_children_and_makes_more(api: Api) -> None:
    run, state_id = bring_to(api, "SUCCESS")
    good(api.report(state_id, "manual-retry", {"fanout_id": "f"}))
    api.executed(api.claim_one(), {"y": "2"})
    assert api.identifiers(run) == ["a", "a", "b", "b"]
    assert sorted(state["inputs"]["x"] for state in api.claim("Read")) == ["<1>", "<2>"]


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body", "detail", "status"),
    [
        (kind, body, detail, status)
        for kind, body, detail in (
            ("executed", {"outputs": [{"y": "x"}]}, "State is not queued"),
            ("errored", {"error": "e"}, "State is not queued or executed"),
            ("prune", {"data": {}}, "State is not queued"),
        )
        for status in ("CREATED", *FINAL)
        # A second prune is 200, and has a test of its own.
        if (kind, status) != ("prune", "PRUNED")
    ],
)
def test_a_report_about_a_state_that_is_not_queued_is_400_and_changes_nothing(
    api: Api, kind: str, body: Json, detail: str, status: str
) -> None:
    run, state_id = bring_to(api, status)
    before = api.states(run)
    answer = api.report(state_id, kind, body)
    assert (answer.status_code, answer.json()) == (400, {"detail": detail})
    assert api.states(run) == before


@pytest.mark.parametrize(("kind", "body"), REPORTS)
def test_an_unknown_state_is_404(api: Api, kind: str, body: Json) -> None:
    answer = api.report("0123456789abcdef01234567", kind, body)
    assert (answer.status_code, answer.json()) == (404, {"detail": "State not found"})


@pytest.mark.parametrize(("kind", "body"), REPORTS)
@pytest.mark.parametrize("state_id", ["x", "0123456789abcdef0123456", "0123456789abcdef012345678", "g" * 24])
def test_a_malformed_state_id_is_422(api: Api, kind: str, body: Json, state_id: str) -> None:
    answer = api.report(state_id, kind, body)
    assert answer.status_code == 422
    assert [issue["loc"] for issue in answer.json()["detail"]] == [["path", "state_id"]]


@pytest.mark.parametrize(("kind", "body"), REPORTS)
def test_a_state_of_another_namespace_is_404(api: Api, kind: str, body: Json) -> None:
    _run, state_id = bring_to(api, "QUEUED")
    assert api.in_namespace(f"{api.namespace}-other").report(state_id, kind, body).status_code == 404


@pytest.mark.parametrize(("kind", "body"), REPORTS)
def test_a_state_id_is_read_in_upper_case_too(api: Api, kind: str, body: Json) -> None:
    _run, state_id = bring_to(api, "QUEUED")
    assert api.report(state_id.upper(), kind, body).status_code == 200


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        ("executed", {}, "outputs"),
        ("executed", {"outputs": None}, "outputs"),
        ("executed", {"outputs": {}}, "outputs"),
        ("executed", {"outputs": [1]}, "outputs"),
        ("executed", {"outputs": [None]}, "outputs"),
        ("errored", {}, "error"),
        ("errored", {"error": None}, "error"),
        ("prune", {}, "data"),
        ("prune", {"data": []}, "data"),
        ("prune", {"data": None}, "data"),
        ("re-enqueue-after", {}, "enqueue_after"),
        ("re-enqueue-after", {"enqueue_after": 0}, "enqueue_after"),
        ("re-enqueue-after", {"enqueue_after": -5}, "enqueue_after"),
        ("re-enqueue-after", {"enqueue_after": 2**63}, "enqueue_after"),
        ("manual-retry", {}, "fanout_id"),
        ("manual-retry", {"fanout_id": 1}, "fanout_id"),
    ],
)
def test_a_body_that_breaks_the_schema_is_422_and_changes_nothing(api: Api, kind: str, body: Json, field: str) -> None:
    run, state_id = bring_to(api, "QUEUED")
    answer = api.report(state_id, kind, body)
    assert answer.status_code == 422
    assert {tuple(issue["loc"][:2]) for issue in answer.json()["detail"]} == {("body", field)}
    assert api.statuses(run) == [("a", "QUEUED")]


def wait_for_claim(api: Api) -> Json:
    return eventually_sync(lambda: api.claim(size=1))[0]
