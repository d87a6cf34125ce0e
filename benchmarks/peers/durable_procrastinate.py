"""Procrastinate on PostgreSQL: the app that its worker loads, and, run as a program, what triggers its jobs.

A chain is a job that defers the next; there is no join, so a fan-out ends with the last of its jobs.
"""

import json
import os
import sys
import time

import uvloop
from _jobs import Job, spread, steps_of, take_jobs_in_loop, wait_until  # type: ignore[import-not-found]
from procrastinate import App, PsycopgConnector  # type: ignore[import-not-found]

URL = json.loads(os.environ["BENCH_SETTINGS"])["url"]
LANES = 16

app = App(connector=PsycopgConnector(conninfo=URL, min_size=4, max_size=20))


@app.task(name="passes_on")  # type: ignore[untyped-decorator]
async def passes_on(text: str) -> str:
    """Do nothing."""
    return text


@app.task(name="first")  # type: ignore[untyped-decorator]
async def first(text: str) -> str:
    """Defer the next of a chain."""
    await passes_on.defer_async(text=text)
    return text


@app.task(name="split")  # type: ignore[untyped-decorator]
async def split(width: int) -> str:
    """Fan out."""
    await passes_on.batch_defer_async(*({"text": str(number)} for number in range(width)))
    return str(width)


async def succeeded() -> int:
    """How many jobs the database has as done."""
    rows = await app.connector.execute_query_one_async(
        "SELECT count(*) AS done FROM procrastinate_jobs WHERE status = 'succeeded'"
    )
    done: int = rows["done"]
    return done


async def run(job: Job) -> Job:
    """Defer jobs, and count those that the database has as done."""
    before = await succeeded()
    wanted = steps_of(job) - (2 * job["runs"] if job["shape"] == "fan" else 0)
    began = time.monotonic()
    if job["shape"] == "chain":
        await spread(job["runs"], LANES, lambda _number: first.defer_async(text="text"))
    else:
        await spread(job["runs"], LANES, lambda _number: split.defer_async(width=job["width"]))

    async def all_done() -> bool:
        return bool(await succeeded() - before >= wanted)

    await wait_until(all_done)
    return {"seconds": time.monotonic() - began, "done": await succeeded() - before, "wanted": wanted}


async def main() -> None:
    """Open it, then take jobs."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await take_jobs_in_loop(run, python=sys.version.split()[0])


if __name__ == "__main__":
    uvloop.run(main())
