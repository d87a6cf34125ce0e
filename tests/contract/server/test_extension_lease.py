from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from exospherehost.server import ServerThread
from exospherehost.server.domain.clock import rfc3339
from exospherehost.server.domain.store import UnitOfWork
from exospherehost.server.service import nodes, state_reports
from exospherehost.server.service.context import Context
from exospherehost.server.service.leases import SPARED_AFTER_START_MS
from exospherehost.testing.clock import ManualClock
from tests._support.databases import Database
from tests._support.eventually import eventually_sync
from tests._support.service import Api, Json, connect, good, registration

StartServer = Callable[..., ServerThread]
START = 1_800_000_000_000
LEASE = 10_000
ONE_RETRY = {"max_retries": 1, "strategy": "FIXED", "backoff_factor": 1_000}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def timed(start_server: StartServer, clock: ManualClock) -> Iterator[Api]:
    with connect(start_server(clock=clock)) as http:
        yield Api(http)


def prepare(api: Api) -> str:
    api.steps()
    api.graph("g", api.node("a", {}, ["b"]), api.node("b"), retry_policy=ONE_RETRY)
    return api.trigger("g")


def claim(api: Api, lease_ms: Any = LEASE, size: int = 1) -> list[Json]:
    body = {"nodes": ["Step"], "batch_size": size, "lease_ms": lease_ms}
    return list(good(api.post("/states/enqueue", body))["states"])


def renew(api: Api, *state_ids: str, lease_ms: int = LEASE) -> list[Json]:
    return list(good(api.post("/states/renew", {"state_ids": list(state_ids), "lease_ms": lease_ms}))["held"])


def expires(state_id: str, at_ms: int) -> Json:
    return {"state_id": state_id, "lease_expires_at": rfc3339(at_ms)}


def same(found: list[Json], *expected: Json) -> bool:
    return [(one["state_id"], one["lease_expires_at"][:19]) for one in found] == [
        (one["state_id"], one["lease_expires_at"][:19]) for one in expected
    ]


def test_a_lease_that_runs_out_is_an_error_report_in_the_workers_stead(timed: Api, clock: ManualClock) -> None:
    run = prepare(timed)
    (state,) = claim(timed)
    assert state["lease_expires_at"][:19] == rfc3339(START + LEASE)[:19]
    clock.advance_to(START + LEASE - 1)
    assert timed.statuses(run) == [("a", "QUEUED")]
    clock.advance_to(START + LEASE)
    eventually_sync(lambda: timed.statuses(run) == [("a", "CREATED"), ("a", "RETRY_CREATED")])
    assert timed.state("g", run, state["state_id"])["error"] == "lease expired"
    for kind, body in (("executed", {"outputs": []}), ("errored", {"error": "late"}), ("prune", {"data": {}})):
        assert timed.report(state["state_id"], kind, body).status_code == 400
    assert renew(timed, state["state_id"]) == []
    # The retry waits as the policy says, and the second expiry uses the last attempt up.
    assert claim(timed) == []
    clock.advance_to(START + LEASE + 1_000)
    (second,) = claim(timed)
    assert (second["state_id"] != state["state_id"], second["attempt"]) == (True, 2)
    clock.advance_to(START + 2 * LEASE + 1_000)
    eventually_sync(lambda: timed.run(run)["status"] == "FAILED")
    assert timed.statuses(run) == [("a", "ERRORED"), ("a", "RETRY_CREATED")]


def test_a_renewed_lease_lasts_until_its_new_end(timed: Api, clock: ManualClock) -> None:
    run = prepare(timed)
    timed.trigger("g")
    kept, lost = claim(timed, size=2)
    clock.advance_to(START + LEASE - 1)
    held = renew(timed, kept["state_id"].upper(), kept["state_id"], "0" * 24, lease_ms=60_000)
    assert same(held, expires(kept["state_id"], START + LEASE - 1 + 60_000))
    clock.advance_to(START + LEASE)
    lost_run = lost["run_id"]
    eventually_sync(lambda: ("a", "RETRY_CREATED") in timed.statuses(lost_run))
    assert timed.statuses(kept["run_id"]) == [("a", "QUEUED")]
    assert run in {lost_run, kept["run_id"]}
    timed.executed(kept, {"y": "1"})


