"""Secrets are read once a second for each run and node where runs are told apart, and else for each state."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from exospherehost._runtime.secret_reader import FRESH_SECONDS, SecretReader
from exospherehost._transport.retry import Backoff
from exospherehost_client.models import ClaimedState
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager, offering
from tests._support.http_service import DROP, Answer, Asked
from tests._support.nodes import NeedsSecret
from tests._support.runtimes import make_runtime, running

RUN = "0b0c5f0e-9f5b-4d0e-8a5e-0d3b1f6d2f11"
OTHER_RUN = "0b0c5f0e-9f5b-4d0e-8a5e-0d3b1f6d2f12"


class Other(NeedsSecret):
    """Another node with a secret."""


@pytest.fixture(autouse=True)
def secrets(service: FakeStateManager) -> None:
    service.secrets = {"token": "abc"}


def asked_for(service: FakeStateManager) -> list[str]:
    """The ids of the states whose secrets have been asked for."""
    return [path.split("/")[-2] for path in service.paths("GET") if path.endswith("/secrets")]


def states_of(service: FakeStateManager, run: str | None, *, node: str = "NeedsSecret", count: int = 4) -> list[str]:
    context = {} if run is None else {"graph_name": "g", "run_id": run, "attempt": 1}
    return [service.put_state(node, **context) for _ in range(count)]


async def test_states_of_one_run_and_node_share_one_reading(service: FakeStateManager) -> None:
    states = states_of(service, RUN)
    async with running(make_runtime(service, NeedsSecret)):
        await eventually(lambda: len(service.reports) == len(states))

    assert len(asked_for(service)) == 1
    assert {str(report.body) for report in service.reports} == {str({"outputs": [{"length": "3"}]})}


async def test_every_run_and_every_node_has_a_reading_of_its_own(service: FakeStateManager) -> None:
    runs = [states_of(service, RUN), states_of(service, OTHER_RUN), states_of(service, RUN, node="Other")]
    async with running(make_runtime(service, NeedsSecret, Other)):
        await eventually(lambda: len(service.reports) == 12)

    asked = asked_for(service)
    assert len(asked) == 3
    assert all(len(set(asked) & set(states)) == 1 for states in runs)


async def test_every_state_is_asked_for_where_runs_are_not_told_apart(service: FakeStateManager) -> None:
    states = states_of(service, None)
    async with running(make_runtime(service, NeedsSecret)):
        await eventually(lambda: len(service.reports) == len(states))

    assert sorted(asked_for(service)) == sorted(states)


async def test_attempt_after_the_first_reads_anew(service: FakeStateManager) -> None:
    states = states_of(service, RUN)
    again = [service.put_state("NeedsSecret", graph_name="g", run_id=RUN, attempt=attempt) for attempt in (2, 3, 2)]
    async with running(make_runtime(service, NeedsSecret)):
        await eventually(lambda: len(service.reports) == 7)

    asked = asked_for(service)
    assert sorted(set(asked) & set(again)) == again
    assert len(set(asked) & set(states)) == 1


TO_BE_WAITED_OUT: dict[str, Answer] = {
    "401": Answer(401, {"detail": "Invalid API key"}),
    "HTML with 200": Answer(200, b"<html>please wait</html>", content_type="text/html"),
    "HTML with 502": Answer(502, b"<html>", content_type="text/html"),
    "500": Answer(500, {"success": False, "detail": "broken"}),
    "429": Answer(429, {"detail": "slowly"}, {"retry-after": "0"}),
    "reset": DROP,
}


@pytest.mark.parametrize("context", [{}, {"graph_name": "g", "run_id": RUN, "attempt": 1}], ids=["alone", "shared"])
@pytest.mark.parametrize("fault", TO_BE_WAITED_OUT.values(), ids=TO_BE_WAITED_OUT)
async def test_what_may_pass_is_waited_out(
    service: FakeStateManager, monkeypatch: pytest.MonkeyPatch, fault: Answer, context: dict[str, Any]
) -> None:
    from exospherehost._transport import runtime_session as session_module

    monkeypatch.setattr(session_module, "_FOR_A_CLAIMED_STATE", Backoff(attempts=99, initial=0.01, maximum=0.01))
    faults = iter([fault] * 4)
    service.before = lambda asked: next(faults, None) if asked.path.endswith("/secrets") else None
    state_id = service.put_state("NeedsSecret", **context)
    async with running(make_runtime(service, NeedsSecret)):
        said = await eventually(lambda: service.report_of(state_id))

    assert said.action == "executed"
    assert len(asked_for(service)) == 5


async def test_refusal_is_the_error_of_its_state_and_is_not_remembered(service: FakeStateManager) -> None:
    first = service.put_state("NeedsSecret", graph_name="g", run_id=RUN, attempt=1)
    service.before = lambda asked: (
        Answer(404, {"detail": "no such graph"}) if asked.path.endswith(f"{first}/secrets") else None
    )
    async with running(make_runtime(service, NeedsSecret)):
        said = await eventually(lambda: service.report_of(first))
        (second,) = states_of(service, RUN, count=1)
        after = await eventually(lambda: service.report_of(second))

    assert said.action == "errored"
    assert "404: no such graph" in said.body["error"]
    assert after.action == "executed"
    assert asked_for(service) == [first, second]


async def test_lost_lease_of_the_state_that_reads_leaves_the_others_their_secrets(
    service: FakeStateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exospherehost._runtime import lease_keeper

    monkeypatch.setattr(lease_keeper, "RENEWALS_PER_LEASE", 50)
    service.document = offering("lease", "context")
    reached, go_on = threading.Event(), threading.Event()

    def before(asked: Asked) -> None:
        if asked.path.endswith("/secrets"):
            reached.set()
            assert go_on.wait(20)

    service.before = before
    states = states_of(service, RUN, count=3)
    runtime = make_runtime(service, NeedsSecret, lease=1)
    try:
        async with running(runtime):
            await eventually(reached.is_set)
            await eventually(lambda: runtime.stats().running == 3)
            (reader,) = asked_for(service)
            service.lost.add(reader)
            await eventually(lambda: runtime.stats().lost_leases == 1)
            go_on.set()
            others = [state_id for state_id in states if state_id != reader]
            await eventually(lambda: all(service.report_of(state_id) for state_id in others))
    finally:
        go_on.set()

    assert service.report_of(reader) is None
    assert {report.action for report in service.reports} == {"executed"}
    assert len(asked_for(service)) == 1


# ---- the reader by itself --------------------------------------------------------------------------


class Secrets:
    """Stands for a session: gives secrets that tell which reading they are of."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    async def get_secrets(self, state_id: str) -> dict[str, str]:
        self.asked.append(state_id)
        number = len(self.asked)
        await self.open.wait()
        return {"token": str(number)}


