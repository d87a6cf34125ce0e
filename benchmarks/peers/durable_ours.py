"""Our runtime on the nodes of `durable`, or what triggers its runs; the argument is its settings, as JSON.

Triggers go over pyreqwest, as from a program of any language; with `manager`, through our StateManager.
"""

import asyncio
import json
import sys
import time
from typing import Any

import uvloop
from _jobs import Job, spread, steps_of, take_jobs_in_loop, wait_until  # type: ignore[import-not-found]
from _line import listen, say  # type: ignore[import-not-found]
from pydantic import BaseModel
from pydantic_core import from_json, to_json
from pyreqwest.client import ClientBuilder
from pyreqwest.request import RequestBuilder

from exospherehost import BaseNode, Runtime, StateManager

LANES = 32
PAGE = 1_000
SPACE = "/v0/namespace/bench"


class Step(BaseNode):
    """Passes on a text."""

    class Inputs(BaseModel):
        """What the state manager gives."""

        text: str

    class Outputs(BaseModel):
        """What goes back."""

        text: str

    class Secrets(BaseModel):
        """None."""

    async def execute(self) -> Outputs:
        """Pass it on."""
        return self.Outputs(text=self.inputs.text)


class First(Step):
    """The first of a chain."""


class Second(Step):
    """The second, and last."""


class Start(Step):
    """What a fan-out is joined at."""


class Each(Step):
    """One of many."""


class Join(Step):
    """Runs once all have ended."""


class Split(Step):
    """Fans out; its text is the width."""

    async def execute(self) -> list[Step.Outputs]:  # type: ignore[override]
        """Give as many outputs as were asked for."""
        return [self.Outputs(text=str(number)) for number in range(int(self.inputs.text))]


NODES: list[type[BaseNode]] = [First, Second, Start, Split, Each, Join]


async def work(settings: dict[str, Any]) -> None:
    """Run a runtime until told to stop."""
    loop = asyncio.get_running_loop()
    runtime = Runtime(
        "bench",
        "durable",
        NODES,
        state_manager_uri=settings["url"],
        key=settings["key"],
        **settings["arguments"],
    )
    task = runtime.start()
    assert task is not None  # noqa: S101 - an event loop runs
    listen(lambda: loop.call_soon_threadsafe(runtime.stop))
    await runtime.ready()
    say({"python": sys.version.split()[0]})
    await task
    say({"stopped": True})


class Driver:
    """Triggers runs and looks at them, over HTTP.

    Args:
        settings: what the program is given.
        manager: our StateManager, which triggers where the settings say so.
    """

    def __init__(self, settings: dict[str, Any], manager: StateManager) -> None:
        headers = {"x-api-key": settings["key"], "content-type": "application/json"}
        self._client = ClientBuilder().http1_only().default_headers(headers).build()
        self._urls: list[str] = settings["url"].split(",")
        self._manager = manager if settings["manager"] else None

    async def run(self, job: Job) -> Job:
        """Trigger runs, and wait until the server lists all of them as ended."""
        listed: list[dict[str, Any]] = []
        pages = range(1, (job["runs"] - 1) // PAGE + 2)

        async def newest_ended() -> bool:
            return bool((await self._get("/runs/1/1"))["runs"][0]["status"] != "PENDING")

        async def all_ended() -> bool:
            found = [entry for page in pages for entry in (await self._get(f"/runs/{page}/{PAGE}"))["runs"]]
            listed[:] = [entry for entry in found if entry["run_id"] in started]
            return all(entry["status"] != "PENDING" for entry in listed)

        began = time.monotonic()
        started = set(await spread(job["runs"], LANES, lambda number: self._trigger(job, number)))
        await wait_until(newest_ended)
        await wait_until(all_ended)
        seconds = time.monotonic() - began
        done = sum(entry["success_count"] for entry in listed if entry["status"] == "SUCCESS")
        # A fan-out's further outputs are states too, which nothing executes.
        siblings = (job["width"] - 1) * job["runs"] if job["shape"] == "fan" else 0
        return {"seconds": seconds, "done": done - siblings, "wanted": steps_of(job)}

    async def _trigger(self, job: Job, number: int) -> str:
        inputs = {"text": "text" if job["shape"] == "chain" else str(job["width"])}
        if self._manager is not None:
            answer = await self._manager.trigger(job["shape"], inputs=inputs)
        else:
            url = f"{self._urls[number % len(self._urls)]}{SPACE}/graph/{job['shape']}/trigger"
            answer = await self._send(self._client.post(url).body_bytes(to_json({"inputs": inputs})))
        run_id: str = answer["run_id"]
        return run_id

    async def _get(self, path: str) -> Any:
        return await self._send(self._client.get(f"{self._urls[0]}{SPACE}{path}"))

    async def _send(self, request: RequestBuilder) -> Any:
        response = await request.build().send()
        if response.status != 200:
            raise RuntimeError(f"the server answered {response.status}")
        return from_json(bytes(await response.bytes()))


async def drive(settings: dict[str, Any]) -> None:
    """Take jobs."""
    async with StateManager("bench", settings["url"], settings["key"]) as manager:
        await take_jobs_in_loop(Driver(settings, manager).run, python=sys.version.split()[0])


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    uvloop.run(drive(given) if given["role"] == "driver" else work(given))
