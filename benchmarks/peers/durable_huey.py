"""huey on SQLite or Redis: the instance that its consumer loads, and, run as a program, what triggers its tasks."""

import json
import os
import sys
import time

from _jobs import LOOK_SECONDS, Job, steps_of, take_jobs  # type: ignore[import-not-found]
from huey import Huey, RedisHuey, SqliteHuey, group  # type: ignore[import-not-found]

SETTINGS = json.loads(os.environ["BENCH_SETTINGS"])

# fsync=True is `synchronous` FULL.
huey: Huey = (
    RedisHuey("bench", url=SETTINGS["url"])
    if SETTINGS["url"]
    else SqliteHuey("bench", filename=SETTINGS["file"], fsync=True, journal_mode="wal", timeout=60)
)


@huey.task()  # type: ignore[untyped-decorator]
def passes_on(text: str) -> str:
    """Do nothing."""
    return text


@huey.task()  # type: ignore[untyped-decorator]
def joins(texts: list[str]) -> int:
    """Run once all have ended."""
    return len(texts)


def run(job: Job) -> Job:
    """Enqueue pipelines or chords, and count the results that are stored."""
    names: list[str] = []
    before = huey.result_count()
    began = time.monotonic()
    for _ in range(job["runs"]):
        if job["shape"] == "chain":
            names += [result.id for result in huey.enqueue(passes_on.s("text").then(passes_on))]
        else:
            # What splits is the program here.
            first = huey.enqueue(passes_on.s("start"))
            parts = [passes_on.s(str(number)) for number in range(job["width"])]
            outcome = huey.enqueue(group(parts).then(joins))
            names += [first.id, *(result.id for result in outcome.results), outcome.callback.id]
    # The last first: a chord's parts are among the results until its end.
    while huey.get(names[-1], peek=True) is None or huey.result_count() - before < len(names):
        time.sleep(LOOK_SECONDS)
    seconds = time.monotonic() - began
    done = sum(huey.get(name, peek=True) is not None for name in names)
    missing = job["runs"] if job["shape"] == "fan" else 0
    return {"seconds": seconds, "done": done, "wanted": steps_of(job) - missing}


if __name__ == "__main__":
    # By the module's own name, which stands in the names of the tasks.
    import durable_huey  # type: ignore[import-not-found]

    take_jobs(durable_huey.run, python=sys.version.split()[0])
