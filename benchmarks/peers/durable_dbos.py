"""DBOS: workflows of steps, started and run in one process, as DBOS has it; the argument is its settings, as JSON."""

import asyncio
import json
import sqlite3
import sys
import time
from typing import Any

import uvloop
from _jobs import Job, spread, steps_of, take_jobs_in_loop  # type: ignore[import-not-found]

if sqlite3.sqlite_version_info < (3, 42):
    # It uses a function of SQLite 3.42; this module brings its own SQLite.
    import pysqlite3  # type: ignore[import-not-found]

    sys.modules["sqlite3"] = sqlite3 = pysqlite3

from dbos import DBOS  # type: ignore[import-not-found]

LANES = 32


@DBOS.step()  # type: ignore[untyped-decorator]
async def passes_on(text: str) -> str:
    """Do nothing."""
    return text


@DBOS.step()  # type: ignore[untyped-decorator]
async def split(width: int) -> list[str]:
    """Fan out."""
    return [str(number) for number in range(width)]


@DBOS.workflow()  # type: ignore[untyped-decorator]
async def chain(text: str) -> str:
    """Two steps, one after the other."""
    result: str = await passes_on(await passes_on(text))
    return result


@DBOS.workflow()  # type: ignore[untyped-decorator]
async def fan(width: int) -> int:
    """Many steps at once between two and one."""
    await passes_on("start")
    parts = await asyncio.gather(*(passes_on(part) for part in await split(width)))
    await passes_on("join")
    return len(parts)


async def run(job: Job) -> Job:
    """Start workflows, wait for their results, and count the steps that are in the database."""

    async def one(_number: int) -> str:
        handle = await (
            DBOS.start_workflow_async(chain, "text")
            if job["shape"] == "chain"
            else DBOS.start_workflow_async(fan, job["width"])
        )
        await handle.get_result()
        workflow_id: str = handle.get_workflow_id()
        return workflow_id

    began = time.monotonic()
    ids = await spread(job["runs"], LANES, one)
    seconds = time.monotonic() - began
    ended = {status.workflow_id for status in await DBOS.list_workflows_async(workflow_ids=ids, status="SUCCESS")}
    steps = [len(await DBOS.list_workflow_steps_async(workflow_id)) for workflow_id in ids if workflow_id in ended]
    return {"seconds": seconds, "done": sum(steps), "wanted": steps_of(job)}


async def main(settings: dict[str, Any]) -> None:
    """Launch it, then take jobs."""
    if settings["journal"]:
        with sqlite3.connect(settings["file"]) as connection:
            # Kept by the file; the driver's default for `synchronous` is FULL.
            connection.execute(f"PRAGMA journal_mode={settings['journal']}")
    DBOS(config={"name": "bench", "system_database_url": settings["url"], "log_level": "ERROR"})
    DBOS.launch()
    await take_jobs_in_loop(run, python=sys.version.split()[0])


if __name__ == "__main__":
    uvloop.run(main(json.loads(sys.argv[1])))
