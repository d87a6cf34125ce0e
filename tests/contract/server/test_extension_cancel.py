from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from exospherehost.server import ServerThread
from exospherehost.testing.clock import ManualClock
from tests._support.eventually import eventually_sync
from tests._support.service import Api, Json, connect, good

StartServer = Callable[..., ServerThread]
START = 1_800_000_000_000


def cancel(api: Api, run: str) -> Json:
    answer = api.call("POST", f"/runs/{run}/cancel")
    assert answer.headers["content-type"] == "application/json"
    return good(answer)


def fan_out(api: Api, width: int, **sections: Any) -> str:
    """Start a run of which so many states of ``b`` wait."""
    api.steps()
    api.graph("g", api.node("a", {}, ["b"]), api.node("b", {}, ["d"]), api.node("d"), **sections)
    run = api.trigger("g")
    api.executed(api.claim_one(), *({"y": str(number)} for number in range(width)))
    return run


def counted(api: Api, run: str) -> dict[str, int]:
    """Return the run's counts, which must be those of its states."""
    line = api.run(run)
    statuses = [status for _identifier, status in api.statuses(run)]
    counts = {
        "pending": sum(status in {"CREATED", "QUEUED", "EXECUTED"} for status in statuses),
        "success": sum(status in {"SUCCESS", "PRUNED"} for status in statuses),
        "errored": sum(status in {"ERRORED", "NEXT_CREATED_ERROR"} for status in statuses),
        "retried": statuses.count("RETRY_CREATED"),
    }
    assert {name: line[f"{name}_count"] for name in counts} == counts
    assert line["total_count"] == len(statuses)
    return counts


def test_what_waits_or_runs_is_pruned_and_the_run_has_failed(api: Api) -> None:
    run = fan_out(api, 4)
    done, _held = api.claim(size=2)
    api.executed(done)
    before = datetime.now(UTC)
    answer = cancel(api, run)
    assert (answer["run_id"], answer["status"], answer["pruned_count"]) == (run, "FAILED", 4)
    assert abs((datetime.fromisoformat(answer["cancelled_at"]) - before).total_seconds()) < 60
    assert api.statuses(run) == [("a", "SUCCESS")] * 4 + [("b", "PRUNED")] * 3 + [("b", "SUCCESS"), ("d", "PRUNED")]
    line = api.run(run)
    assert (line["status"], line["cancelled_at"]) == ("FAILED", answer["cancelled_at"])
    assert good(api.get(f"/states/run/{run}/graph"))["cancelled_at"] == answer["cancelled_at"]
    assert counted(api, run)["pending"] == 0
    assert api.claim() == []


def test_other_runs_go_on_and_say_that_they_are_not_cancelled(api: Api) -> None:
    run = fan_out(api, 1)
    other = api.trigger("g")
    cancel(api, run)
    assert api.run(other)["cancelled_at"] is None
    assert good(api.get(f"/states/run/{other}/graph"))["cancelled_at"] is None
    assert api.work_off() == ["a", "b", "d"]
    assert api.run(other)["status"] == "SUCCESS"


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("executed", {"outputs": [{}, {}]}, (400, {"detail": "State is not queued"})),
        ("errored", {"error": "e"}, (400, {"detail": "State is not queued or executed"})),
        ("prune", {"data": {}}, (200, {"status": "PRUNED"})),
        ("re-enqueue-after", {"enqueue_after": 5}, (200, {"status": "PRUNED"})),
    ],
)
def test_late_reports_are_refused_and_signals_answered_with_the_state_as_it_is(
    api: Api, kind: str, body: Json, expected: tuple[int, Json]
) -> None:
    run = fan_out(api, 1)
    state = api.claim_one()
    cancel(api, run)
    answer = api.report(state["state_id"], kind, body)
    told = {name: value for name, value in answer.json().items() if name != "enqueue_after"}
    assert (answer.status_code, told) == expected
    assert api.statuses(run) == [("a", "SUCCESS"), ("b", "PRUNED")]
    assert counted(api, run) == {"pending": 0, "success": 2, "errored": 0, "retried": 0}


