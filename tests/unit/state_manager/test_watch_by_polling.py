"""Watching a run on a service without events: its states are looked at until it has ended."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from exospherehost import APIConnectionError, NotFoundError, StateManager
from exospherehost._state_manager import watching
from exospherehost_client.models import StateStatus
from tests._support.fake_runs import RUN, FakeRuns, run_graph, state
from tests._support.http_service import DROP, Answer, Asked
from tests._support.runtimes import KEY


async def watched(manager: StateManager) -> list[tuple[str, str]]:
    return [(each.state_id.lstrip("0"), each.status) async for each in manager.watch(RUN)]


@pytest.mark.parametrize("extensions", [(), None, ("cancel", "wait")])
async def test_each_change_comes_once(
    runs: FakeRuns, manager: StateManager, extensions: tuple[str, ...] | None
) -> None:
    runs.extensions = extensions
    runs.looks = [
        run_graph(state(1, "CREATED")),
        run_graph(state(1, "CREATED")),
        run_graph(state(1, "RETRY_CREATED", error="boom"), state(2, "QUEUED")),
        run_graph(state(1, "RETRY_CREATED", error="boom"), state(2, "SUCCESS")),
    ]

    assert await watched(manager) == [("1", "CREATED"), ("1", "RETRY_CREATED"), ("2", "QUEUED"), ("2", "SUCCESS")]


async def test_what_is_not_known_is_none(runs: FakeRuns, manager: StateManager) -> None:
    runs.looks = [run_graph(state(1, "SUCCESS", identifier="first"))]

    (transition,) = [each async for each in manager.watch(RUN)]

    assert (transition.identifier, transition.node_name, transition.status) == ("first", "Node", StateStatus.SUCCESS)
    assert (transition.occurred_at, transition.event_id) == (None, None)


async def test_join_that_is_made_after_the_last_state_has_ended_is_not_missed(
    runs: FakeRuns, manager: StateManager
) -> None:
    runs.looks = [
        run_graph(state(1, "SUCCESS")),
        run_graph(state(1, "SUCCESS"), state(2, "CREATED")),
        run_graph(state(1, "SUCCESS"), state(2, "SUCCESS")),
    ]

    assert await watched(manager) == [("1", "SUCCESS"), ("2", "CREATED"), ("2", "SUCCESS")]


async def test_unknown_run_is_not_found(runs: FakeRuns, manager: StateManager) -> None:
    runs.looks = [run_graph()]

    with pytest.raises(NotFoundError, match=RUN) as caught:
        await watched(manager)
    assert caught.value.status_code == 404


async def test_faults_are_sat_out(runs: FakeRuns, manager: StateManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PATIENCE", replace(watching.PATIENCE, maximum=0.05))
    faults = [DROP, Answer(500), Answer(502, b"<html>", content_type="text/html"), DROP, DROP, DROP, DROP]

    def before(asked: Asked) -> Answer | None:
        return faults.pop(0) if asked.path.endswith("/graph") and faults else None

    runs.before = before
    runs.looks = [run_graph(state(1, "QUEUED")), run_graph(state(1, "SUCCESS"))]

    assert await watched(manager) == [("1", "QUEUED"), ("1", "SUCCESS")]
    assert faults == []


async def test_service_that_is_away_from_the_start_is_told_of() -> None:
    manager = StateManager("ns", "http://127.0.0.1:9", KEY, timeouts=0.5)

    with pytest.raises(APIConnectionError, match=r"127\.0\.0\.1:9"):
        await watched(manager)


@pytest.mark.parametrize(
    ("age", "cost", "expected"),
    [
        (0.0, 0.0, 0.1),
        (10.0, 0.001, 0.5),
        (3_600.0, 0.001, 2.0),
        (1.0, 0.5, 5.0),
        (3_600.0, 0.5, 5.0),
        (0.0, 60.0, 30.0),
    ],
    ids=["at first", "by age", "long run", "large run", "long and large", "bound"],
)
async def test_looks_are_rarer_the_longer_and_larger_a_run_is(
    monkeypatch: pytest.MonkeyPatch, age: float, cost: float, expected: float
) -> None:
    slept: list[float] = []
    now = 1_000.0

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(watching.time, "monotonic", lambda: now)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    pace = watching._Pace()
    now += age
    await pace.wait(cost)
    monkeypatch.undo()

    assert slept == [pytest.approx(expected)]
