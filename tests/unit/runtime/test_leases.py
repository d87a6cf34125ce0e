"""Leases are renewed while their states are held here, and a lost one ends the execution without a report."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from exospherehost import APIConnectionError, BaseNode, NotFoundError, ReQueueAfterSignal
from exospherehost._runtime import lease_keeper
from exospherehost._runtime.lease_keeper import LeaseKeeper
from exospherehost._runtime.reporter import CONCURRENT_REPORTS
from exospherehost._transport.httpx_carrier import MAX_CONNECTIONS
from exospherehost_client.limits import RENEWED_STATES_MAX
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager, offering
from tests._support.http_service import DROP, Answer, Asked
from tests._support.nodes import Echo
from tests._support.runtimes import make_runtime, running
from tests._support.stand_in import stand_in


@pytest.fixture
def leasing(service: FakeStateManager, monkeypatch: pytest.MonkeyPatch) -> FakeStateManager:
    """A service with leases, whose leases of a second are renewed often."""
    from exospherehost._runtime import lease_keeper

    monkeypatch.setattr(lease_keeper, "RENEWALS_PER_LEASE", 50)
    service.document = offering("lease")
    return service


class Held:
    """A node that stays in its execution until the test lets it go on, and what happened to it."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.started: list[str] = []
        self.cancelled: list[str] = []

    def node(self, when_cancelled: Callable[[], None] | None = None) -> type[BaseNode]:
        held = self

        class Holds(Echo):
            class Inputs(Echo.Inputs):
                text: str = "done"

            async def execute(self) -> Echo.Outputs:
                held.started.append(self.context.state_id)
                try:
                    await held.go_on.wait()
                except asyncio.CancelledError:
                    held.cancelled.append(self.context.state_id)
                    if when_cancelled is None:
                        raise
                    when_cancelled()
                return self.Outputs(text="done")

        return Holds


def fail() -> None:
    raise LookupError("out of a cancellation")


async def test_lease_is_asked_for_and_renewed_while_the_state_runs(leasing: FakeStateManager) -> None:
    held = Held()
    state_id = leasing.put_state("Holds")

    async with running(make_runtime(leasing, held.node(), lease=1)):
        await eventually(lambda: len(leasing.renewals) >= 3)
        held.go_on.set()
        await eventually(lambda: leasing.report_of(state_id))

    assert leasing.claims[0]["lease_ms"] == 1_000
    assert leasing.renewals[0] == {"state_ids": [state_id], "lease_ms": 1_000}


async def test_ended_state_is_not_renewed(leasing: FakeStateManager) -> None:
    held = Held()
    first = leasing.put_state("Echo", {"text": "x"})

    async with running(make_runtime(leasing, Echo, held.node(), lease=1)):
        await eventually(lambda: leasing.report_of(first))
        second = leasing.put_state("Holds")
        await eventually(lambda: [second] in [body["state_ids"] for body in leasing.renewals])
        held.go_on.set()
        await eventually(lambda: leasing.report_of(second))


LAST_WORDS: dict[str, Callable[[], None] | None] = {"lets go": None, "returns": lambda: None, "raises": fail}


@pytest.mark.parametrize("last_words", LAST_WORDS.values(), ids=LAST_WORDS)
async def test_lost_lease_cancels_the_execution_and_reports_nothing(
    leasing: FakeStateManager, caplog: pytest.LogCaptureFixture, last_words: Callable[[], None] | None
) -> None:
    held = Held()
    runtime = make_runtime(leasing, Echo, held.node(last_words), lease=1, workers=1)
    lost: list[str] = []

    async with running(runtime):
        for number in (1, 2, 3):
            state_id = leasing.put_state("Holds")
            await eventually(lambda state_id=state_id: state_id in held.started)
            leasing.lost.add(state_id)
            await eventually(lambda state_id=state_id: state_id in held.cancelled)
            lost.append(state_id)
            # The only worker goes on.
            after = leasing.put_state("Echo", {"text": str(number)})
            await eventually(lambda after=after: leasing.report_of(after))
        assert runtime.stats().lost_leases == 3

    assert [leasing.report_of(state_id) for state_id in lost] == [None] * 3
    assert all(state_id in caplog.text for state_id in lost)
    assert caplog.text.count("event=lease_lost") == 3


