"""What is cancelled, deleted, revoked or followed at one server is so at the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import pytest

from exospherehost.server import ServerSettings, ServerThread, background
from exospherehost.server.service import followers
from exospherehost.server.storage.postgresql.notifications import Notifications
from tests._support.api_keys import make_key, revoke
from tests._support.databases import Database
from tests._support.eventually import eventually_sync
from tests._support.postgres import PostgresServer, binaries_or_skip
from tests._support.run_events import COMMENT, all_events, follow, replay
from tests._support.service import Api, connect, good

StartReplica = Callable[..., Api]
WIDTH = 300
FOR_EVER_MS = 10**12
FANNED_OUT = ("b", "SUCCESS")


def put_wide(api: Api) -> None:
    """Put a graph whose second node fans out, with a third below each and a join over all."""
    api.steps()
    api.graph(
        "g", api.node("a", {}, ["b"]), api.node("b", {}, ["d"]), api.node("d", {}, ["c"]), api.node("c", unites="a")
    )


def trigger_wide(api: Api) -> str:
    """Start a run of it, and return it once its third nodes wait."""
    run = api.trigger("g")
    for width in (1, WIDTH):
        api.executed(api.claim_one(), *({"y": str(number)} for number in range(width)))
    return run


def report_on(api: Api, stop: Event) -> list[int]:
    """Claim and report, one at a time, until told to stop, and return what each report was answered."""
    answered: list[int] = []
    while not stop.is_set():
        for state in api.claim(size=3):
            answer = api.report(state["state_id"], "executed", {"outputs": [{"y": "1"}]})
            answered.append(answer.status_code)
    return answered


@contextmanager
def busy(*apis: Api) -> Generator[list[Future[list[int]]], None, None]:
    """Have several threads report at each of these servers while the block runs."""
    stop = Event()
    with ThreadPoolExecutor(3 * len(apis)) as pool:
        try:
            yield [pool.submit(report_on, api, stop) for api in apis * 3]
        finally:
            stop.set()


def claims_waiting(api: Api) -> int:
    """Return how many claims wait at a server."""
    text = api.http.get("/metrics").text
    (line,) = (line for line in text.splitlines() if line.startswith("exosphere_claims_waiting "))
    return int(float(line.split()[1]))


def counts(api: Api, run: str) -> dict[str, int]:
    """Return how the run's line counts its states."""
    line = api.run(run)
    return {name: line[f"{name}_count"] for name in ("success", "pending", "errored", "retried", "total")}


