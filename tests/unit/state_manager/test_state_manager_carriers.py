"""A state manager sends its requests as a runtime does; httpx is for streams and the raw client, loaded for them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from exospherehost import APIConnectionError
from exospherehost._config import resolve_connection
from exospherehost._transport.dual_carrier import DualCarrier
from exospherehost_client.types import Request
from tests._support.fake_runs import RUN, FakeRuns, event, run_graph, state, stream
from tests._support.fake_state_manager import FakeStateManager
from tests._support.runtimes import KEY

PROGRAM = """
import asyncio, os, sys, threading, time
from exospherehost import StateManager, SyncStateManager

manager = StateManager("ns", sys.argv[1], sys.argv[2])

async def many(number=8):
    async with manager:
        return await asyncio.gather(*(manager.trigger("g", inputs={}) for _ in range(number)))

def loaded():
    return [name for name in ("pyreqwest", "httpx") if name in sys.modules]
"""


def ended(uri: str, text: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", PROGRAM + text, uri, KEY],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('asyncio.run(manager.trigger("g", inputs={}))', ["pyreqwest"]),
        ("asyncio.run(many()); asyncio.run(many())", ["pyreqwest"]),
        ('SyncStateManager("ns", sys.argv[1], sys.argv[2]).trigger("g", inputs={})', ["pyreqwest"]),
        ('SyncStateManager("ns", sys.argv[1], sys.argv[2]).raw_client', ["pyreqwest", "httpx"]),
    ],
    ids=["a call", "a context, twice", "a call without a loop", "the raw client"],
)
def test_httpx_is_loaded_when_it_is_needed(service: FakeStateManager, text: str, expected: list[str]) -> None:
    assert ended(service.uri, f"{text}\nprint(loaded())") == (0, f"{expected}\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_child_of_a_fork_goes_on(service: FakeStateManager) -> None:
    """In it pyreqwest does not work where the parent had used it."""
    text = """
print(len(asyncio.run(many(3))), flush=True)
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(asyncio.run(manager.trigger("g", inputs={}))["status"], len(asyncio.run(many(3))), loaded())
"""
    assert ended(service.uri, text) == (0, "3\nCREATED 3 ['pyreqwest', 'httpx']\n", "")


@pytest.mark.parametrize("calls", ["many(1)", 'manager.trigger("g", inputs={})'], ids=["in contexts", "by themselves"])
def test_program_ends_without_a_word_while_a_thread_triggers(service: FakeStateManager, calls: str) -> None:
    text = f"""
busy = threading.Event()

async def go_on():
    while True:
        await asyncio.gather(*({calls} for _ in range(1 if "many" in {calls!r} else 8)))
        busy.set()

threading.Thread(target=lambda: asyncio.run(go_on()), daemon=True).start()
busy.wait(30)
"""
    service.document = {"paths": {"/t": {"x-exosphere-extension": "idempotency"}}}
    for _ in range(3):
        assert ended(service.uri, text) == (0, "", "")


@pytest.mark.usefixtures("carrier")
async def test_closing_ends_requests_and_streams() -> None:
    with FakeRuns() as runs:
        runs.extensions = ("events",)
        runs.looks = [run_graph(state(1, "QUEUED"))]
        runs.streams = [lambda _: stream([event("0.1.0", 1, "QUEUED")])]
        settings = resolve_connection(namespace="ns", state_manager_uri=runs.uri, key=KEY, api_version="v0")
        carrier = DualCarrier(settings, runs.uri, "the-sdk/1.0")
        look = Request("GET", f"/v0/namespace/ns/states/run/{RUN}/graph")
        events = Request("GET", f"/v0/namespace/ns/runs/{RUN}/events")

        assert (await carrier.send(look)).status_code == 200
        async with carrier.stream(events) as opened:
            assert opened.is_open
        await carrier.aclose()
        await carrier.aclose()

        for closed in (carrier, DualCarrier(settings, runs.uri, "the-sdk/1.0")):
            await closed.aclose()
            asked = len(runs.asked)
            with pytest.raises(APIConnectionError, match="closed") as caught:
                await closed.send(look)
            assert not caught.value.sent
            with pytest.raises(APIConnectionError, match="closed") as caught:
                async with closed.stream(events):
                    pass
            assert not caught.value.sent
            assert len(runs.asked) == asked


async def test_httpx_is_closed_even_where_the_other_cannot_be(
    service: FakeStateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = resolve_connection(namespace="ns", state_manager_uri=service.uri, key=KEY, api_version="v0")
    carrier = DualCarrier(settings, service.uri, "the-sdk/1.0")
    client = carrier.client.get_async_httpx_client()

    async def fail(_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr("exospherehost._transport.pyreqwest_carrier.PyreqwestCarrier.aclose", fail)
    with pytest.raises(asyncio.CancelledError):
        await carrier.aclose()

    assert client.is_closed