async def test_lost_lease_of_a_plain_function_reports_nothing(leasing: FakeStateManager) -> None:
    entered, go_on = threading.Event(), threading.Event()

    class Blocks(BaseNode):
        def execute(self) -> None:
            entered.set()
            assert go_on.wait(20)

    runtime = make_runtime(leasing, Echo, Blocks, lease=1, workers=1)
    try:
        async with running(runtime):
            state_id = leasing.put_state("Blocks")
            await eventually(entered.is_set)
            leasing.lost.add(state_id)
            await eventually(lambda: runtime.stats().lost_leases == 1)
            go_on.set()
            after = leasing.put_state("Echo", {"text": "x"})
            await eventually(lambda: leasing.report_of(after))
    finally:
        go_on.set()

    assert leasing.report_of(state_id) is None


async def test_state_that_waits_for_a_worker_is_dropped_with_its_lease(leasing: FakeStateManager) -> None:
    held = Held()
    states = [leasing.put_state("Holds") for _ in range(4)]

    def generous(asked: Asked) -> Answer | None:
        if asked.path.endswith("/enqueue"):
            leasing.claims.append(asked.json)
            return leasing._claim("ns", {**asked.json, "batch_size": 4})
        return None

    leasing.before = generous
    runtime = make_runtime(leasing, held.node(), lease=1, workers=1)
    async with running(runtime):
        await eventually(lambda: runtime.stats().waiting == 3)
        leasing.lost.update(states[1:3])
        await eventually(lambda: runtime.stats().waiting == 1)
        held.go_on.set()
        await eventually(lambda: len(leasing.reports) == 2)

    assert held.started == [states[0], states[3]]
    assert {report.state_id for report in leasing.reports} == {states[0], states[3]}


