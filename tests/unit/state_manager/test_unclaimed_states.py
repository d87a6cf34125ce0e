"""Whoever waits for a run is told when nobody claims its states."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from exospherehost import StateManager, WaitTimeoutError
from exospherehost._state_manager import unclaimed_states
from exospherehost._state_manager.runs import Transition
from exospherehost._state_manager.unclaimed_states import UnclaimedStates
from exospherehost_client.models import RunGraphNode
from tests._support.fake_runs import RUN, FakeRuns, event, run_graph, state, stream

WAITING = run_graph(state(1, "SUCCESS"), state(2, "CREATED"), state(3, "CREATED"), state(4, "CREATED"))
ENDED = run_graph(state(1, "SUCCESS"))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def unclaimed(clock: Clock) -> UnclaimedStates:
    return UnclaimedStates(RUN, clock)


def as_nodes(*numbers_and_statuses: tuple[int, str]) -> list[RunGraphNode]:
    return [RunGraphNode.model_validate(state(number, status)) for number, status in numbers_and_statuses]


def test_states_that_nobody_claims_are_described_and_told_less_and_less_often(
    unclaimed: UnclaimedStates, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    unclaimed.look(as_nodes((1, "SUCCESS"), (2, "CREATED"), (3, "CREATED"), (4, "CREATED")))
    told: list[float] = []
    for _ in range(200):
        clock.now += 1
        before = len(caplog.records)
        unclaimed.tell()
        told += [clock.now - 100] * (len(caplog.records) - before)

    assert told == [30, 60, 120]
    assert "event=states_unclaimed run_id=" in caplog.text
    assert unclaimed.describe() == [
        (
            "3 states of node Node wait, and no runtime has claimed Node for 200 s: start a runtime with Node in this "
            "namespace, unless a start delay or the delay of a retry explains it"
        )
    ]


def test_a_claim_of_one_begins_the_time_anew(unclaimed: UnclaimedStates, clock: Clock) -> None:
    unclaimed.look(as_nodes((1, "CREATED"), (2, "CREATED")))
    clock.now += 29
    unclaimed.note(Transition(f"{1:024x}", "only", "Node", "QUEUED"))
    clock.now += 29
    assert unclaimed.describe() == []
    clock.now += 1
    assert unclaimed.describe()[0].startswith("1 state of node Node waits, ")
    unclaimed.look(as_nodes((1, "SUCCESS"), (2, "QUEUED")))
    clock.now += 1_000
    assert unclaimed.describe() == []


@pytest.mark.parametrize("extensions", [(), ("events",)])
async def test_wait_tells_in_the_log_and_in_its_error(
    runs: FakeRuns,
    manager: StateManager,
    extensions: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    is_over = threading.Event()

    def parts() -> Iterator[bytes]:
        yield event("0.1.0", 2, "CREATED")
        is_over.wait(30)

    monkeypatch.setattr(unclaimed_states, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(unclaimed_states, "LOOK_SECONDS", 0.05)
    runs.extensions, runs.looks, runs.streams = extensions, [WAITING], [lambda _: stream(parts())]

    try:
        with pytest.raises(
            WaitTimeoutError, match=r"3 states of node Node wait, and no runtime has claimed Node for [0-9] s"
        ):
            await manager.wait(RUN, timeout=4)
    finally:
        is_over.set()

    assert "event=states_unclaimed run_id=" in caplog.text


async def test_nothing_is_told_of_a_run_whose_states_are_claimed(
    runs: FakeRuns, manager: StateManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(unclaimed_states, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(unclaimed_states, "LOOK_SECONDS", 0.01)
    runs.looks = [run_graph(state(1, "QUEUED"))] * 3 + [ENDED]

    assert (await manager.wait(RUN)).status == "SUCCESS"
    assert "states_unclaimed" not in caplog.text
