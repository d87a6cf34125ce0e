"""A program that uses the SDK in the order that its arguments say, each use in a thread of its own that then ends.

    python first_use.py URI STEP ...

A step is a kind of use, with `main:` before it where it is made in the main thread, and with `uvloop:` where it runs on
uvloop. The program prints `done` at its end.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

URI, *STEPS = sys.argv[1:]
KEY = "a-key-for-the-tests"


def sync_manager() -> None:
    from exospherehost import SyncStateManager

    with SyncStateManager("ns", URI, KEY) as manager:
        manager.list_nodes()


def state_manager(loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> None:
    from exospherehost import StateManager

    async def use() -> None:
        async with StateManager("ns", URI, KEY) as manager:
            await manager.list_nodes()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(use())


def runtime() -> None:
    from exospherehost import BaseNode, Runtime

    class Only(BaseNode):
        async def execute(self) -> None: ...

    made = Runtime("ns", "rt", [Only], URI, KEY, poll_interval=0.05)
    threading.Thread(target=stop_when_it_claims, args=(made,)).start()
    made.start()
    assert made.stats().claims > 0


def stop_when_it_claims(made: object) -> None:
    while not made.stats().claims:  # type: ignore[attr-defined]
        time.sleep(0.01)
    made.stop()  # type: ignore[attr-defined]


def forked() -> None:
    """Uses the SDK in a forked child, after whatever was used before."""
    process = multiprocessing.get_context("fork").Process(target=sync_manager)
    process.start()
    process.join()
    assert process.exitcode == 0, process.exitcode


class ThreadedServer(ThreadingMixIn, WSGIServer):
    daemon_threads = False


class Silent(WSGIRequestHandler):
    def log_message(self, *_: object) -> None: ...


def web_server() -> None:
    """A server with a thread for each request, each of which uses the SDK, under load."""

    def application(_environ: object, start: Callable[..., object]) -> list[bytes]:
        sync_manager()
        start("200 OK", [])
        return [b"well"]

    with make_server("127.0.0.1", 0, application, ThreadedServer, Silent) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        clients = [threading.Thread(target=ask, args=(server.server_port,)) for _ in range(4)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        server.shutdown()
        serving.join()
    assert len(answers) == 4 * 5


answers: list[bytes] = []


def ask(port: int) -> None:
    for _ in range(5):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as response:
            answers.append(response.read())


def uvloop_manager() -> None:
    import uvloop

    state_manager(uvloop.new_event_loop)


def busy_main() -> None:
    """Uses the SDK in a thread while the main thread never gets to do anything."""
    threads = [threading.Thread(target=sync_manager) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


KINDS = {
    "sync": sync_manager,
    "async": state_manager,
    "uvloop": uvloop_manager,
    "runtime": runtime,
    "fork": forked,
    "web": web_server,
    "together": busy_main,
}


def main() -> None:
    failures: list[BaseException] = []

    def call(kind: Callable[[], None]) -> None:
        try:
            kind()
        except BaseException as error:
            failures.append(error)
            raise

    for step in STEPS:
        place, _, name = step.rpartition(":")
        if place == "main":
            call(KINDS[name])
        else:
            thread = threading.Thread(target=call, args=(KINDS[name],))
            thread.start()
            thread.join()
    if failures:
        sys.exit(1)
    print("done", flush=True)


if __name__ == "__main__":
    main()
