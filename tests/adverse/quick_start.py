"""A program of the quick start's shape: a runtime as a task beside the program's own work, under `asyncio.run`.

    python quick_start.py URI HOW

HOW is how the loop ends: `wait` (for a signal), `return`, `raise`, `cancel-all`, or `loop-stop`.
"""

from __future__ import annotations

import asyncio
import sys
import time

from pydantic import BaseModel

from exospherehost import BaseNode, Runtime

URI, HOW, *LOOP = sys.argv[1:]
KEY = "a-key-for-the-tests"


class In(BaseModel):
    seconds: str


class Waits(BaseNode[In, In]):
    async def execute(self) -> In:
        print("executing", self.inputs.seconds, flush=True)
        await asyncio.sleep(float(self.inputs.seconds))
        return self.inputs


class WaitsForATask(BaseNode[In, In]):
    async def execute(self) -> In:
        print("executing", self.inputs.seconds, flush=True)
        await asyncio.create_task(asyncio.sleep(float(self.inputs.seconds)))
        return self.inputs


class Sleeps(BaseNode[In, In]):
    def execute(self) -> In:
        time.sleep(float(self.inputs.seconds))
        return self.inputs


async def main() -> None:
    runtime = Runtime("ns", "quick", [Waits, WaitsForATask, Sleeps], URI, KEY, workers=8, poll_interval=0.02)
    task = asyncio.create_task(runtime.run())
    await runtime.ready()
    while runtime.stats().running < 4 or runtime.stats().succeeded < 3:  # noqa: ASYNC110 - counters have no event
        await asyncio.sleep(0.01)
    print("busy", flush=True)
    if HOW == "wait":
        await asyncio.sleep(3_600)
    elif HOW == "raise":
        raise LookupError("the user's own")
    elif HOW == "cancel-all":
        for each in asyncio.all_tasks():
            if each is not asyncio.current_task():
                each.cancel()
        await asyncio.gather(task, return_exceptions=True)
    elif HOW == "loop-stop":
        asyncio.get_running_loop().stop()
        await asyncio.sleep(3_600)


def run() -> None:
    if LOOP == ["uvloop"]:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    else:
        asyncio.run(main())


if __name__ == "__main__":
    run()