class Clock:
    """Time that a test sets."""

    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    from exospherehost._runtime import secret_reader

    clock = Clock()
    monkeypatch.setattr(secret_reader, "time", clock)
    return clock


def claimed(state_id: str, run: str = RUN) -> ClaimedState:
    return ClaimedState.model_validate(
        {
            "state_id": state_id,
            "node_name": "N",
            "identifier": "n",
            "inputs": {},
            "created_at": "2025-01-02T03:04:05Z",
            "run_id": run,
            "attempt": 1,
        }
    )


def make_reader() -> tuple[SecretReader, Secrets]:
    secrets = Secrets()
    session: Any = secrets
    return SecretReader(session), secrets


@pytest.mark.parametrize(("later", "asked"), [(0.0, 1), (FRESH_SECONDS, 1), (FRESH_SECONDS + 0.01, 2)])
async def test_reading_serves_for_a_second(clock: Clock, later: float, asked: int) -> None:
    reader, secrets = make_reader()
    await reader.read(claimed("a"))
    clock.now += later
    given = await reader.read(claimed("b"))

    assert len(secrets.asked) == asked
    assert given == {"token": str(asked)}


async def test_reading_is_no_fresher_for_being_used(clock: Clock) -> None:
    reader, secrets = make_reader()
    for _ in range(5):
        await reader.read(claimed("a"))
        clock.now += FRESH_SECONDS * 0.4

    assert len(secrets.asked) == 2


async def test_cancelled_reader_does_not_end_the_reading() -> None:
    reader, secrets = make_reader()
    secrets.open.clear()
    first, second = (asyncio.ensure_future(reader.read(claimed(each))) for each in ("a", "b"))
    await eventually(lambda: secrets.asked)

    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    secrets.open.set()

    assert await second == {"token": "1"}
    assert secrets.asked == ["a"]


async def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from exospherehost._runtime import secret_reader

    monkeypatch.setattr(secret_reader, "_MOST_KEPT", 10)
    reader, secrets = make_reader()
    for number in range(100):
        await reader.read(claimed("a", run=f"run-{number}"))

    assert len(reader._reads) <= 10
    assert len(secrets.asked) == 100
