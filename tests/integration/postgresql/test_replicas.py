"""Several servers on one database behave as one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from exospherehost.server import ServerSettings, ServerThread, background
from exospherehost.server.storage.postgresql.notifications import Notifications
from exospherehost.testing.clock import ManualClock
from tests._support.databases import Database
from tests._support.eventually import eventually_sync
from tests._support.service import Api, Json, connect, good, registration

StartReplica = Callable[..., Api]
FOR_EVER_MS = 10**12


def claim_and_wait(api: Api, seconds: int) -> list[Json]:
    body = {"nodes": ["Step"], "batch_size": 1}
    answer = api.call("POST", "/states/enqueue", json=body, headers={"Prefer": f"wait={seconds}"})
    return list(good(answer)["states"])


def waits(api: Api) -> Any:
    """Claim and wait in a thread of its own, and return once the claim is on its way."""
    pool = ThreadPoolExecutor(1)
    claim = pool.submit(claim_and_wait, api, 25)
    pool.shutdown(wait=False)
    # There is no telling from outside that it waits: it has gone in when another claim after it comes back.
    for _ in range(3):
        assert api.claim("Nothing") == []
    return claim


def test_a_claim_that_waits_at_one_is_woken_by_a_run_started_at_another(
    start_replica: StartReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that it can only have been told.
    monkeypatch.setattr(background, "_LOOK_FOR_OTHERS_EVERY_MS", FOR_EVER_MS)
    one, other = start_replica(), start_replica()
    one.steps()
    one.graph("g", one.node("a"))
    for api, elsewhere in ((one, other), (other, one)):
        claim = waits(api)
        begun = time.monotonic()
        run = elsewhere.trigger("g")
        assert [state["run_id"] for state in claim.result(30)] == [run]
        assert time.monotonic() - begun < 20


def test_a_claim_that_waits_is_told_when_a_state_of_another_will_be_due(
    start_replica: StartReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "_LOOK_FOR_OTHERS_EVERY_MS", FOR_EVER_MS)
    one, other = start_replica(), start_replica()
    one.steps()
    one.graph("g", one.node("a"))
    claim = waits(other)
    run = one.trigger("g", start_delay=500)
    assert [state["run_id"] for state in claim.result(30)] == [run]


def test_where_the_news_is_lost_a_claim_that_waits_is_found(
    start_replica: StartReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Notifications, "tell", lambda _self, _kind, _news: None)
    monkeypatch.setattr(background, "_LOOK_FOR_OTHERS_EVERY_MS", 200)
    one, other = start_replica(), start_replica()
    one.steps()
    one.graph("g", one.node("a"))
    claim = waits(other)
    run = one.trigger("g")
    assert [state["run_id"] for state in claim.result(30)] == [run]


def test_claims_at_several_take_each_state_once_and_all_of_them(start_replica: StartReplica) -> None:
    replicas = [start_replica() for _ in range(3)]
    one = replicas[0]
    one.register(registration("Step", outputs=["y"]), registration("Other", outputs=["y"]))
    one.graph("g", one.node("a"))
    one.graph("h", one.node("a", node="Other"))
    runs = {one.trigger("g" if number % 2 else "h") for number in range(120)}

    def drain(api: Api) -> list[str]:
        taken: list[str] = []
        while states := api.claim("Step", "Other", size=7):
            taken += [state["run_id"] for state in states]
        return taken

    with ThreadPoolExecutor(6) as pool:
        taken = [run for part in pool.map(drain, replicas * 2) for run in part]
    # One that came back empty may have met only what others were taking: what is left is left to nobody.
    taken += drain(one)
    assert Counter(taken) == Counter(runs)


def test_of_equal_reports_at_several_one_is_taken(start_replica: StartReplica) -> None:
    replicas = [start_replica() for _ in range(3)]
    one = replicas[0]
    one.steps()
    one.graph("g", one.node("a", next_nodes=["b"]), one.node("b"))
    for _ in range(10):
        run = one.trigger("g")
        state = one.claim_one()["state_id"]
        body = {"outputs": [{"y": "1"}]}
        with ThreadPoolExecutor(6) as pool:
            reports = [pool.submit(api.report, state, "executed", body) for api in replicas * 2]
        assert sorted(report.result().status_code for report in reports) == [200] + [400] * 5
        assert one.statuses(run) == [("a", "SUCCESS"), ("b", "CREATED")]
        one.executed(one.claim_one())


def test_joins_of_runs_reported_at_several_are_done_once_each(start_replica: StartReplica) -> None:
    replicas = [start_replica() for _ in range(3)]
    one = replicas[0]
    one.steps()
    one.graph(
        "g", one.node("a", {}, ["b"]), one.node("b", {}, ["d"]), one.node("d", {}, ["c"]), one.node("c", unites="a")
    )
    runs = [one.trigger("g") for _ in range(4)]
    width = 25

    def work(api: Api) -> None:
        while any(one.run(run)["pending_count"] for run in runs):
            for state in api.claim(size=5):
                outputs = (
                    [{"y": str(number)} for number in range(width)] if state["identifier"] == "b" else [{"y": "1"}]
                )
                reports = [{"state_id": state["state_id"], "executed": {"outputs": outputs}}]
                results = good(api.post("/states/report", {"reports": reports}))["results"]
                assert [result["status"] for result in results] == [200]

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(work, api) for api in replicas * 2]:
            done.result(120)
    expected = [("a", "SUCCESS")] + [("b", "SUCCESS")] * width + [("c", "SUCCESS")] + [("d", "SUCCESS")] * width
    for run in runs:
        assert one.statuses(run) == expected
        line = one.run(run)
        assert (line["status"], line["success_count"], line["pending_count"]) == ("SUCCESS", 2 * width + 2, 0)


def test_first_registrations_puts_and_triggers_under_a_key_at_several_all_succeed(start_replica: StartReplica) -> None:
    replicas = [start_replica() for _ in range(3)]
    for number in range(5):
        name = f"Step{number}"

        def put(api: Api, name: str = name) -> str:
            api.register(registration(name, outputs=["y"]))
            api.graph(f"g-{name}", api.node("a", node=name))
            headers = {"Idempotency-Key": "once"}
            return str(good(api.call("POST", f"/graph/g-{name}/trigger", json={}, headers=headers))["run_id"])

        with ThreadPoolExecutor(6) as pool:
            runs = list(pool.map(put, replicas * 2))
        assert len(set(runs)) == 1
        assert len(replicas[0].claim(name)) == 1


def test_a_schedule_fires_once_however_many_are_there(start_replica: StartReplica, shared: Database) -> None:
    noon = 1_800_000_000_000
    clocks = [ManualClock(noon) for _ in range(3)]
    replicas = [start_replica(clock=clock) for clock in clocks]
    one = replicas[0]
    one.steps()
    triggers = [{"type": "CRON", "value": {"expression": "* * * * *"}}]
    for number in range(5):
        one.graph(f"g{number}", one.node("a"), triggers=triggers)
    for minute in range(1, 4):
        for clock in clocks:
            clock.advance_to(noon + minute * 60_000)
        eventually_sync(lambda: shared.query("SELECT count(*) FROM runs")[0][0] >= 5 * minute)  # noqa: B023
        # The others look as well, and find nothing to do.
        eventually_sync(lambda: shared.query("SELECT count(*) FROM crons")[0][0] == 5)
    assert shared.query("SELECT graph_name, count(*) FROM runs GROUP BY 1 ORDER BY 1") == [
        (f"g{number}", 3) for number in range(5)
    ]


def test_a_lease_given_by_one_that_is_gone_ends_in_time_at_another(
    start_replica: StartReplica, shared: Database
) -> None:
    other = start_replica()
    settings = ServerSettings(api_key="key-of-replicas", **shared.settings, port=0)
    with ServerThread(settings) as server, connect(server) as http:
        gone = Api(http, "shared")
        gone.steps()
        gone.graph("g", gone.node("a"), retry_policy={"max_retries": 1})
        run = gone.trigger("g")
        body = {"nodes": ["Step"], "batch_size": 1, "lease_ms": 1_000}
        assert len(good(gone.post("/states/enqueue", body))["states"]) == 1
    eventually_sync(lambda: ("a", "RETRY_CREATED") in other.statuses(run), 30)


def test_one_that_joins_others_prolongs_no_lease_and_one_that_comes_alone_does(
    start_replica: StartReplica, shared: Database
) -> None:
    one = start_replica()
    one.steps()
    one.graph("g", one.node("a"))
    one.trigger("g")
    (state,) = good(one.post("/states/enqueue", {"nodes": ["Step"], "batch_size": 1, "lease_ms": 20_000}))["states"]
    before = shared.query("SELECT lease_expires_at FROM states")
    start_replica()
    assert shared.query("SELECT lease_expires_at FROM states") == before
    assert state["lease_expires_at"]


def test_one_that_comes_when_all_were_gone_gives_holders_time(start_replica: StartReplica, shared: Database) -> None:
    settings = ServerSettings(api_key="key-of-replicas", **shared.settings, port=0)
    with ServerThread(settings) as server, connect(server) as http:
        first = Api(http, "shared")
        first.steps()
        first.graph("g", first.node("a"))
        first.trigger("g")
        good(first.post("/states/enqueue", {"nodes": ["Step"], "batch_size": 1, "lease_ms": 20_000}))
    ((before,),) = shared.query("SELECT lease_expires_at FROM states")
    start_replica()
    ((after,),) = shared.query("SELECT lease_expires_at FROM states")
    assert after > before