def test_a_run_worked_at_one_is_followed_at_another(
    start_replica: StartReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that it can only have been told.
    monkeypatch.setattr(background, "_LOOK_FOR_OTHERS_EVERY_MS", FOR_EVER_MS)
    one, other = start_replica(), start_replica()
    one.steps()
    one.graph("g", one.node("a", {}, ["b"]), one.node("b"))
    run = one.trigger("g")
    with follow(other, run) as events:
        assert events.take(1) == [("a", "CREATED")]
        state = one.claim_one()
        assert events.take(1) == [("a", "QUEUED")]
        one.executed(state)
        assert events.take(2) == [("a", "SUCCESS"), ("b", "CREATED")]
        one.executed(one.claim_one())
        assert events.take(2) == [("b", "QUEUED"), ("b", "SUCCESS")]
        end = events.next()
        assert (end.kind, end.step) == ("end", (None, "SUCCESS"))
    assert all_events(one, run) == all_events(other, run)


def test_where_the_news_is_lost_a_followed_run_is_looked_at(
    start_replica: StartReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Notifications, "tell", lambda _self, _kind, _news: None)
    monkeypatch.setattr(background, "_LOOK_FOR_OTHERS_EVERY_MS", 200)
    # Nor because it looks before it says that nothing has happened.
    monkeypatch.setattr(followers, "KEEP_ALIVE_MS", FOR_EVER_MS)
    one, other = start_replica(), start_replica()
    one.steps()
    one.graph("g", one.node("a"))
    run = one.trigger("g")
    with follow(other, run) as events:
        assert events.take(1) == [("a", "CREATED")]
        one.executed(one.claim_one())
        assert [event.step for event in events] == [("a", "QUEUED"), ("a", "SUCCESS"), (None, "SUCCESS")]


def test_events_of_a_run_worked_at_several_are_those_of_its_states_each_in_order(start_replica: StartReplica) -> None:
    replicas = [start_replica() for _ in range(3)]
    one, *others = replicas
    put_wide(one)
    run = trigger_wide(one)
    with ThreadPoolExecutor(1) as pool:
        followed = pool.submit(all_events, others[-1], run)
        with busy(*replicas):
            eventually_sync(lambda: one.run(run)["status"] == "SUCCESS", 120)
        told = followed.result(60)
    assert told == all_events(one, run)
    assert replay(told) == one.statuses(run)
    of_state: dict[str, list[str]] = {}
    for event in told[:-1]:
        assert event.data is not None
        of_state.setdefault(str(event.data.state_id), []).append(event.data.status)
    assert {tuple(statuses) for statuses in of_state.values()} == {("CREATED", "QUEUED", "SUCCESS"), ("SUCCESS",)}
    assert COMMENT not in {event.kind for event in told}


def test_a_cancel_at_one_ends_what_others_report_on(start_replica: StartReplica, shared: Database) -> None:
    replicas = [start_replica() for _ in range(3)]
    one = replicas[0]
    put_wide(one)
    for _ in range(3):
        run = trigger_wide(one)
        with busy(*replicas) as reporting:
            eventually_sync(lambda: one.statuses(run).count(("d", "SUCCESS")) > WIDTH // 10)  # noqa: B023
            answer = good(replicas[-1].call("POST", f"/runs/{run}/cancel"))
            stood = one.statuses(run), counts(one, run)
        assert answer["status"] == "FAILED"
        assert {status for reports in reporting for status in reports.result(60)} <= {200, 400}
        statuses = one.statuses(run)
        # Nothing has changed since it was answered, let alone been created.
        assert (statuses, counts(one, run)) == stood
        assert {status for _identifier, status in statuses} == {"SUCCESS", "PRUNED"}
        assert [status for _identifier, status in statuses].count("PRUNED") == answer["pruned_count"] > 0
        assert ("c", "CREATED") not in statuses
        assert counts(one, run) == {
            "success": len(statuses),
            "pending": 0,
            "errored": 0,
            "retried": 0,
            "total": len(statuses),
        }
        assert replay(all_events(one, run)) == statuses
    assert one.claim() == []
    assert shared.query("SELECT count(*) FROM states WHERE lease_expires_at IS NOT NULL") == [(0,)]


def test_a_run_is_cancelled_once_however_many_ask(start_replica: StartReplica) -> None:
    replicas = [start_replica() for _ in range(3)]
    one = replicas[0]
    put_wide(one)
    run = trigger_wide(one)
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(api.call, "POST", f"/runs/{run}/cancel") for api in replicas * 2]
        answers = [good(answer.result(60)) for answer in asked]
    assert sorted(answer["pruned_count"] for answer in answers) == [0] * 5 + [WIDTH]
    assert len({answer["cancelled_at"] for answer in answers}) == 1
    assert counts(one, run)["total"] == 1 + 2 * WIDTH


def test_a_graph_deleted_at_one_is_triggered_nowhere(start_replica: StartReplica) -> None:
    replicas = [start_replica() for _ in range(3)]
    one = replicas[0]
    one.steps()
    for _ in range(3):
        one.graph("g", one.node("a"))
        before = {run["run_id"] for run in good(one.get("/runs/1/1000"))["runs"]}

        def trigger_on(api: Api) -> list[str]:
            started: list[str] = []
            while (answer := api.post("/graph/g/trigger", {})).status_code == 200:
                started.append(answer.json()["run_id"])
            assert answer.status_code == 404, answer.text
            return started

        with ThreadPoolExecutor(6) as pool:
            triggering = [pool.submit(trigger_on, api) for api in replicas * 2]
            eventually_sync(lambda: good(one.get("/runs/1/1"))["total"] > len(before) + 20)  # noqa: B023
            deleted = good(replicas[-1].call("DELETE", "/graph/g"))
            started = {run for runs in triggering for run in runs.result(60)}
        listed = {run["run_id"]: run for run in good(one.get("/runs/1/1000"))["runs"]}
        assert listed.keys() - before == started
        assert deleted["cancelled_runs"] == len(started)
        assert {listed[run]["status"] for run in started} == {"FAILED"}
        assert one.claim() == []


def test_a_key_revoked_for_one_stops_at_all(start_replica: StartReplica, shared: Database) -> None:
    replicas = [start_replica() for _ in range(2)]
    key = make_key(shared.setting)

    def answers() -> set[int]:
        headers = {"x-api-key": key}
        return {api.call("GET", "/graphs/", headers=headers).status_code for api in replicas}

    assert answers() == {200}
    headers = {"x-api-key": key, "prefer": "wait=30"}
    replicas[0].steps()
    with ThreadPoolExecutor(2) as pool:
        body = {"nodes": ["Step"], "batch_size": 1}
        waiting = [
            pool.submit(api.call, "POST", "/states/enqueue", json=body, headers=headers, timeout=90) for api in replicas
        ]
        # Until they are let in, there is nobody to be sent away.
        eventually_sync(lambda: sum(claims_waiting(api) for api in replicas) == 2)
        revoke(shared.setting, key)
        eventually_sync(lambda: answers() == {401})
        # Those that wait are sent away long before their time, rather than left to claim what comes.
        begun = time.monotonic()
        assert [good(answer.result(60))["states"] for answer in waiting] == [[], []]
        assert time.monotonic() - begun < 18
    replicas[0].graph("g", replicas[0].node("a"))
    replicas[0].trigger("g")
    assert len(replicas[1].claim()) == 1


def test_one_that_cannot_reach_the_database_is_not_ready_and_alive() -> None:
    with PostgresServer(binaries_or_skip()) as postgres:
        settings = ServerSettings(api_key="key-of-replicas", **Database(postgres.fresh()).settings, port=0)
        with ServerThread(settings) as server, connect(server) as http:

            def ready() -> tuple[int, str]:
                answer = http.get("/ready", headers={"x-api-key": ""})
                return answer.status_code, answer.json().get("reason", "")

            assert ready() == (200, "")
            postgres.stop()
            eventually_sync(lambda: ready()[0] == 503, 30)
            assert ready()[1].startswith("database: ")
            # It may hold the address and the user.
            assert "127.0.0.1" not in ready()[1]
            assert http.get("/health").status_code == 200
            postgres.start()
            eventually_sync(lambda: ready()[0] == 200, 60)
            Api(http).steps()
