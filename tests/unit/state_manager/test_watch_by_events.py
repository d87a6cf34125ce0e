"""Watching a run on a service with events: each transition once, through whatever happens to the stream."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime

import pytest

from exospherehost import APIResponseError, AuthenticationError, NotFoundError, StateManager, Timeouts, Transition
from exospherehost._state_manager import watching
from exospherehost_client.models import StateStatus
from tests._support.eventually import eventually
from tests._support.fake_runs import RUN, FakeRuns, event, run_graph, state, stream
from tests._support.http_service import DROP, Answer
from tests._support.runtimes import KEY

END = event("0.9.0", None, "SUCCESS")


@pytest.fixture
def runs(runs: FakeRuns) -> FakeRuns:
    runs.extensions = ("events",)
    runs.looks = [run_graph(state(1, "SUCCESS"))]
    return runs


async def watched(manager: StateManager, last_event_id: str | None = None) -> list[Transition]:
    return [transition async for transition in manager.watch(RUN, last_event_id=last_event_id)]


def ids(transitions: list[Transition]) -> list[str | None]:
    return [transition.event_id for transition in transitions]


async def test_transitions_are_typed_and_end_with_the_run(runs: FakeRuns, manager: StateManager) -> None:
    runs.streams = [lambda _: stream([event("0.1.0", 1, "CREATED"), event("0.2.0", 1, "NEWFANGLED"), END])]

    found = await watched(manager)

    moment = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert found == [
        Transition(f"{1:024x}", "only", "Node", StateStatus.CREATED, moment, "0.1.0"),
        Transition(f"{1:024x}", "only", "Node", "NEWFANGLED", moment, "0.2.0"),
    ]
    assert isinstance(found[0].status, StateStatus)
    assert runs.last_event_ids == [None]
    assert runs.looked() == 0


async def test_comments_are_no_events_and_events_may_come_in_pieces(runs: FakeRuns, manager: StateManager) -> None:
    whole = b":\n\n" + event("0.1.0", 1, "CREATED") + b":\n\n: still here\n\n" + event("0.2.0", 1, "QUEUED") + END
    runs.streams = [lambda _: stream(whole[at : at + 7] for at in range(0, len(whole), 7))]

    assert ids(await watched(manager)) == ["0.1.0", "0.2.0"]


CUTS = {
    "between events": stream([event("0.1.0", 1, "CREATED"), event("0.2.0", 1, "QUEUED")]),
    "within an event": stream([event("0.1.0", 1, "CREATED"), event("0.2.0", 1, "QUEUED"), END[:30]]),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
async def test_stream_that_breaks_off_goes_on_after_the_last_event(
    runs: FakeRuns, manager: StateManager, cut: Answer
) -> None:
    runs.streams = [lambda _: cut, lambda _: stream([event("0.3.0", 1, "SUCCESS"), END])]

    assert ids(await watched(manager)) == ["0.1.0", "0.2.0", "0.3.0"]
    assert runs.last_event_ids == [None, "0.2.0"]


async def test_what_a_service_tells_again_comes_once(runs: FakeRuns, manager: StateManager) -> None:
    first, second = event("0.1.0", 1, "CREATED"), event("0.2.0", 1, "QUEUED")
    runs.streams = [lambda _: stream([first]), lambda _: stream([first, second, second, END])]

    assert ids(await watched(manager)) == ["0.1.0", "0.2.0"]


async def test_it_begins_after_the_event_that_is_given(runs: FakeRuns, manager: StateManager) -> None:
    runs.streams = [lambda _: stream([event("0.5.0", 1, "SUCCESS"), END])]

    assert ids(await watched(manager, "0.4.0")) == ["0.5.0"]
    assert runs.last_event_ids == ["0.4.0"]


FAULTS = {
    "no answer": DROP,
    "500": Answer(500, {"success": False, "detail": "broken"}),
    "503": Answer(503, b"<html>away</html>", content_type="text/html"),
    "429": Answer(429, {"detail": "slowly"}, {"retry-after": "0"}),
    "a page": Answer(200, b"<html>hello</html>", content_type="text/html"),
    "JSON": Answer(200, {"hello": "there"}),
    "no event": stream([b"data: {}\n\n"]),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_fault_in_mid_run_is_sat_out(runs: FakeRuns, manager: StateManager, fault: Answer) -> None:
    runs.streams = [
        lambda _: stream([event("0.1.0", 1, "CREATED")]),
        lambda _: fault,
        lambda _: fault,
        lambda _: stream([event("0.2.0", 1, "SUCCESS"), END]),
    ]

    assert ids(await watched(manager)) == ["0.1.0", "0.2.0"]
    assert runs.last_event_ids == [None, "0.1.0", "0.1.0", "0.1.0"]


async def test_fault_that_lasts_is_raised(
    runs: FakeRuns, manager: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PATIENCE_SECONDS", 0.3)
    runs.streams = [lambda _: FAULTS["a page"]]

    with pytest.raises(APIResponseError, match="the content type is text/html"):
        await watched(manager)


async def test_streams_that_end_too_early_for_too_long_are_told_of(
    runs: FakeRuns, manager: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PATIENCE_SECONDS", 0.3)
    runs.streams = [lambda _: stream([])]

    with pytest.raises(APIResponseError, match="again and again"):
        await watched(manager)


async def test_refused_key_is_raised_at_once(runs: FakeRuns, manager: StateManager) -> None:
    runs.streams = [lambda _: Answer(401, {"detail": "Invalid API key"})]

    with pytest.raises(AuthenticationError):
        await watched(manager)
    assert runs.last_event_ids == [None]


async def test_unknown_run_is_not_found(runs: FakeRuns, manager: StateManager) -> None:
    runs.streams = [lambda _: Answer(404, {"detail": "no such run"})]

    with pytest.raises(NotFoundError, match="no such run"):
        await watched(manager)
    # A 404 may also be that of a service that has lost the extension.
    assert runs.paths().count("/openapi.json") == 2


@pytest.mark.parametrize("status", [404, 405])
async def test_service_that_has_lost_the_extension_is_looked_at_and_nothing_comes_twice(
    runs: FakeRuns, manager: StateManager, status: int
) -> None:
    def gone(_: str | None) -> Answer:
        runs.extensions = ()
        return Answer(status, {"detail": "Not Found"})

    runs.streams = [lambda _: stream([event("0.1.0", 1, "QUEUED")]), gone]
    runs.looks = [run_graph(state(1, "QUEUED")), run_graph(state(1, "SUCCESS"), state(2, "SUCCESS"))]

    found = await watched(manager)

    assert [(transition.state_id[-1], transition.status) for transition in found] == [
        ("1", "QUEUED"),
        ("1", "SUCCESS"),
        ("2", "SUCCESS"),
    ]
    assert ids(found) == ["0.1.0", None, None]


async def test_quiet_stream_outlives_the_time_out_of_reading(runs: FakeRuns) -> None:
    is_over = threading.Event()

    def parts() -> Iterator[bytes]:
        yield event("0.1.0", 1, "QUEUED")
        is_over.wait(30)
        yield END

    runs.streams = [lambda _: stream(parts())]
    manager = StateManager("ns", runs.uri, KEY, timeouts=Timeouts(read=0.2))
    found: list[Transition] = []
    try:
        async with aclosing(manager.watch(RUN)) as transitions:
            found.append(await anext(transitions))
            rest = asyncio.ensure_future(anext(transitions, None))
            # Long past the time-out of reading.
            await asyncio.wait([rest], timeout=1.0)
            assert not rest.done()
            is_over.set()
            assert await asyncio.wait_for(rest, 30) is None
    finally:
        is_over.set()

    assert ids(found) == ["0.1.0"]
    assert runs.last_event_ids == [None]


async def test_streams_leave_the_pool_of_connections_to_others(runs: FakeRuns) -> None:
    is_over = threading.Event()

    def parts() -> Iterator[bytes]:
        yield event("0.1.0", 1, "QUEUED")
        is_over.wait(30)
        yield END

    runs.streams = [lambda _: stream(parts())]
    try:
        async with StateManager("ns", runs.uri, KEY, timeouts=Timeouts(pool=5)) as manager:
            watches = [manager.watch(RUN) for _ in range(20)]
            await asyncio.gather(*(anext(watch) for watch in watches))
            assert (await manager.get_run(RUN)).status == "SUCCESS"
            is_over.set()
            assert await asyncio.gather(*(anext(watch, None) for watch in watches)) == [None] * 20
    finally:
        is_over.set()


async def test_loop_that_is_left_early_gives_the_connection_back(runs: FakeRuns, manager: StateManager) -> None:
    def parts() -> Iterator[bytes]:
        yield event("0.1.0", 1, "QUEUED")
        # Written until the client has gone, at the latest.
        while True:
            yield b":\n\n"

    runs.streams = [lambda _: stream(parts())]
    async with aclosing(manager.watch(RUN)) as transitions:
        async for _ in transitions:
            break

    await eventually(lambda: runs.open_connections == 0, within=20)


async def test_next_service_of_the_list_takes_over(runs: FakeRuns) -> None:
    with FakeRuns() as other:
        other.extensions = ("events",)
        runs.streams = [lambda _: stream([event("0.1.0", 1, "CREATED")]), lambda _: DROP]
        other.streams = [lambda _: stream([event("0.2.0", 1, "SUCCESS"), END])]
        manager = StateManager("ns", f"{runs.uri},{other.uri}", KEY)

        assert ids(await watched(manager)) == ["0.1.0", "0.2.0"]
        assert other.last_event_ids == ["0.1.0"]
