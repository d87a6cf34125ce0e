from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from exospherehost.server import ServerThread
from exospherehost.server.service import state_reports
from tests._support.service import Api, Json, connect, good

UNKNOWN = "0" * 24


def report(api: Api, *reports: Json) -> list[Json]:
    results = good(api.post("/states/report", {"reports": list(reports)}))["results"]
    assert [result["state_id"] for result in results] == [each["state_id"] for each in reports]
    return list(results)


def claimed(api: Api, count: int, **sections: Any) -> list[str]:
    api.steps()
    api.graph("g", api.node("a", {}, ["b"]), api.node("b"), **sections)
    runs = {api.trigger("g") for _ in range(count)}
    states = api.claim()
    assert len(states) == len(runs) == count
    return [str(state["state_id"]) for state in states]


def statuses(api: Api) -> list[str]:
    runs = good(api.get("/runs/1/1000"))["runs"]
    return sorted(state["status"] for run in runs for state in api.states(run["run_id"]))


def test_each_report_is_applied_as_its_own_operation_would_be_and_answered_in_order(api: Api) -> None:
    first, second, third, fourth = claimed(api, 4, retry_policy={"max_retries": 1})
    results = report(
        api,
        {"state_id": first.upper(), "executed": {"outputs": [{"y": "1"}, {"y": "2"}]}},
        {"state_id": second, "errored": {"error": "e"}},
        {"state_id": third, "prune": {"data": {"why": 1}}},
        {"state_id": fourth, "requeue": {"enqueue_after": 60_000}},
    )
    assert results[0] == {"state_id": first.upper(), "status": 200}
    assert results[1] == {"state_id": second, "status": 200, "retry_created": True}
    assert [set(result) for result in results[2:]] == [{"state_id", "status", "enqueue_after"}] * 2
    assert results[3]["enqueue_after"] > results[2]["enqueue_after"]
    created = ["CREATED"] * 4  # two children, the retry, the state put off
    assert statuses(api) == [*created, "PRUNED", "RETRY_CREATED", "SUCCESS", "SUCCESS"]


def test_a_refused_report_refuses_no_other(api: Api) -> None:
    first, second = claimed(api, 2)
    done = {"executed": {"outputs": []}}
    results = report(
        api,
        {"state_id": UNKNOWN, **done},
        {"state_id": first, **done},
        {"state_id": first, **done},
        {"state_id": "no id", **done},
        {"state_id": second, **done},
    )
    assert [result["status"] for result in results] == [404, 200, 400, 422, 200]
    assert (results[0]["detail"], results[2]["detail"]) == ("State not found", "State is not queued")
    assert statuses(api) == ["CREATED"] * 2 + ["SUCCESS"] * 2


@pytest.mark.parametrize(
    "outcome",
    [
        {},
        {"executed": {"outputs": []}, "errored": {"error": "e"}},
        {"executed": None},
        {"executed": {}},
        {"executed": {"outputs": [1]}},
        {"errored": {"error": 1}},
        {"requeue": {"enqueue_after": 0}},
        {"executed": {"outputs": [{"y": 2**70}]}},
    ],
)
def test_a_report_that_its_own_operation_would_not_read_is_a_422_of_its_own(api: Api, outcome: Json) -> None:
    first, second = claimed(api, 2)
    results = report(api, {"state_id": first, **outcome}, {"state_id": second, "errored": {"error": ""}})
    assert [result["status"] for result in results] == [422, 200]
    assert results[0]["detail"]
    assert statuses(api).count("QUEUED") == 1


def test_values_that_no_storage_takes_spoil_one_report_only(api: Api) -> None:
    first, second = claimed(api, 2)
    text = (
        f'{{"reports": [{{"state_id": "{first}", "executed": {{"outputs": [{{"y": NaN}}]}}}},'
        f' {{"state_id": "{second}", "errored": {{"error": "e"}}}}]}}'
    )
    answer = api.call("POST", "/states/report", content=text, headers={"content-type": "application/json"})
    assert [result["status"] for result in good(answer)["results"]] == [422, 200]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reports": {}},
        {"reports": [1]},
        {"reports": [{"executed": {"outputs": []}}]},
        {"reports": [{"state_id": 1, "executed": {"outputs": []}}]},
        {"reports": [{"state_id": UNKNOWN, "executed": {"outputs": []}}] * 1_001},
    ],
)
def test_a_body_of_another_shape_or_with_too_many_reports_is_422_and_applies_nothing(api: Api, body: Json) -> None:
    answer = api.post("/states/report", body)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][:2] == ["body", "reports"]


def test_a_thousand_reports_are_taken(api: Api) -> None:
    api.steps()
    api.graph("g", api.node("a", {}, ["b"]), api.node("b"))
    run = api.trigger("g")
    api.executed(api.claim_one(), *({"y": str(number)} for number in range(1_000)))
    states = api.claim(size=1_000)
    results = report(api, *({"state_id": state["state_id"], "executed": {"outputs": []}} for state in states))
    assert [result["status"] for result in results] == [200] * 1_000
    assert (api.run(run)["status"], api.run(run)["success_count"]) == ("SUCCESS", 2_000)


def test_a_report_that_fails_for_no_reason_of_its_own_is_a_500_of_its_own(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("an internal matter")

    first, second = claimed(api, 2)
    monkeypatch.setattr(state_reports, "prune", fail)
    results = report(api, {"state_id": first, "prune": {"data": {}}}, {"state_id": second, "executed": {"outputs": []}})
    assert [result["status"] for result in results] == [500, 200]
    assert "internal matter" not in results[0]["detail"]
    assert f"event=report_failed state_id={first}" in caplog.text


def test_none_at_all_are_taken_too(api: Api) -> None:
    assert report(api) == []


def test_states_of_another_namespace_are_not_found(api: Api) -> None:
    (first,) = claimed(api, 1)
    results = report(api.in_namespace("elsewhere"), {"state_id": first, "executed": {"outputs": []}})
    assert results == [{"state_id": first, "status": 404, "detail": "State not found"}]


@pytest.mark.parametrize("settings", [{"without": frozenset({"batch-report"})}, {"strict": True}])
def test_without_it_the_operation_does_not_exist(
    start_server: Callable[..., ServerThread], settings: dict[str, Any]
) -> None:
    with connect(start_server(**settings)) as http:
        assert Api(http).post("/states/report", {"reports": []}).status_code == 404