async def test_claim_without_a_lease_is_never_renewed(
    leasing: FakeStateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exospherehost._transport import session as session_module

    monkeypatch.setattr(session_module, "ASK_AGAIN_SECONDS", 0.0)
    held = Held()
    unknown = True
    leasing.before = lambda asked: DROP if unknown and asked.path == "/openapi.json" else None
    before = leasing.put_state("Holds")
    async with running(make_runtime(leasing, held.node(), lease=1)):
        await eventually(lambda: before in held.started)
        assert "lease_ms" not in leasing.claims[0]
        unknown = False
        await eventually(lambda: "lease_ms" in leasing.claims[-1])
        after = leasing.put_state("Holds")
        await eventually(lambda: len(leasing.renewals) >= 3)
        held.go_on.set()
        await eventually(lambda: len(leasing.reports) == 2)

    assert {state_id for body in leasing.renewals for state_id in body["state_ids"]} == {after}


async def test_no_lease_is_asked_for_when_there_shall_be_none(leasing: FakeStateManager) -> None:
    held = Held()
    leasing.put_state("Holds")

    async with running(make_runtime(leasing, Echo, held.node(), lease=None)):
        await eventually(lambda: len(leasing.claims) > 5)
        held.go_on.set()

    assert not any("lease_ms" in body for body in leasing.claims)
    assert leasing.renewals == []


async def test_state_claimed_again_during_a_renewal_is_not_lost(leasing: FakeStateManager) -> None:
    renewing, answer = threading.Event(), threading.Event()
    held = Held()

    class Returns(BaseNode):
        async def execute(self) -> None:
            held.started.append(self.context.state_id)
            if len(held.started) == 1:
                await eventually(renewing.is_set)
                raise ReQueueAfterSignal(timedelta(milliseconds=1))
            await held.go_on.wait()

    def before(asked: Asked) -> Answer | None:
        if asked.path.endswith("/re-enqueue-after"):
            leasing.put_again(state_id)
        if asked.path.endswith("/renew") and not renewing.is_set():
            renewing.set()
            assert answer.wait(20)
            return Answer(200, {"held": []})
        return None

    leasing.before = before
    state_id = leasing.put_state("Returns")
    runtime = make_runtime(leasing, Returns, lease=1)
    try:
        async with running(runtime):
            await eventually(lambda: len(held.started) == 2)
            answer.set()
            # The keeper has dealt with that answer when it renews again.
            await eventually(lambda: leasing.renewals)
            held.go_on.set()
            await eventually(lambda: leasing.report_of(state_id).action == "executed")  # type: ignore[union-attr]
            assert runtime.stats().lost_leases == 0
    finally:
        answer.set()


FAULTS: dict[str, Answer] = {
    "reset": DROP,
    "500": Answer(500, {"success": False, "detail": "broken"}),
    "429": Answer(429, {"detail": "slowly"}),
    "HTML": Answer(200, b"<html>", content_type="text/html"),
    "401": Answer(401, {"detail": "Invalid API key"}),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_failing_renewals_are_said_once_and_lose_nothing(
    leasing: FakeStateManager, caplog: pytest.LogCaptureFixture, fault: Answer
) -> None:
    held = Held()
    failures = 0
    failing = True

    def before(asked: Asked) -> Answer | None:
        nonlocal failures
        if not failing or not asked.path.endswith("/renew"):
            return None
        failures += 1
        return fault

    leasing.before = before
    state_id = leasing.put_state("Holds")
    with caplog.at_level(logging.INFO, logger="exospherehost"):
        runtime = make_runtime(leasing, held.node(), lease=1)
        async with running(runtime):
            await eventually(lambda: failures >= 4)
            failing = False
            await eventually(lambda: "event=renewal_recovered" in caplog.text)
            held.go_on.set()
            await eventually(lambda: leasing.report_of(state_id))

    assert caplog.text.count("event=renewal_failing") == 1
    assert caplog.text.count("event=renewal_recovered") == 1
    assert runtime.stats().lost_leases == 0
    assert held.cancelled == []


@pytest.mark.parametrize("status", [404, 405])
async def test_service_that_has_no_leases_any_more_is_not_asked_for_them(
    leasing: FakeStateManager, status: int
) -> None:
    held = Held()

    def before(asked: Asked) -> Answer | None:
        if not asked.path.endswith("/renew"):
            return None
        leasing.document = offering()
        leasing.renewals.append(asked.json)
        return Answer(status, {"detail": "Not Found"})

    leasing.before = before
    state_id = leasing.put_state("Holds")
    async with running(make_runtime(leasing, held.node(), Echo, lease=1)):
        await eventually(lambda: leasing.renewals)
        await eventually(lambda: "lease_ms" not in leasing.claims[-1])
        asked = len(leasing.claims)
        await eventually(lambda: len(leasing.claims) > asked + 3)
        held.go_on.set()
        await eventually(lambda: leasing.report_of(state_id))

    assert len(leasing.renewals) == 1
    assert not any("lease_ms" in body for body in leasing.claims[asked:])


async def test_outcome_on_its_way_keeps_its_lease(leasing: FakeStateManager, monkeypatch: pytest.MonkeyPatch) -> None:
    from exospherehost._runtime import reporter
    from exospherehost._transport.retry import Backoff

    monkeypatch.setattr(reporter, "_BACKOFF", Backoff(initial=0.01, maximum=0.01))
    refusing = True
    leasing.before = lambda asked: DROP if refusing and asked.path.endswith("/executed") else None
    state_id = leasing.put_state("Echo", {"text": "x"})
    runtime = make_runtime(leasing, Echo, lease=1)
    async with running(runtime):
        await eventually(lambda: runtime.stats().undelivered)
        began = len(leasing.renewals)
        await eventually(lambda: len(leasing.renewals) > began + 3)
        refusing = False
        await eventually(lambda: leasing.report_of(state_id))

    assert all(body["state_ids"] == [state_id] for body in leasing.renewals)


async def test_reports_that_hang_keep_back_neither_renewals_nor_claims(leasing: FakeStateManager, carrier: str) -> None:
    at_once = CONCURRENT_REPORTS if carrier == "pyreqwest" else MAX_CONNECTIONS - 2
    released = threading.Event()
    hanging: list[str] = []

    def hang(asked: Asked) -> Answer | None:
        if asked.path.endswith("/executed") and not released.is_set():
            hanging.append(asked.path)
            released.wait(60)
        return None

    leasing.before = hang
    for _ in range(2 * CONCURRENT_REPORTS):
        leasing.put_state("Echo", {"text": "x"})
    try:
        async with running(make_runtime(leasing, Echo, workers=4, batch_size=256, lease=30)):
            await eventually(lambda: len(hanging) == at_once)
            renewals, claims = len(leasing.renewals), len(leasing.claims)
            # Where they waited for a connection, it would be for the pool's time-out.
            await eventually(lambda: len(leasing.renewals) > renewals + 1 and len(leasing.claims) > claims + 1, 9)
            released.set()
            await eventually(lambda: len(leasing.reports) == 2 * CONCURRENT_REPORTS)
    finally:
        released.set()


async def test_outcome_whose_lease_is_lost_is_sent_all_the_same(leasing: FakeStateManager) -> None:
    held = Held()
    answer = Answer(503, b"")
    leasing.before = lambda asked: answer if first in asked.path else None
    first = leasing.put_state("Echo", {"text": "x"})
    runtime = make_runtime(leasing, Echo, held.node(), lease=1, workers=2)
    async with running(runtime):
        await eventually(lambda: runtime.stats().undelivered)
        second = leasing.put_state("Holds")
        await eventually(lambda: leasing.renewals and len(leasing.renewals[-1]["state_ids"]) == 2)
        leasing.lost.add(first)
        await eventually(lambda: leasing.renewals[-1]["state_ids"] == [second])
        assert runtime.stats().undelivered == 1
        # The service decides.
        answer = Answer(400, {"detail": "State is not queued"})
        await eventually(lambda: not runtime.stats().undelivered)
        held.go_on.set()
        await eventually(lambda: leasing.report_of(second))

    assert held.cancelled == []


# ---- the keeper by itself --------------------------------------------------------------------------


class Renewals:
    """Stands for a session: holds every lease but the lost ones."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.lost: set[str] = set()
        self.fault: Exception | None = None
        self.forgotten = 0

    async def offers(self, _: str) -> bool:
        return True

    async def renew(self, state_ids: list[str], lease_ms: int, claim_tokens: dict[str, str]) -> set[str]:
        assert claim_tokens == {}
        assert lease_ms == 30_000
        self.asked.append(state_ids)
        if self.fault is not None:
            raise self.fault
        return set(state_ids) - self.lost

    def forget_extensions(self) -> None:
        self.forgotten += 1


async def keep(
    renewals: Renewals, held: Mapping[str, object], turns: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[float], list[tuple[str, object]]]:
    """Run a keeper for some turns; returns its waits and what it found lost."""
    waits: list[float] = []
    lost: list[tuple[str, object]] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) > turns:
            raise asyncio.CancelledError

    stand_in(monkeypatch, lease_keeper, "asyncio", sleep=sleep)
    session: Any = renewals
    keeper = LeaseKeeper(session, 30.0, lambda: held, lambda state_id, holding: lost.append((state_id, holding)))
    with pytest.raises(asyncio.CancelledError):
        await keeper.run()
    return waits, lost


async def test_leases_are_renewed_three_times_in_their_length(monkeypatch: pytest.MonkeyPatch) -> None:
    renewals = Renewals()

    waits, lost = await keep(renewals, {"a": 1}, 4, monkeypatch)

    assert waits == [10.0] * 5
    assert renewals.asked == [["a"]] * 4
    assert lost == []


async def test_nothing_held_is_nothing_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    renewals = Renewals()

    await keep(renewals, {}, 4, monkeypatch)

    assert renewals.asked == []


async def test_many_leases_are_renewed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    renewals = Renewals()
    renewals.lost = {"s7", "s2400"}
    held = {f"s{number}": number for number in range(2_500)}

    _, lost = await keep(renewals, held, 1, monkeypatch)

    assert [len(part) for part in renewals.asked] == [RENEWED_STATES_MAX, RENEWED_STATES_MAX, 500]
    assert {state_id for part in renewals.asked for state_id in part} == set(held)
    assert lost == [("s7", 7), ("s2400", 2400)]


@pytest.mark.parametrize(("fault", "forgotten"), [(APIConnectionError("x", sent=True), 0), (None, 3)])
async def test_extensions_are_forgotten_only_where_the_path_is_gone(
    monkeypatch: pytest.MonkeyPatch, fault: Exception | None, forgotten: int
) -> None:
    renewals = Renewals()
    renewals.fault = fault or NotFoundError("m", status_code=404, detail="m")

    _, lost = await keep(renewals, {"a": 1}, 3, monkeypatch)

    assert renewals.forgotten == forgotten
    assert lost == []


# ---- claim tokens ------------------------------------------------------------------------------------


@pytest.mark.parametrize("journaled", [False, True])
async def test_each_report_names_the_claim_that_holds_its_state(
    service: FakeStateManager, tmp_path: Path, *, journaled: bool
) -> None:
    service.document = offering("batch-report", "claim-token")
    ids = [service.put_state("Echo") for _ in range(3)]
    for number, state in enumerate(service._waiting):
        state["claim_token"] = f"token-{number}"
    runtime = make_runtime(service, Echo, journal=tmp_path / "journal.db" if journaled else None)
    async with running(runtime):
        await eventually(lambda: all(service.report_of(state_id) for state_id in ids))
    found = {report.state_id: report.body["claim_token"] for report in service.reports}
    assert found == {state_id: f"token-{number}" for number, state_id in enumerate(ids)}
