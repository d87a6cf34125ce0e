"""A claim has a token: what is reported of a claim acts only while that very claim holds the state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from exospherehost.server import ServerThread
from tests._support.eventually import eventually_sync
from tests._support.service import Api, connect, good

OTHER = "0123456789abcdef"
REPORTS: dict[str, dict[str, Any]] = {
    "executed": {"outputs": [{"y": "1"}]},
    "errored": {"error": "boom"},
    "prune": {"data": {}},
    "re-enqueue-after": {"enqueue_after": 1},
}
SIGNALS = {"prune", "re-enqueue-after"}
IN_A_BATCH = {"executed": "executed", "errored": "errored", "prune": "prune", "re-enqueue-after": "requeue"}


def claimed(api: Api) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    def one() -> bool:
        found.extend(api.claim())
        return bool(found)

    eventually_sync(one)
    assert len(found) == 1
    return found[0]


@pytest.fixture
def state(api: Api) -> dict[str, Any]:
    """Return a state that was claimed, requeued, and claimed again."""
    api.steps()
    api.graph("g", api.node("a"), retry_policy={"max_retries": 0})
    api.trigger("g")
    first = api.claim_one()
    good(api.report(first["state_id"], "re-enqueue-after", {"enqueue_after": 1, "claim_token": first["claim_token"]}))
    second = claimed(api)
    assert second["state_id"] == first["state_id"]
    assert second["claim_token"] != first["claim_token"]
    return {**second, "first_token": first["claim_token"]}


def batch(api: Api, state_id: str, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    report = {"state_id": state_id, IN_A_BATCH[kind]: body}
    return dict(good(api.post("/states/report", {"reports": [report]}))["results"][0])


@pytest.mark.parametrize("kind", REPORTS)
def test_what_an_earlier_claim_says_changes_nothing(api: Api, state: dict[str, Any], kind: str) -> None:
    body = {**REPORTS[kind], "claim_token": state["first_token"]}
    answer = api.report(state["state_id"], kind, body)
    if kind in SIGNALS:
        assert (answer.status_code, answer.json()["status"]) == (200, "QUEUED")
    else:
        assert (answer.status_code, answer.json()["detail"]) == (400, "State is not queued")
    result = batch(api, state["state_id"], kind, body)
    assert result["status"] == (200 if kind in SIGNALS else 400)
    assert api.claim() == []
    good(api.report(state["state_id"], kind, {**REPORTS[kind], "claim_token": state["claim_token"]}))


@pytest.mark.parametrize("kind", REPORTS)
def test_what_the_holder_says_acts_once(api: Api, state: dict[str, Any], kind: str) -> None:
    body = {**REPORTS[kind], "claim_token": state["claim_token"]}
    assert batch(api, state["state_id"], kind, body)["status"] == 200
    again = api.report(state["state_id"], kind, body)
    assert again.status_code == (200 if kind in SIGNALS else 400)
    if kind == "re-enqueue-after":
        # The second one found it waiting, or with nobody: it is claimed once more, by one.
        assert claimed(api)["claim_token"] != state["claim_token"]


@pytest.mark.parametrize("kind", REPORTS)
def test_without_a_token_whoever_holds_it_is_meant(api: Api, state: dict[str, Any], kind: str) -> None:
    good(api.report(state["state_id"], kind, REPORTS[kind]))


def test_a_signal_to_a_state_that_has_ended_shows_it_as_it_is(api: Api, state: dict[str, Any]) -> None:
    api.executed(state, {"y": "1"})
    for kind in SIGNALS:
        answer = api.report(state["state_id"], kind, {**REPORTS[kind], "claim_token": state["claim_token"]})
        assert (answer.status_code, answer.json()["status"]) == (200, "SUCCESS")


def test_a_lease_is_renewed_by_the_claim_that_holds_it(api: Api) -> None:
    api.steps()
    api.graph("g", api.node("a"))
    for _ in range(3):
        api.trigger("g")
    states = good(api.post("/states/enqueue", {"nodes": ["Step"], "batch_size": 3, "lease_ms": 60_000}))["states"]
    ids = [state["state_id"] for state in states]
    assert len({state["claim_token"] for state in states}) == 1
    tokens = {ids[0]: states[0]["claim_token"], ids[1].upper(): OTHER}
    body = {"state_ids": ids, "lease_ms": 60_000, "claim_tokens": tokens}
    held = good(api.post("/states/renew", body))["held"]
    assert [lease["state_id"] for lease in held] == [ids[0], ids[2]]


def test_a_retry_is_another_claim(api: Api) -> None:
    api.steps()
    api.graph("g", api.node("a"), retry_policy={"max_retries": 1, "strategy": "FIXED", "backoff_factor": 1})
    api.trigger("g")
    first = api.claim_one()
    assert api.errored(first)["retry_created"]
    second = claimed(api)
    body = {"outputs": [], "claim_token": first["claim_token"]}
    assert api.report(second["state_id"], "executed", body).status_code == 400
    good(api.report(second["state_id"], "executed", {**body, "claim_token": second["claim_token"]}))


@pytest.mark.parametrize("token", [None, 1, ["a"]])
def test_what_is_no_token_is_refused(api: Api, state: dict[str, Any], token: object) -> None:
    for kind, body in REPORTS.items():
        assert api.report(state["state_id"], kind, {**body, "claim_token": token}).status_code == 422
        if token is not None:
            assert batch(api, state["state_id"], kind, {**body, "claim_token": token})["status"] == 422
    api.executed(state)


@pytest.mark.parametrize("settings", [{"without": frozenset({"claim-token"})}, {"strict": True}])
def test_without_it_no_notice_is_taken(start_server: Callable[..., ServerThread], settings: dict[str, Any]) -> None:
    with connect(start_server(**settings)) as http:
        api = Api(http)
        api.steps()
        api.graph("g", api.node("a"), retry_policy={"max_retries": 0})
        for kind, body in REPORTS.items():
            api.trigger("g")
            state = claimed(api)
            assert "claim_token" not in state
            good(api.report(state["state_id"], kind, {**body, "claim_token": OTHER}))
            if kind == "re-enqueue-after":
                api.executed(claimed(api))
