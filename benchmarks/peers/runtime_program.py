"""A program with a runtime, the same for our SDK and the published one; its argument is its settings, as JSON.

It is run by its path, in the environment of the SDK that is measured.
"""

import asyncio
import json
import logging
import sys
import time
from typing import Any

from _line import listen, say  # type: ignore[import-not-found]
from pydantic import BaseModel

from exospherehost import VERSION, BaseNode, Runtime

latencies: list[int] = []


class Work(BaseNode):
    """Does nothing."""

    class Inputs(BaseModel):
        """What the state manager gives."""

        text: str

    class Outputs(BaseModel):
        """What goes back."""

        text: str

    class Secrets(BaseModel):
        """None."""

    async def execute(self) -> Outputs:
        """Give back what came."""
        return self.Outputs(text=self.inputs.text)


class Guarded(Work):
    """Does nothing, with a secret."""

    class Secrets(BaseModel):
        """What the graph has."""

        token: str


class Timed(BaseNode):
    """Notes how long ago its state became due; a step of a chain."""

    class Inputs(BaseModel):
        """The moment that the run became due, monotonic clock, ns."""

        text: str

    class Outputs(BaseModel):
        """As the inputs, and which step it was."""

        text: str
        step: str

    class Secrets(BaseModel):
        """None."""

    async def execute(self) -> Outputs:
        """Take the time, and pass on the moment."""
        latencies.append(time.monotonic_ns() - int(self.inputs.text))
        return self.Outputs(text=self.inputs.text, step=type(self).__name__)


class First(Timed):
    """The first step of a chain."""

    async def execute(self) -> Timed.Outputs:
        """Pass on the moment."""
        return self.Outputs(text=self.inputs.text, step="First")


class Second(First):
    """The second."""

    async def execute(self) -> Timed.Outputs:
        """Pass on the moment."""
        return self.Outputs(text=self.inputs.text, step="Second")


class Third(Timed):
    """The last: its moment is the run's end."""


NODES: dict[str, type[BaseNode]] = {node.__name__: node for node in (Work, Guarded, Timed, First, Second, Third)}


async def main(settings: dict[str, Any]) -> None:
    """Run a runtime until told to stop."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    listen(lambda: loop.call_soon_threadsafe(stopped.set), lambda: {"latencies": list(latencies)})
    nodes = [NODES[name] for name in settings["nodes"]]
    runtime = Runtime(
        "bench", "bench", nodes, state_manager_uri=settings["url"], key=settings["key"], **settings["arguments"]
    )
    task = runtime.start()
    assert task is not None  # noqa: S101 - an event loop runs
    say({"version": VERSION, "python": sys.version.split()[0]})
    stop = asyncio.ensure_future(stopped.wait())
    await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
    if not stopped.is_set():
        task.result()
    if hasattr(runtime, "stop"):
        runtime.stop()
        await task
    else:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    say({"stopped": True})


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    if given["quiet"]:
        logging.basicConfig(level=logging.ERROR)
    if given["loop"] == "uvloop":
        import uvloop

        uvloop.run(main(given))
    else:
        asyncio.run(main(given))