def test_a_renewal_may_bring_the_end_forward(timed: Api, clock: ManualClock) -> None:
    run = prepare(timed)
    (state,) = claim(timed, 86_400_000)
    assert len(renew(timed, state["state_id"], lease_ms=1_000)) == 1
    clock.advance_to(START + 1_000)
    eventually_sync(lambda: ("a", "RETRY_CREATED") in timed.statuses(run))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("executed", {"outputs": [{"y": "1"}]}),
        ("errored", {"error": "e"}),
        ("prune", {"data": {}}),
        ("re-enqueue-after", {"enqueue_after": 1_000_000}),
        ("manual-retry", {"fanout_id": "f"}),
    ],
)
def test_whatever_ends_a_claim_ends_its_lease(
    timed: Api, clock: ManualClock, database: Database, kind: str, body: Json
) -> None:
    run = prepare(timed)
    marked = timed.trigger("g")
    state, mark = sorted(claim(timed, size=2), key=lambda state: str(state["run_id"] == marked))
    good(timed.report(state["state_id"], kind, body))
    before = timed.statuses(run)
    assert renew(timed, state["state_id"]) == []
    assert leased(database) == 1
    clock.advance_to(START + LEASE)
    eventually_sync(lambda: ("a", "RETRY_CREATED") in timed.statuses(mark["run_id"]))
    assert timed.statuses(run) == before
    assert leased(database) == 0


def leased(database: Database) -> int:
    return int(database.query("SELECT count(*) FROM states WHERE lease_expires_at IS NOT NULL")[0][0])


def test_a_claim_without_a_lease_never_expires(timed: Api, clock: ManualClock) -> None:
    run = prepare(timed)
    state = timed.claim_one()
    assert "lease_expires_at" not in state
    assert renew(timed, state["state_id"]) == []
    marked = timed.trigger("g")
    claim(timed)
    clock.advance_to(START + 10**12)
    eventually_sync(lambda: ("a", "RETRY_CREATED") in timed.statuses(marked))
    assert timed.statuses(run) == [("a", "QUEUED")]
    timed.executed(state, {"y": "1"})


def test_a_state_put_back_and_claimed_without_a_lease_is_not_ended_by_the_old_one(
    timed: Api, clock: ManualClock
) -> None:
    run = prepare(timed)
    (state,) = claim(timed)
    good(timed.report(state["state_id"], "re-enqueue-after", {"enqueue_after": 1}))
    clock.advance_to(START + 1)
    assert timed.claim_one()["state_id"] == state["state_id"]
    marked = timed.trigger("g")
    claim(timed, 1_000)
    clock.advance_to(START + LEASE)
    eventually_sync(lambda: ("a", "RETRY_CREATED") in timed.statuses(marked))
    assert timed.statuses(run) == [("a", "QUEUED")]


def test_more_leases_than_are_swept_at_once_all_end(timed: Api, clock: ManualClock) -> None:
    timed.steps()
    timed.graph("g", timed.node("a", {}, ["b"]), timed.node("b"), retry_policy={"max_retries": 0})
    run = timed.trigger("g")
    timed.executed(timed.claim_one(), *({"y": str(number)} for number in range(300)))
    assert len(claim(timed, size=1_000)) == 300
    clock.advance_to(START + LEASE)
    eventually_sync(lambda: timed.run(run)["errored_count"] == 300)


