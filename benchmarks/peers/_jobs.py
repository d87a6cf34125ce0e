"""How a driver is spoken to: a job a line on standard input, its outcome a line on standard output, both JSON.

A job is ``{"shape": "chain" or "fan", "runs": N, "width": W}``; its outcome has the seconds from the first trigger
until the tool's own store said that all had ended, and how many steps that store has the results of.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from _line import say  # type: ignore[import-not-found]

Job = dict[str, Any]
LOOK_SECONDS = 0.01


def steps_of(job: Job) -> int:
    """How many of the user's functions the runs of a job call: two in a chain; start, split, each and join in a fan."""
    steps: int = job["runs"] * (2 if job["shape"] == "chain" else job["width"] + 3)
    return steps


def take_jobs(run: Callable[[Job], Job], **about: Any) -> None:
    """Do what is asked for until the line is closed."""
    say(about)
    for line in sys.stdin:
        say(run(json.loads(line)))


async def take_jobs_in_loop(run: Callable[[Job], Awaitable[Job]], **about: Any) -> None:
    """As `take_jobs`, on the running event loop."""
    say(about)
    while line := await asyncio.to_thread(sys.stdin.readline):
        say(await run(json.loads(line)))


async def wait_until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Look every now and then until something is so."""
    while not await is_so():  # noqa: ASYNC110 - what is looked at is in another process
        await asyncio.sleep(LOOK_SECONDS)


async def spread(runs: int, lanes: int, start: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """Start so many runs, by a number of lanes at a time, and return what each start returned, in order."""
    outcomes: list[Any] = [None] * runs
    numbers: Iterator[int] = iter(range(runs))

    async def lane() -> None:
        for number in numbers:
            outcomes[number] = await start(number)

    await asyncio.gather(*(lane() for _ in range(min(lanes, runs))))
    return outcomes