def test_late_reports_of_a_batch_are_refused_too(api: Api) -> None:
    run = fan_out(api, 2)
    states = api.claim()
    cancel(api, run)
    reports = [{"state_id": state["state_id"], "executed": {"outputs": []}} for state in states]
    results = good(api.post("/states/report", {"reports": reports}))["results"]
    assert [result["status"] for result in results] == [400, 400]


def test_leases_end(start_server: StartServer) -> None:
    clock = ManualClock(START)
    with connect(start_server(clock=clock)) as http:
        api = Api(http)
        run = fan_out(api, 1)
        body = {"nodes": ["Step"], "batch_size": 1, "lease_ms": 5_000}
        (state,) = good(api.post("/states/enqueue", body))["states"]
        cancel(api, run)
        renewal = {"state_ids": [state["state_id"]], "lease_ms": 5_000}
        assert good(api.post("/states/renew", renewal))["held"] == []
        # Another lease, which runs out later, shows that the sweep has been past.
        other = api.trigger("g")
        good(api.post("/states/enqueue", body))
        clock.advance_to(START + 5_000)
        eventually_sync(lambda: ("a", "RETRY_CREATED") in api.statuses(other))
        assert api.statuses(run) == [("a", "SUCCESS"), ("b", "PRUNED")]


def test_a_retry_that_waits_for_its_time_never_comes(start_server: StartServer) -> None:
    clock = ManualClock(START)
    with connect(start_server(clock=clock)) as http:
        api = Api(http)
        run = fan_out(api, 1, retry_policy={"strategy": "FIXED", "backoff_factor": 2_000})
        api.errored(api.claim_one())
        assert cancel(api, run)["pruned_count"] == 1
        clock.advance_to(START + 2_000)
        assert api.claim() == []
        assert counted(api, run) == {"pending": 0, "success": 2, "errored": 0, "retried": 1}


def test_cancelling_again_changes_nothing(start_server: StartServer) -> None:
    clock = ManualClock(START)
    with connect(start_server(clock=clock)) as http:
        api = Api(http)
        run = fan_out(api, 3)
        first = cancel(api, run)
        clock.advance_to(START + 1_000)
        assert cancel(api, run.upper()) == {**first, "pruned_count": 0}
        assert api.run(run)["cancelled_at"] == first["cancelled_at"]


@pytest.mark.parametrize("status", ["SUCCESS", "FAILED"])
def test_a_run_that_has_ended_stays_as_it_is(api: Api, status: str) -> None:
    api.steps()
    api.graph("g", api.node("a"), retry_policy={"max_retries": 0})
    run = api.trigger("g")
    if status == "SUCCESS":
        api.executed(api.claim_one())
    else:
        api.errored(api.claim_one())
    before = (api.run(run), api.states(run))
    assert cancel(api, run) == {"run_id": run, "status": status, "cancelled_at": None, "pruned_count": 0}
    assert (api.run(run), api.states(run)) == before
    # It is not cancelled, so it may be revived, and then cancelled.
    good(api.report(api.states(run)[0]["id"], "manual-retry", {"fanout_id": "f"}))
    assert cancel(api, run)["pruned_count"] == 1


def test_no_state_of_a_cancelled_run_can_be_retried(api: Api) -> None:
    run = fan_out(api, 2, retry_policy={"max_retries": 1, "backoff_factor": 1})
    failing, _held = api.claim()
    api.errored(failing)
    cancel(api, run)
    states = api.states(run)
    assert {state["status"] for state in states} == {"SUCCESS", "PRUNED", "RETRY_CREATED"}
    for state in states:
        answer = api.report(state["id"], "manual-retry", {"fanout_id": "f"})
        assert answer.status_code == 400
        assert "Run is cancelled" in answer.json()["detail"]
    assert api.states(run) == states


@pytest.mark.parametrize("strategy", ["ALL_SUCCESS", "ALL_DONE"])
def test_joins_do_not_come_about(api: Api, strategy: str) -> None:
    api.steps()
    api.graph("g", api.node("a", {}, ["b"]), api.node("b", {}, ["c"]), api.node("c", unites="a", strategy=strategy))
    run = api.trigger("g")
    api.executed(api.claim_one())
    held = api.claim_one()
    cancel(api, run)
    assert api.report(held["state_id"], "executed", {"outputs": []}).status_code == 400
    assert api.identifiers(run) == ["a", "b"]
    assert counted(api, run)["pending"] == 0