def test_a_lease_whose_end_fails_is_tried_again_and_holds_up_no_other(
    timed: Api, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = prepare(timed)
    second = timed.trigger("g")
    stuck = next(state for state in claim(timed, size=2) if state["run_id"] == first)
    really = state_reports.errored
    failures: list[str] = []

    def fail_once(unit: UnitOfWork, context: Context, target: state_reports.Target, error: str) -> bool:
        if target.state_id == stuck["state_id"] and not failures:
            failures.append(error)
            raise RuntimeError("out of order")
        return really(unit, context, target, error)

    monkeypatch.setattr(state_reports, "errored", fail_once)
    clock.advance_to(START + LEASE)
    eventually_sync(lambda: ("a", "RETRY_CREATED") in timed.statuses(second))
    eventually_sync(lambda: f"event=lease_end_failed state_id={stuck['state_id']}" in caplog.text)
    assert timed.statuses(first) == [("a", "QUEUED")]
    clock.advance_to(START + LEASE + 5_000)
    eventually_sync(lambda: ("a", "RETRY_CREATED") in timed.statuses(first))
    assert failures == ["lease expired"]


def test_leases_that_ran_out_while_the_server_was_down_end_a_while_after_its_start(
    start_server: StartServer, clock: ManualClock
) -> None:
    first = start_server(clock=clock)
    with connect(first) as http:
        api = Api(http)
        run = prepare(api)
        claim(api)
    first.stop()
    clock.advance_to(START + LEASE)
    # Also where leases are not offered any more: who claimed with one may be gone for good.
    with connect(start_server(clock=clock, without=frozenset({"lease"}))) as http:
        again = Api(http, api.namespace)
        assert again.statuses(run) == [("a", "QUEUED")]
        clock.advance_to(START + LEASE + SPARED_AFTER_START_MS)
        eventually_sync(lambda: again.statuses(run) == [("a", "CREATED"), ("a", "RETRY_CREATED")])


def test_who_held_a_lease_before_the_server_was_down_may_renew_and_report_after(
    start_server: StartServer, clock: ManualClock
) -> None:
    first = start_server(clock=clock)
    with connect(first) as http:
        api = Api(http)
        run = prepare(api)
        (state,) = claim(api)
    first.stop()
    clock.advance_to(START + 10 * LEASE)
    with connect(start_server(clock=clock)) as http:
        again = Api(http, api.namespace)
        assert same(renew(again, state["state_id"]), expires(state["state_id"], START + 11 * LEASE))
        good(again.post(f"/state/{state['state_id']}/executed", {"outputs": [{}]}))
        assert ("a", "SUCCESS") in again.statuses(run)


@pytest.mark.parametrize("lease_ms", [999, 86_400_001, 0, -1, None, "x", 1_000.5])
def test_a_lease_of_another_length_is_refused(api: Api, lease_ms: Any) -> None:
    claiming = api.post("/states/enqueue", {"nodes": ["Step"], "batch_size": 1, "lease_ms": lease_ms})
    renewing = api.post("/states/renew", {"state_ids": [], "lease_ms": lease_ms})
    for answer in (claiming, renewing):
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["body", "lease_ms"]


@pytest.mark.parametrize("lease_ms", [1_000, 86_400_000, "1000"])
def test_the_shortest_and_the_longest_lease_are_given(api: Api, lease_ms: Any) -> None:
    api.steps()
    api.graph("g", api.node("a"))
    api.trigger("g")
    (state,) = claim(api, lease_ms)
    api.executed(state, {"y": "1"})


def test_a_malformed_state_id_is_422_and_another_namespace_holds_nothing(api: Api) -> None:
    answer = api.post("/states/renew", {"state_ids": ["0" * 24, "no id"], "lease_ms": LEASE})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "state_ids", 1]
    prepare(api)
    (state,) = claim(api, 60_000)
    assert renew(api.in_namespace("elsewhere"), state["state_id"]) == []
    assert len(renew(api, state["state_id"], *(f"{number:024x}" for number in range(1_200)))) == 1


@pytest.mark.parametrize("settings", [{"without": frozenset({"lease"})}, {"strict": True}])
def test_without_it_a_lease_is_ignored_and_nothing_is_renewed(
    start_server: StartServer, settings: dict[str, Any]
) -> None:
    with connect(start_server(**settings)) as http:
        api = Api(http)
        prepare(api)
        (state,) = claim(api, "of any kind")
        assert "lease_expires_at" not in state
        body = {"state_ids": [state["state_id"]], "lease_ms": LEASE}
        assert api.post("/states/renew", body).status_code == 404


@pytest.mark.parametrize("beside", [0, 1_000])
def test_a_renewal_counts_from_when_it_arrived_however_long_it_waits_for_the_writer(
    timed: Api, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, database: Database, beside: int
) -> None:
    if not database.is_file:
        pytest.skip("several transactions write at once there: one that takes long does not hold a renewal up")
    prepare(timed)
    (state,) = claim(timed)
    began, goes_on = threading.Event(), threading.Event()
    register = nodes._register

    def register_later(*given: Any) -> Any:
        began.set()
        assert goes_on.wait(60)
        return register(*given)

    monkeypatch.setattr(nodes, "_register", register_later)
    # Further ones go to the writer only when the first are decided, and so behind what ends leases.
    state_ids = [*(f"{number:024x}" for number in range(beside)), state["state_id"]]
    clock.advance_to(START + LEASE - 1)
    with ThreadPoolExecutor(2) as executor:
        holding = executor.submit(timed.register, registration("Other"))
        assert began.wait(60)
        try:
            renewal = executor.submit(renew, timed, *state_ids)
            eventually_sync(lambda: writes_waiting(timed) > 0)
            clock.advance_to(START + 2 * LEASE)
            # A second look at what has run out comes behind the renewal.
            good(timed.get("/runs/1/1"))
        finally:
            goes_on.set()
        holding.result(60)
        assert same(renewal.result(60), expires(state["state_id"], START + 3 * LEASE))
    timed.executed(state)


def writes_waiting(api: Api) -> float:
    page = api.http.get("/metrics").text
    (found,) = [line for line in page.splitlines() if line.startswith("exosphere_writes_waiting ")]
    return float(found.rsplit(" ", 1)[1])
