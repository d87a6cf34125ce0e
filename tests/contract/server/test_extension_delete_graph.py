from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from exospherehost.server import ServerThread
from exospherehost.testing.clock import ManualClock
from tests._support.databases import Database
from tests._support.eventually import eventually_sync
from tests._support.service import Api, Json, connect, good, registration

StartServer = Callable[..., ServerThread]
START = 1_800_000_000_000
MINUTE = 60_000


def delete(api: Api, name: str = "g") -> Json:
    return good(api.call("DELETE", f"/graph/{name}"))


def pair(api: Api) -> None:
    """Put a graph of two nodes."""
    api.steps()
    api.graph("g", api.node("a", {}, ["b"]), api.node("b"))


def test_it_is_gone_from_where_graphs_are_read_and_triggered(api: Api) -> None:
    pair(api)
    api.graph("kept", api.node("a"))
    assert delete(api) == {"name": "g", "cancelled_runs": 0}
    assert api.get("/graph/g").status_code == 404
    assert [graph["name"] for graph in good(api.get("/graphs/"))["templates"]] == ["kept"]
    refused = api.post("/graph/g/trigger", {})
    assert (refused.status_code, refused.json()) == (
        404,
        {"detail": f"Graph template 'g' not found in namespace '{api.namespace}'"},
    )
    assert api.run(api.trigger("kept"))["status"] == "PENDING"


def test_a_second_time_and_for_an_unknown_graph_it_is_404(api: Api) -> None:
    pair(api)
    other = api.in_namespace(f"{api.namespace}-other")
    assert other.call("DELETE", "/graph/g").status_code == 404
    delete(api)
    answer = api.call("DELETE", "/graph/g")
    assert (answer.status_code, answer.json()["detail"]) == (
        404,
        f"Graph template 'g' not found in namespace '{api.namespace}'",
    )


def test_running_runs_are_cancelled_and_finished_ones_stay_as_they_are(api: Api) -> None:
    pair(api)
    finished = api.trigger("g")
    api.work_off()
    before = api.run(finished), api.states(finished)
    states = api.states(finished)
    claimed, waiting = api.trigger("g"), api.trigger("g")
    # Of the version before this one, too.
    pair(api)
    of_the_latest = api.trigger("g")
    held = api.claim_one()
    assert held["run_id"] == claimed
    assert delete(api)["cancelled_runs"] == 3
    for run in (claimed, waiting, of_the_latest):
        assert api.statuses(run) == [("a", "PRUNED")]
        assert api.run(run)["status"] == "FAILED"
        assert api.run(run)["cancelled_at"] is not None
    assert api.report(held["state_id"], "executed", {"outputs": []}).status_code == 400
    assert api.claim() == []
    assert (api.run(finished), api.states(finished)) == before
    assert before[0]["cancelled_at"] is None
    assert api.state("g", finished, states[1]["id"])["parents"] == {"a": states[0]["id"]}


def test_a_state_of_a_finished_run_can_be_retried_on_the_version_that_it_ran_with(api: Api) -> None:
    pair(api)
    run = api.trigger("g")
    api.work_off()
    delete(api)
    api.graph("g", api.node("a", {}, ["other"]), api.node("other"))
    good(api.report(api.states(run)[0]["id"], "manual-retry", {"fanout_id": "f"}))
    assert api.work_off() == ["a", "b"]
    assert api.run(run)["status"] == "SUCCESS"


def test_put_again_it_is_a_new_graph(start_server: StartServer) -> None:
    clock = ManualClock(START)
    with connect(start_server(clock=clock)) as http:
        api = Api(http)
        pair(api)
        api.graph("second", api.node("a"))
        run = api.trigger("g")
        api.work_off()
        before = good(api.get("/graphs/"))["templates"][0]
        delete(api)
        clock.advance_to(START + MINUTE)
        refused = api.put("/graph/g", {"secrets": {}, "nodes": []})
        assert (refused.status_code, api.get("/graph/g").status_code) == (400, 404)
        # Not even a version that was valid before the deletion is there to run.
        invalid = api.upsert("g", api.node("a", node="Unknown"))
        assert invalid["validation_status"] == "INVALID"
        assert api.post("/graph/g/trigger", {}).status_code == 400
        api.graph("g", api.node("only"))
        assert [graph["name"] for graph in good(api.get("/graphs/"))["templates"]] == ["second", "g"]
        after = good(api.get("/graphs/"))["templates"][1]
        assert after["_id"] != before["_id"]
        assert after["created_at"] > before["created_at"]
        new = api.trigger("g")
        assert api.work_off() == ["only"]
        assert api.identifiers(run) == ["a", "b"]
        assert api.run(new)["status"] == "SUCCESS"
        # Only what runs now is ended by the next deletion.
        api.trigger("g")
        assert delete(api)["cancelled_runs"] == 1
        assert api.run(run)["status"] == api.run(new)["status"] == "SUCCESS"