def test_a_waiting_claim_is_not_given_what_was_cancelled(api: Api) -> None:
    run = fan_out(api, 3)
    cancel(api, run)
    answer = api.call(
        "POST", "/states/enqueue", json={"nodes": ["Step"], "batch_size": 5}, headers={"prefer": "wait=1"}, timeout=60
    )
    assert good(answer)["count"] == 0


def test_states_in_another_namespace_are_pruned_too(api: Api) -> None:
    other = api.in_namespace(f"{api.namespace}-other")
    api.steps()
    other.steps()
    api.graph("g", api.node("a", {}, ["b"]), api.node("b", namespace=other.namespace))
    run = api.trigger("g")
    api.executed(api.claim_one())
    held = other.claim_one()
    assert other.call("POST", f"/runs/{run}/cancel").status_code == 404
    assert cancel(api, run)["pruned_count"] == 1
    assert other.report(held["state_id"], "executed", {"outputs": []}).status_code == 400


@pytest.mark.parametrize(
    ("run", "status"),
    [("00000000-0000-4000-8000-000000000000", 404), ("no-uuid", 422), ("0" * 32, 422), ("1", 422)],
)
def test_an_unknown_run_is_404_and_a_malformed_id_422(api: Api, run: str, status: int) -> None:
    answer = api.call("POST", f"/runs/{run}/cancel")
    assert answer.status_code == status
    if status == 422:
        assert answer.json()["detail"][0]["loc"] == ["path", "run_id"]


def test_it_needs_the_key_and_is_a_post(api: Api) -> None:
    run = fan_out(api, 1)
    assert api.call("POST", f"/runs/{run}/cancel", headers={"x-api-key": "wrong"}).status_code == 401
    answer = api.call("GET", f"/runs/{run}/cancel")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert api.run(run)["status"] == "PENDING"


@pytest.mark.parametrize("settings", [{"without": frozenset({"cancel"})}, {"strict": True}])
def test_without_it_there_is_no_such_operation(start_server: StartServer, settings: dict[str, Any]) -> None:
    with connect(start_server(**settings)) as http:
        api = Api(http)
        run = fan_out(api, 1)
        assert api.call("POST", f"/runs/{run}/cancel").status_code == 405
        assert "cancelled_at" not in api.run(run)
        assert "cancelled_at" not in good(api.get(f"/states/run/{run}/graph"))
        assert api.run(run)["status"] == "PENDING"


def test_of_many_cancels_at_once_one_prunes(api: Api) -> None:
    run = fan_out(api, 50)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: cancel(api, run), range(16)))
    assert sorted(answer["pruned_count"] for answer in answers) == [0] * 15 + [50]
    assert len({answer["cancelled_at"] for answer in answers}) == 1


@pytest.mark.parametrize("round_", range(6))
def test_whatever_races_with_it_nothing_is_created_after_it(api: Api, round_: int) -> None:
    run = fan_out(api, 60, retry_policy={"max_retries": 3, "strategy": "FIXED", "backoff_factor": 1})

    def work(worker: int) -> list[int]:
        answered: list[int] = []
        while states := api.claim(size=3):
            for state in states:
                if worker % 2:
                    outputs = {"outputs": [{"y": "1"}, {"y": "2"}]}
                    answered.append(api.report(state["state_id"], "executed", outputs).status_code)
                else:
                    answered.append(api.report(state["state_id"], "errored", {"error": "e"}).status_code)
        return answered

    with ThreadPoolExecutor(9) as pool:
        working = [pool.submit(work, worker) for worker in range(8)]
        eventually_sync(lambda: api.run(run)["retried_count"] > round_)
        answer = cancel(api, run)
        after = api.states(run)
        answered = [status for worker in working for status in worker.result(60)]
    assert answer["pruned_count"] > 0
    assert set(answered) <= {200, 400}
    assert api.states(run) == after
    assert counted(api, run)["pending"] == 0
    assert not {"CREATED", "QUEUED"} & {state["status"] for state in after}
