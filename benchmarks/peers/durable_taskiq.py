"""taskiq on Redis streams: the broker that its worker loads, and, run as a program, what triggers its tasks.

A chain is a task that sends the next; there is no join, so a fan-out ends with the last of its tasks.
"""

import asyncio
import json
import os
import sys
import time

import uvloop
from _jobs import Job, spread, steps_of, take_jobs_in_loop, wait_until  # type: ignore[import-not-found]
from redis.asyncio import Redis  # type: ignore[import-not-found]
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker  # type: ignore[import-not-found]

URL = json.loads(os.environ["BENCH_SETTINGS"])["url"]
LANES = 32

broker = RedisStreamBroker(url=URL, consumer_id="0").with_result_backend(RedisAsyncResultBackend(redis_url=URL))


@broker.task  # type: ignore[untyped-decorator]
async def passes_on(text: str) -> str:
    """Do nothing."""
    return text


@broker.task  # type: ignore[untyped-decorator]
async def first(text: str, follower: str) -> str:
    """Send the next of a chain under an id that is known beforehand."""
    await passes_on.kicker().with_task_id(follower).kiq(text)
    return text


@broker.task  # type: ignore[untyped-decorator]
async def split(width: int, follower: str) -> str:
    """Fan out."""
    await spread(width, LANES, lambda number: passes_on.kicker().with_task_id(f"{follower}-{number}").kiq(str(number)))
    return str(width)


async def run(job: Job) -> Job:
    """Send tasks, and count the results that are in Redis."""
    mark = f"{time.monotonic_ns()}"

    async def start(number: int) -> list[str]:
        follower = f"{mark}-{number}"
        if job["shape"] == "chain":
            task = await first.kiq("text", follower)
            return [follower, task.task_id]
        task = await split.kiq(job["width"], follower)
        return [*(f"{follower}-{part}" for part in range(job["width"])), task.task_id]

    began = time.monotonic()
    names = [name for of_run in await spread(job["runs"], LANES, start) for name in of_run]
    client = Redis.from_url(URL)

    async def all_done() -> bool:
        return bool(await client.exists(names[-2])) and await client.exists(*names) == len(names)

    await wait_until(all_done)
    seconds = time.monotonic() - began
    await client.aclose()
    missing = 2 * job["runs"] if job["shape"] == "fan" else 0
    results = await asyncio.gather(*(broker.result_backend.get_result(name) for name in names))
    done = sum(not result.is_err for result in results)
    return {"seconds": seconds, "done": done, "wanted": steps_of(job) - missing}


async def main() -> None:
    """Open it, then take jobs."""
    await broker.startup()
    await take_jobs_in_loop(run, python=sys.version.split()[0])


if __name__ == "__main__":
    # By the module's own name, which stands in the names of the tasks.
    import durable_taskiq  # type: ignore[import-not-found]

    uvloop.run(durable_taskiq.main())
