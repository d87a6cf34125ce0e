from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Semaphore

import httpx

from tests._support.databases import Database
from tests._support.eventually import eventually_sync
from tests._support.service import Api, Json, good

KEY = "key-of-a-process"
PROGRAM = """
import sys
from exospherehost.server import ServerSettings, serve
key = bytes.fromhex(sys.argv[4]) or None
serve(ServerSettings(api_key=sys.argv[1], database=sys.argv[2], port=int(sys.argv[3]), secrets_key=key))
"""


@contextmanager
def process(database: Database, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server as a program of its own, and end it with the block."""
    key = database.settings.get("secrets_key", b"").hex()
    running = subprocess.Popen([sys.executable, "-c", PROGRAM, KEY, database.setting, str(port), key])
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def answers(http: httpx.Client) -> bool:
    try:
        return http.get("/health").is_success
    except httpx.TransportError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_server_killed_in_mid_run_goes_on_with_nothing_lost(database: Database) -> None:
    port = free_port()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"x-api-key": KEY}) as http:
        api = Api(http)
        with process(database, port) as first:
            eventually_sync(lambda: answers(http), 30)
            api.steps()
            api.graph(
                "g",
                api.node("a", {}, ["b"]),
                api.node("b", {}, ["d"]),
                api.node("d", {}, ["c"]),
                api.node("c", unites="a"),
            )
            run = api.trigger("g")
            api.executed(api.claim_one())
            api.executed(api.claim_one(), *({"y": str(number)} for number in range(20)))
            done, held, *_waiting = api.claim(size=10)
            api.executed(done)
            before = api.states(run)
            first.send_signal(signal.SIGKILL)
            first.wait()
        with process(database, port) as second:
            eventually_sync(lambda: answers(http), 30)
            assert api.states(run) == before
            # What was answered before the crash is not taken twice; what was claimed is still held.
            assert api.report(done["state_id"], "executed", {"outputs": []}).status_code == 400
            for state in (held, *_waiting):
                api.executed(state)
            assert api.work_off()[-1] == "c"
            line = api.run(run)
            assert (line["status"], line["success_count"]) == ("SUCCESS", 42)
            second.send_signal(signal.SIGINT)
            assert second.wait(30) == 0


def test_states_whose_leases_ran_out_while_a_killed_server_was_down_are_still_their_holders(database: Database) -> None:
    port = free_port()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"x-api-key": KEY}) as http:
        api = Api(http)
        with process(database, port) as first:
            eventually_sync(lambda: answers(http), 30)
            api.steps()
            api.graph("g", api.node("a"), retry_policy={"max_retries": 1})
            runs = [api.trigger("g") for _ in range(3)]
            body = {"nodes": ["Step"], "batch_size": 2, "lease_ms": 1_000}
            leased = good(api.post("/states/enqueue", body))["states"]
            unleased = api.claim_one()
            first.send_signal(signal.SIGKILL)
            first.wait()
        expires = max(datetime.fromisoformat(state["lease_expires_at"]) for state in leased)
        eventually_sync(lambda: datetime.now(UTC) > expires)
        with process(database, port):
            eventually_sync(lambda: answers(http), 30)
            for state in leased:
                assert api.statuses(state["run_id"]) == [("a", "QUEUED")]
                assert api.report(state["state_id"], "executed", {"outputs": []}).status_code == 200
            api.executed(unleased, {"y": "1"})
            assert [api.run(run)["status"] for run in runs].count("SUCCESS") == 3


def test_a_server_killed_under_load_ends_with_each_branch_done_once(database: Database) -> None:
    port = free_port()
    width = 120
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"x-api-key": KEY}) as http:
        api = Api(http)
        with process(database, port) as first:
            eventually_sync(lambda: answers(http), 30)
            api.steps()
            api.graph(
                "g",
                api.node("a", {}, ["b"]),
                api.node("b", {}, ["d"]),
                api.node("d", {}, ["c"]),
                api.node("c", unites="a"),
            )
            run = api.trigger("g")
            api.executed(api.claim_one())
            api.executed(api.claim_one(), *({"y": str(number)} for number in range(width)))
            taken = Semaphore(0)
            stop = Event()
            with ThreadPoolExecutor(8) as pool:
                workers = [pool.submit(work, port, api.namespace, taken, stop) for _ in range(8)]
                try:
                    for _ in range(width // 3):
                        assert taken.acquire(timeout=30)
                    first.send_signal(signal.SIGKILL)
                    first.wait()
                    with process(database, port):
                        eventually_sync(lambda: answers(http), 30)
                        eventually_sync(lambda: ended(api, run), 60)
                        stop.set()
                        for worker in workers:
                            worker.result(30)
                        expected = [("a", "SUCCESS")] + [("b", "SUCCESS")] * width
                        expected += [("c", "SUCCESS")] + [("d", "SUCCESS")] * width
                        assert api.statuses(run) == expected
                finally:
                    stop.set()


def work(port: int, namespace: str, taken: Semaphore, stop: Event) -> None:
    """Claim and report until told to stop, through whatever happens to the server."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"x-api-key": KEY}) as http:
        api = Api(http, namespace)
        held: list[Json] = []
        while not stop.is_set():
            try:
                held = held or api.claim(size=3)
                while held:
                    answer = api.report(held[-1]["state_id"], "executed", {"outputs": [{"y": "1"}]})
                    # 400: it had been taken, and the crash took the answer.
                    assert answer.status_code in {200, 400}
                    held.pop()
                    taken.release()
            except httpx.TransportError:
                stop.wait(0.01)


def ended(api: Api, run: str) -> bool:
    """Tell whether a run has ended; if only states are left whose claim's answer the crash took, free those."""
    if api.run(run)["status"] == "SUCCESS":
        return True
    states = api.states(run)
    if not any(state["status"] == "CREATED" for state in states):
        for state in states:
            if state["status"] == "QUEUED":
                api.report(state["id"], "re-enqueue-after", {"enqueue_after": 1})
    return False


def test_a_signal_ends_a_server_cleanly(database: Database, tmp_path: Path) -> None:
    port = free_port()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"x-api-key": KEY}) as http:
        for number in (signal.SIGTERM, signal.SIGINT):
            with process(database, port) as running:
                eventually_sync(lambda: answers(http), 30)
                assert good(http.get("/v0/namespaces"))["count"] == 0
                running.send_signal(number)
                assert running.wait(30) == 0
        # Closed as it should be, the database has left no journal behind.
        assert [file.name for file in tmp_path.iterdir() if "-wal" in file.name] == []
