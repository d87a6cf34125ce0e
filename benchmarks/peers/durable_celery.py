"""Celery on Redis: the application that its worker loads, and, run as a program, what triggers its tasks."""

import json
import os
import sys
import time

from _jobs import LOOK_SECONDS, Job, steps_of, take_jobs  # type: ignore[import-not-found]
from celery import Celery, chain, chord, group  # type: ignore[import-not-found]
from celery.result import AsyncResult  # type: ignore[import-not-found]

URL = json.loads(os.environ["BENCH_SETTINGS"])["url"]

app = Celery("bench", broker=URL, backend=URL)
# Acknowledged when done, as far as Celery goes towards losing nothing; results are kept.
app.conf.update(task_acks_late=True, worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)


@app.task  # type: ignore[untyped-decorator]
def passes_on(text: str) -> str:
    """Do nothing."""
    return text


@app.task  # type: ignore[untyped-decorator]
def joins(texts: list[str]) -> int:
    """Run once all have ended."""
    return len(texts)


def run(job: Job) -> Job:
    """Send chains or chords, and count the results that are in Redis."""
    kept: list[AsyncResult] = []
    began = time.monotonic()
    for _ in range(job["runs"]):
        if job["shape"] == "chain":
            last = chain(passes_on.s("text"), passes_on.s()).apply_async()
            kept += [last, last.parent]
        else:
            # What splits is the program here: a task that replaces itself by a chord costs more.
            first = passes_on.s("start").apply_async()
            parts = [passes_on.s(str(number)) for number in range(job["width"])]
            last = chord(group(parts))(joins.s())
            kept += [last, first, *last.parent.results]
    client = app.backend.client
    names = [app.backend.get_key_for_task(result.id) for result in kept]
    while not client.exists(names[0]) or client.exists(*names) < len(names):
        time.sleep(LOOK_SECONDS)
    seconds = time.monotonic() - began
    done = sum(json.loads(found)["status"] == "SUCCESS" for found in client.mget(names) if found)
    missing = job["runs"] if job["shape"] == "fan" else 0
    return {"seconds": seconds, "done": done, "wanted": steps_of(job) - missing}


if __name__ == "__main__":
    # By the module's own name, which stands in the names of the tasks.
    import durable_celery  # type: ignore[import-not-found]

    take_jobs(durable_celery.run, python=sys.version.split()[0])
