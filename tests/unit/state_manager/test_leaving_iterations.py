"""Iterations over runs and transitions may be left at any point; nothing is left behind, and nothing is said."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator

import pytest

from exospherehost import StateManager
from exospherehost._state_manager.task_iterator import READ_AHEAD, TaskIterator
from tests._support.eventually import eventually
from tests._support.fake_runs import RUN, FakeRuns, event, line, stream
from tests._support.runtimes import KEY

BEGIN = f"""
import asyncio, sys
from exospherehost import StateManager
manager = StateManager("ns", sys.argv[1], sys.argv[2])
begun = {{"watch": lambda: manager.watch("{RUN}"), "list_runs": manager.list_runs}}[sys.argv[3]]
"""
ENDS = {
    "break": """
async def main():
    async for _ in begun():
        break
asyncio.run(main())
""",
    "return from a block": """
async def main():
    async with manager:
        async for _ in begun():
            return
asyncio.run(main())
""",
    "raise": """
async def main():
    async for _ in begun():
        raise ValueError
try:
    asyncio.run(main())
except ValueError:
    pass
""",
    "kept": """
async def main():
    global kept
    kept = begun()
    await anext(kept)
asyncio.run(main())
""",
    "never begun": "kept = begun()",
    "cancelled": """
async def main():
    async def follow():
        async for _ in begun():
            followed.set()
            await asyncio.sleep(60)
    followed = asyncio.Event()
    task = asyncio.ensure_future(follow())
    await followed.wait()
    task.cancel()
asyncio.run(main())
""",
}


@pytest.fixture
def runs(runs: FakeRuns) -> FakeRuns:
    def parts() -> Iterator[bytes]:
        yield event("0.1.0", 1, "QUEUED")
        while True:
            yield b":\n\n"

    runs.extensions = ("events",)
    runs.streams = [lambda _: stream(parts())]
    runs.lines = [line(f"run-{number}") for number in range(500)]
    return runs


@pytest.mark.parametrize("iteration", ["watch", "list_runs"])
@pytest.mark.parametrize("end", ENDS)
async def test_program_ends_without_a_word(runs: FakeRuns, end: str, iteration: str) -> None:
    program = [sys.executable, "-W", "error", "-c", BEGIN + ENDS[end], runs.uri, KEY, iteration]
    done = await asyncio.to_thread(subprocess.run, program, capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_iteration_that_nobody_holds_any_more_gives_its_connection_back(runs: FakeRuns) -> None:
    iteration = StateManager("ns", runs.uri, KEY).watch(RUN)
    await anext(iteration)
    assert runs.open_connections > 0
    del iteration

    await eventually(lambda: runs.open_connections == 0, within=20)


async def numbers(count: int, taken: list[int]) -> AsyncGenerator[int, None]:
    for number in range(count):
        taken.append(number)
        yield number


async def test_items_come_in_order_and_the_end_stays_the_end() -> None:
    iterator = TaskIterator(numbers(3, []))

    assert [number async for number in iterator] == [0, 1, 2]
    assert [number async for number in iterator] == []


async def test_only_so_much_is_read_ahead() -> None:
    taken: list[int] = []
    iterator = TaskIterator(numbers(10_000, taken))
    await anext(iterator)
    for _ in range(100):
        await asyncio.sleep(0)

    assert READ_AHEAD <= len(taken) <= READ_AHEAD + 2
    await iterator.aclose()


async def test_error_comes_after_what_was_before_it() -> None:
    async def fails() -> AsyncGenerator[int, None]:
        yield 1
        raise ValueError("boom")

    iterator = TaskIterator(fails())

    assert await anext(iterator) == 1
    with pytest.raises(ValueError, match="boom"):
        await anext(iterator)
    with pytest.raises(StopAsyncIteration):
        await anext(iterator)


async def test_step_that_is_broken_off_loses_nothing() -> None:
    may_go_on = asyncio.Event()

    async def slow() -> AsyncGenerator[int, None]:
        await may_go_on.wait()
        yield 1

    iterator = TaskIterator(slow())
    step = asyncio.ensure_future(iterator.__anext__())
    await asyncio.sleep(0)
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    may_go_on.set()

    assert await anext(iterator) == 1


async def test_end_that_is_asked_for_twice_is_not_broken_off() -> None:
    is_ending, may_end = asyncio.Event(), asyncio.Event()
    has_ended: list[str] = []

    async def holds() -> AsyncGenerator[int, None]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            is_ending.set()
            await may_end.wait()
            has_ended.append("whole")

    iterator = TaskIterator(holds())
    await anext(iterator)
    iterator.release()
    await is_ending.wait()
    closing = asyncio.ensure_future(iterator.aclose())
    for _ in range(10):
        await asyncio.sleep(0)
    may_end.set()
    await closing

    assert has_ended == ["whole"]


async def test_who_waits_for_an_item_is_told_of_the_closing() -> None:
    has_ended = asyncio.Event()

    async def endless() -> AsyncGenerator[int, None]:
        try:
            await asyncio.Event().wait()
            yield 1
        finally:
            has_ended.set()

    iterator = TaskIterator(endless())
    step = asyncio.ensure_future(iterator.__anext__())
    await asyncio.sleep(0)
    await iterator.aclose()

    assert has_ended.is_set()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(step, 30)
