"""Waiting for the end of a run."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from exospherehost import (
    APIConnectionError,
    ConfigurationError,
    NotFoundError,
    RunFailedError,
    StateManager,
    WaitTimeoutError,
)
from exospherehost._state_manager import watching
from exospherehost._transport.retry import Backoff
from tests._support.eventually import eventually
from tests._support.fake_runs import RUN, FakeRuns, event, line, run_graph, state, stream
from tests._support.http_service import DROP, Answer, Asked

END = event("0.9.0", None, "SUCCESS")
RUNNING = run_graph(state(1, "QUEUED"))
ENDED = run_graph(state(1, "SUCCESS"))
FAILED = run_graph(state(1, "SUCCESS"), state(2, "ERRORED", error="ValueError: boom\n  more"))


async def test_run_is_looked_at_until_two_looks_agree_that_it_has_ended(runs: FakeRuns, manager: StateManager) -> None:
    late = run_graph(state(1, "SUCCESS"), state(2, "QUEUED"))
    done = run_graph(state(1, "SUCCESS"), state(2, "SUCCESS"))
    runs.looks = [RUNNING, ENDED, late, done]

    run = await manager.wait(RUN)

    assert (run.run_id, run.status, run.node_count) == (RUN, "SUCCESS", 2)
    assert runs.looked() == 5


async def test_run_is_followed_by_its_events_and_read_twice(runs: FakeRuns, manager: StateManager) -> None:
    runs.extensions = ("events",)
    runs.looks = [RUNNING, FAILED]
    runs.streams = [lambda _: stream([event("0.1.0", 1, "QUEUED"), END])]

    run = await manager.wait(RUN)

    assert run.status == "FAILED"
    assert [node.error for node in run.failed_states] == ["ValueError: boom\n  more"]
    assert (runs.looked(), len(runs.last_event_ids)) == (2, 1)


async def test_run_that_has_ended_is_read_once_where_there_are_events(runs: FakeRuns, manager: StateManager) -> None:
    runs.extensions = ("events",)
    runs.looks = [ENDED]

    assert (await manager.wait(RUN)).is_finished
    assert runs.looked() == 1


async def test_run_that_was_revived_after_its_end_is_waited_for_again(runs: FakeRuns, manager: StateManager) -> None:
    runs.extensions = ("events",)
    runs.looks = [RUNNING, RUNNING, RUNNING, ENDED]
    runs.streams = [
        lambda _: stream([event("0.1.0", 1, "QUEUED"), END]),
        lambda _: stream([event("1.1.0", 1, "SUCCESS"), event("1.2.0", None, "SUCCESS")]),
    ]

    assert (await manager.wait(RUN)).status == "SUCCESS"
    assert runs.last_event_ids == [None, "0.9.0"]


async def test_large_run_is_looked_at_in_the_list_of_runs(
    runs: FakeRuns, manager: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "LARGE_RUN", 2)
    running = run_graph(state(1, "SUCCESS"), state(2, "QUEUED"))
    runs.looks = [running, run_graph(state(1, "SUCCESS"), state(2, "SUCCESS"))]
    runs.lines = [line("another"), line(RUN, "PENDING")]
    looks_in_the_list = 0

    def before(asked: Asked) -> Answer | None:
        nonlocal looks_in_the_list
        looks_in_the_list += "/runs/1/" in asked.path
        if looks_in_the_list == 4:
            runs.lines = [line("another"), line(RUN)]
        return None

    runs.before = before

    assert (await manager.wait(RUN)).status == "SUCCESS"
    assert runs.listed() == ["1/50"] * 4
    # Once at the start, and twice when the list says that it has ended.
    assert runs.looked() == 3


async def test_large_run_that_is_not_among_the_newest_is_looked_at_itself(
    runs: FakeRuns, manager: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "LARGE_RUN", 1)
    runs.looks = [RUNNING, RUNNING, ENDED]
    runs.lines = [line("another", "PENDING")]

    assert (await manager.wait(RUN)).status == "SUCCESS"
    assert runs.looked() == 4


@pytest.mark.parametrize("extensions", [(), ("events",)])
async def test_time_out_says_that_the_run_goes_on(
    runs: FakeRuns, manager: StateManager, extensions: tuple[str, ...]
) -> None:
    is_over = threading.Event()

    def parts() -> Iterator[bytes]:
        yield b":\n\n"
        is_over.wait(30)

    runs.extensions, runs.looks, runs.streams = extensions, [RUNNING], [lambda _: stream(parts())]

    try:
        with pytest.raises(WaitTimeoutError, match=r"not ended within 0\.3 s and goes on") as caught:
            await manager.wait(RUN, timeout=0.3)
    finally:
        is_over.set()

    assert isinstance(caught.value, TimeoutError)
    assert caught.value.run_id == RUN
    assert caught.value.__cause__ is None
    assert pickle.loads(pickle.dumps(caught.value)).run_id == RUN


@pytest.mark.parametrize("extensions", [None, (), ("events",)])
async def test_a_service_that_is_away_when_the_wait_begins_is_waited_for(
    runs: FakeRuns, manager: StateManager, extensions: tuple[str, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PATIENCE", replace(watching.PATIENCE, maximum=0.05))
    # Without knowing the service: five attempts, as other calls make, would be over before.
    runs.extensions, runs.looks = extensions, [ENDED]
    runs.before = lambda _: DROP if len(runs.paths()) < 9 else None

    assert (await manager.wait(RUN)).status == "SUCCESS"


async def test_time_out_of_a_request_is_not_taken_for_that_of_the_wait(
    runs: FakeRuns, manager: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PATIENCE", Backoff(attempts=2))
    runs.before = lambda asked: DROP if asked.path == "/openapi.json" else None

    with pytest.raises(APIConnectionError):
        await manager.wait(RUN, timeout=600)


@pytest.mark.parametrize("seconds", [-1, float("nan"), "5"])
async def test_time_out_that_is_none_is_refused(runs: FakeRuns, manager: StateManager, seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="timeout="):
        await manager.wait(RUN, timeout=seconds)
    assert runs.paths() == []


async def test_unknown_run_is_not_found(runs: FakeRuns, manager: StateManager) -> None:
    runs.looks = [run_graph()]

    with pytest.raises(NotFoundError, match="there is no run"):
        await manager.wait(RUN)


async def test_cancelled_wait_ends_at_once(runs: FakeRuns, manager: StateManager) -> None:
    runs.looks = [RUNNING]
    task = asyncio.ensure_future(manager.wait(RUN))
    await eventually(runs.looked)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_failed_run_raises_where_that_is_asked_for(runs: FakeRuns, manager: StateManager) -> None:
    runs.looks = [FAILED]
    run = await manager.wait(RUN)

    with pytest.raises(RunFailedError) as caught:
        run.raise_for_status()

    text = f"run {RUN} of graph 'g' has failed: only ({2:024x}): ValueError: boom"
    assert str(caught.value) == text
    assert caught.value.reasons == [f"only ({2:024x}): ValueError: boom\n  more"]
    assert (caught.value.run_id, caught.value.graph_name, caught.value.is_cancelled) == (RUN, "g", False)
    assert str(pickle.loads(pickle.dumps(caught.value))) == text


async def test_run_that_has_succeeded_is_returned_by_raise_for_status(runs: FakeRuns, manager: StateManager) -> None:
    runs.looks = [ENDED]
    run = await manager.wait(RUN)

    assert run.raise_for_status() is run


def test_error_of_many_failed_states_stays_short() -> None:
    error = RunFailedError(RUN, "g", [f"a ({number}): {'x' * 1_000}" for number in range(500)])

    assert len(str(error)) < 1_000
    assert str(error).endswith("and 497 more")