def test_its_schedules_end(start_server: StartServer) -> None:
    clock = ManualClock(START)
    with connect(start_server(clock=clock)) as http:
        api = Api(http)
        api.steps()
        trigger = {"type": "CRON", "value": {"expression": "* * * * *"}}
        api.graph("g", api.node("a"), triggers=[trigger])
        api.graph("kept", api.node("a"), triggers=[trigger])
        delete(api)
        clock.advance_to(START + MINUTE)
        eventually_sync(lambda: good(api.get("/runs/1/10"))["total"] == 1)
        assert good(api.get("/runs/1/10"))["runs"][0]["graph_name"] == "kept"
        api.graph("g", api.node("a"))
        clock.advance_to(START + 2 * MINUTE)
        eventually_sync(lambda: good(api.get("/runs/1/10"))["total"] == 2)
        assert {run["graph_name"] for run in good(api.get("/runs/1/10"))["runs"]} == {"kept"}


def test_an_idempotency_key_still_answers_with_the_run_that_it_started(api: Api) -> None:
    pair(api)

    def trigger(key: str) -> Any:
        return api.call("POST", "/graph/g/trigger", json={}, headers={"Idempotency-Key": key})

    run = good(trigger("k"))["run_id"]
    delete(api)
    assert good(trigger("k"))["run_id"] == run
    assert trigger("other").status_code == 404
    pair(api)
    # Whoever repeats a trigger learns what became of it; a new run takes a new key.
    assert good(trigger("k"))["run_id"] == run
    assert good(trigger("other"))["run_id"] != run
    assert api.run(run)["status"] == "FAILED"


def test_secrets_of_the_new_graph_are_not_those_of_the_deleted_one(api: Api) -> None:
    api.register(registration("Step", outputs=["y"], secrets=["token"]))
    api.graph("g", api.node("a"), secrets={"token": "old"})
    delete(api)
    api.graph("g", api.node("a"), secrets={"token": "new"})
    api.trigger("g")
    state = api.claim_one()
    assert good(api.get(f"/state/{state['state_id']}/secrets"))["secrets"] == {"token": "new"}


def test_a_graph_of_the_same_name_elsewhere_stays(api: Api) -> None:
    other = api.in_namespace(f"{api.namespace}-other")
    for one in (api, other):
        pair(one)
    run = other.trigger("g")
    assert delete(api)["cancelled_runs"] == 0
    assert other.work_off() == ["a", "b"]
    assert other.run(run)["status"] == "SUCCESS"
    other.trigger("g")


def test_without_runs_nothing_of_it_remains_in_the_database(start_server: StartServer, database: Database) -> None:
    server = start_server()
    with connect(server) as http:
        api = Api(http)
        pair(api)
        pair(api)
        api.graph("g2", api.node("a"), secrets={"token": "v"})
        api.trigger("g2")
        delete(api)
        delete(api, "g2")
    server.stop()
    assert database.query("SELECT name FROM graphs") == [("g2",)]
    assert database.query("SELECT count(*) FROM graph_versions") == [(1,)]
    assert database.query("SELECT count(*) FROM crons") == [(0,)]


def test_it_needs_the_key(api: Api) -> None:
    pair(api)
    assert api.call("DELETE", "/graph/g", headers={"x-api-key": "wrong"}).status_code == 401
    assert api.get("/graph/g").status_code == 200


@pytest.mark.parametrize("settings", [{"without": frozenset({"delete-graph"})}, {"strict": True}])
def test_without_it_there_is_no_such_operation(start_server: StartServer, settings: dict[str, Any]) -> None:
    with connect(start_server(**settings)) as http:
        api = Api(http)
        pair(api)
        answer = api.call("DELETE", "/graph/g")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, PUT")
        assert api.get("/graph/g").status_code == 200


@pytest.mark.parametrize("round_", range(4))
def test_a_trigger_that_races_with_it_is_refused_or_its_run_cancelled(api: Api, round_: int) -> None:
    pair(api)
    started: list[str] = []

    def trigger_on() -> list[int]:
        answered: list[int] = []
        while not answered or answered[-1] == 200:
            answer = api.post("/graph/g/trigger", {})
            answered.append(answer.status_code)
            if answer.status_code == 200:
                started.append(answer.json()["run_id"])
        return answered

    with ThreadPoolExecutor(4) as pool:
        triggering = [pool.submit(trigger_on) for _ in range(4)]
        eventually_sync(lambda: len(started) > 5 * (round_ + 1))
        cancelled = delete(api)["cancelled_runs"]
        assert {answers.result(60)[-1] for answers in triggering} == {404}
    listed = good(api.get("/runs/1/1000"))["runs"]
    assert {run["run_id"] for run in listed} == set(started)
    assert cancelled == len(started)
    assert {run["status"] for run in listed} == {"FAILED"}
    assert api.claim() == []
