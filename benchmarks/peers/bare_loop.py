"""The requests of a runtime without the runtime: claim, answer, report. What a hand-written loop costs at the least.

Its argument is its settings, as JSON: `client` is "pyreqwest" or "socket"; `claim` states a claim; `together` reports
in one request; `lanes` claim and report side by side; `wait` asks for long polls, one state at a time; `node` has
each state go through pydantic models and a coroutine, as a hand-written worker would do it, rather than be copied.
"""

import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from _line import listen, say  # type: ignore[import-not-found]
from pydantic import BaseModel
from pydantic_core import from_json, to_json

Post = Callable[[str, bytes], Awaitable[bytes]]
Work = Callable[[dict[str, Any]], Awaitable[list[dict[str, Any]]]]
SPACE = "/v0/namespace/bench"

latencies: list[int] = []


class Inputs(BaseModel):
    """What a node gets."""

    text: str


class Outputs(BaseModel):
    """What it gives."""

    text: str


async def execute(inputs: Inputs) -> Outputs:
    """Give back what came."""
    return Outputs(text=inputs.text)


async def through_a_node(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Do what a worker does with a state."""
    outputs = await execute(Inputs.model_validate(state["inputs"]))
    return [outputs.model_dump(mode="json")]


async def copied(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Do nothing but what the requests need."""
    return [{"text": state["inputs"]["text"]}]


async def pyreqwest_posts(settings: dict[str, Any]) -> list[Post]:
    """One client, whose pool the lanes share."""
    from pyreqwest.client import ClientBuilder  # noqa: PLC0415 - not all need it

    headers = {"x-api-key": settings["key"], "content-type": "application/json"}
    client = ClientBuilder().http1_only().default_headers(headers).build()
    url = settings["url"]

    async def post(path: str, body: bytes) -> bytes:
        request = client.post(url + path).body_bytes(body)
        if settings["wait"] and path.endswith("enqueue"):
            request = request.header("Prefer", "wait=10")
        response = await request.build().send()
        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status}")
        return bytes(await response.bytes())

    return [post] * settings["lanes"]


async def socket_posts(settings: dict[str, Any]) -> list[Post]:
    """A connection for each lane."""
    from _lean_connection import connect  # type: ignore[import-not-found]  # noqa: PLC0415 - as above

    def poster(connection: Any) -> Post:
        async def post(path: str, body: bytes) -> bytes:
            more = b"prefer: wait=10\r\n" if settings["wait"] and path.endswith("enqueue") else b""
            answer: bytes = await connection.post(path.encode(), body, more)
            return answer

        return post

    return [poster(await connect(settings["url"], settings["key"])) for _ in range(settings["lanes"])]


async def work_one_by_one(lanes: list[Post], claim: bytes, work: Work) -> None:
    """Each lane reports a state, and claims when none is left."""
    due: deque[dict[str, Any]] = deque()
    claiming = asyncio.Lock()

    async def lane(post: Post) -> None:
        while True:
            if not due:
                async with claiming:
                    if not due:
                        due.extend(from_json(await post(f"{SPACE}/states/enqueue", claim))["states"])
                continue
            state = due.popleft()
            body = to_json({"outputs": await work(state)})
            from_json(await post(f"{SPACE}/state/{state['state_id']}/executed", body))

    await asyncio.gather(*map(lane, lanes))


async def work_together(lanes: list[Post], claim: bytes, work: Work) -> None:
    """Each lane claims states and reports them in one request."""

    async def lane(post: Post) -> None:
        while True:
            states = from_json(await post(f"{SPACE}/states/enqueue", claim))["states"]
            reports = [{"state_id": state["state_id"], "executed": {"outputs": await work(state)}} for state in states]
            from_json(await post(f"{SPACE}/states/report", to_json({"reports": reports})))

    await asyncio.gather(*map(lane, lanes))


async def wait_for_each(post: Post, claim: bytes) -> None:
    """Long-poll for a state, take the time, report it."""
    while True:
        for state in from_json(await post(f"{SPACE}/states/enqueue", claim))["states"]:
            text = state["inputs"]["text"]
            latencies.append(time.monotonic_ns() - int(text))
            outputs = [{"text": text, "step": state["node_name"]}]
            await post(f"{SPACE}/state/{state['state_id']}/executed", to_json({"outputs": outputs}))


async def main(settings: dict[str, Any]) -> None:
    """Work until told to stop."""
    claim = to_json({"nodes": settings["nodes"], "batch_size": settings["claim"]})
    posts = await (pyreqwest_posts if settings["client"] == "pyreqwest" else socket_posts)(settings)
    if settings["wait"]:
        work = asyncio.ensure_future(wait_for_each(posts[0], claim))
    else:
        loop_of_work = work_together if settings["together"] else work_one_by_one
        work = asyncio.ensure_future(loop_of_work(posts, claim, through_a_node if settings["node"] else copied))
    loop = asyncio.get_running_loop()
    listen(lambda: loop.call_soon_threadsafe(work.cancel), lambda: {"latencies": list(latencies)})
    say({"version": settings["client"], "python": sys.version.split()[0]})
    try:
        await work
    except asyncio.CancelledError:
        say({"stopped": True})


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    if given["loop"] == "uvloop":
        import uvloop

        uvloop.run(main(given))
    else:
        asyncio.run(main(given))
