"""However a program ends that used the lean carrier, it ends as Python says: no abort, no hang."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests._support.http_service import Answer, HttpService

PROGRAM = """
import asyncio, os, signal, sys, threading
from exospherehost._config import resolve_connection
from exospherehost._transport.pyreqwest_carrier import PyreqwestCarrier
from exospherehost_client.types import Request

uri = sys.argv[1]
settings = resolve_connection(namespace="ns", state_manager_uri=uri, key="test-api-key", api_version="v0")
POST = Request("POST", "/v0/x", content=b"{}")
carrier = PyreqwestCarrier(settings, uri, "the-sdk/1.0")
kept = []
busy = threading.Event()

async def send_on():
    while True:
        await carrier.send(POST)
        busy.set()

async def many():
    kept.extend(asyncio.ensure_future(send_on()) for _ in range(16))
    while not busy.is_set():
        await asyncio.sleep(0.001)

async def many_then(act):
    await many()
    act()
    await asyncio.sleep(30)

def in_a_daemon_thread():
    threading.Thread(target=lambda: asyncio.run(many_then(lambda: None)), daemon=True).start()
    busy.wait()
"""

ENDINGS = {
    "closed an instant before": (
        0,
        """
async def main():
    for _ in range(20):
        await carrier.send(POST)
    await carrier.aclose()
asyncio.run(main())
""",
    ),
    "not closed": (0, "asyncio.run(carrier.send(POST))"),
    "an exception escapes": (1, "asyncio.run(many_then(lambda: 1 / 0))"),
    "sys.exit": (3, "asyncio.run(many_then(lambda: sys.exit(3)))"),
    "Ctrl-C": (-signal.SIGINT, "asyncio.run(many_then(lambda: os.kill(os.getpid(), signal.SIGINT)))"),
    "a daemon thread goes on": (0, "in_a_daemon_thread()"),
    "the loop is left lying": (0, "loop = asyncio.new_event_loop(); loop.run_until_complete(many())"),
    "a forked child exits": (
        0,
        """
asyncio.run(carrier.send(POST))
child = os.fork()
if child:
    sys.exit(os.waitpid(child, 0)[1])
""",
    ),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_program_ends_as_it_should(ending: str) -> None:
    if ending == "a forked child exits" and sys.platform == "win32":
        pytest.skip("no fork here")
    expected, text = ENDINGS[ending]
    with HttpService(lambda _: Answer(200, {})) as service:
        for _ in range(3):
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-c", PROGRAM + text, service.uri],
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )

            assert done.returncode == expected, done.stderr
            assert "Fatal Python error" not in done.stderr
            assert "atexit" not in done.stderr


def test_forked_child_falls_back() -> None:
    """pyreqwest refuses to work where it was used before the fork."""
    text = """
from exospherehost._transport.carrier_choice import fastest_carrier
asyncio.run(carrier.send(POST))
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
other = fastest_carrier(settings, uri, "the-sdk/1.0")
answer = asyncio.run(other.send(POST))
os._exit(0 if answer.status_code == 200 and type(other).__name__ == "HttpxCarrier" else 7)
"""
    if sys.platform == "win32":
        pytest.skip("no fork here")
    with HttpService(lambda _: Answer(200, {})) as service:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PROGRAM + text, service.uri],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert done.returncode == 0, done.stderr
