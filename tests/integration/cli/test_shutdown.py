"""How `serve` ends: what was answered is in the database, what has begun is answered, and nobody is cut off."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests._support.command import Command
from tests._support.eventually import eventually_sync
from tests._support.service import Api

KEY = "a-key-for-the-shutdown"
REPORTERS = 8


def serve(folder: Path, *arguments: str) -> Command:
    return Command("serve", "--port", "0", "--api-key", KEY, *arguments, folder=folder)


def statuses(folder: Path) -> dict[str, str]:
    """Each state's status, read from the database itself."""
    with closing(sqlite3.connect(folder / "exosphere.db")) as connection:
        return dict(connection.execute("SELECT id, status FROM states"))


class Reporter(threading.Thread):
    """Reports states one after the other on one connection, until the server lets it go."""

    def __init__(self, url: str, state_ids: list[str]) -> None:
        super().__init__()
        self.answered: list[str] = []
        self.error: Exception | None = None
        self._url = url
        self._state_ids = state_ids

    def run(self) -> None:
        limits = httpx.Limits(max_connections=1)
        headers = {"x-api-key": KEY}
        with httpx.Client(base_url=self._url, headers=headers, limits=limits, timeout=60, trust_env=False) as http:
            for state_id in self._state_ids:
                try:
                    answer = http.post(f"/v0/namespace/load/state/{state_id}/executed", json={"outputs": []})
                except httpx.TransportError as error:
                    self.error = error
                    return
                assert answer.status_code == 200, answer.text
                self.answered.append(state_id)


def prepare(command: Command, states: int) -> list[str]:
    with command.connect(KEY) as http:
        api = Api(http, "load")
        api.steps()
        api.graph("one", api.node("only"))
        entries = [{"identifier": "only", "inputs": {}}] * states
        assert api.post("/graph/one/trigger", {"states": entries}).status_code == 200
        claimed: list[str] = []
        while len(claimed) < states:
            claimed += [state["state_id"] for state in api.claim(size=1_000)]
    return claimed


def test_every_answered_report_is_kept_and_no_request_that_began_is_cut_off(tmp_path: Path) -> None:
    with serve(tmp_path) as command:
        state_ids = prepare(command, 16_000)
        url = command.exports()["EXOSPHERE_STATE_MANAGER_URI"]
        reporters = [Reporter(url, state_ids[number::REPORTERS]) for number in range(REPORTERS)]
        for reporter in reporters:
            reporter.start()
        eventually_sync(lambda: all(len(reporter.answered) > 20 for reporter in reporters), 40)
        command.process.send_signal(signal.SIGTERM)
        assert command.wait() == 0
        for reporter in reporters:
            reporter.join(60)
        assert "ERROR" not in command.errors
    answered = {state_id for reporter in reporters for state_id in reporter.answered}
    succeeded = {state_id for state_id, status in statuses(tmp_path).items() if status == "SUCCESS"}
    # The load outlived the server: each was refused a new connection, and none was cut off on an open one.
    assert [type(reporter.error) for reporter in reporters] == [httpx.ConnectError] * REPORTERS
    assert answered == succeeded


def test_a_claim_that_waits_is_answered_empty_at_once(tmp_path: Path) -> None:
    with serve(tmp_path) as command, command.connect(KEY) as http:
        api = Api(http, "waiting")
        api.steps()
        answers: list[httpx.Response] = []

        def wait() -> None:
            body = {"nodes": ["Step"], "batch_size": 1}
            answers.append(api.call("POST", "/states/enqueue", json=body, headers={"prefer": "wait=30"}))

        waiting = threading.Thread(target=wait)
        waiting.start()
        with command.connect(KEY) as other:
            eventually_sync(lambda: "exosphere_claims_waiting 1.0" in other.get("/metrics").text)
        began = time.monotonic()
        command.process.send_signal(signal.SIGTERM)
        waiting.join(60)
        assert time.monotonic() - began < 25
        assert (answers[0].status_code, answers[0].json()["states"]) == (200, [])
        assert answers[0].headers["connection"] == "close"
        assert command.wait() == 0


def test_during_the_drain_delay_it_is_unready_and_serves_all_the_same(tmp_path: Path) -> None:
    with serve(tmp_path, "--drain-delay", "600") as command, command.connect(KEY) as http:
        assert http.get("/ready").status_code == 200
        command.process.send_signal(signal.SIGTERM)
        answer = eventually_sync(lambda: unready(http))
        assert answer.json() == {"status": "unready", "reason": "stopping"}
        assert http.get("/health").status_code == 200
        Api(http, "late").steps()
        with command.connect(KEY) as newcomer:
            assert newcomer.get("/v0/namespaces").json()["namespaces"] == ["late"]
        # The second signal ends the delay.
        command.process.send_signal(signal.SIGTERM)
        assert command.wait() == 0


def unready(http: httpx.Client) -> httpx.Response | None:
    answer = http.get("/ready")
    return answer if answer.status_code == 503 else None


def test_the_drain_delay_ends_by_itself(tmp_path: Path) -> None:
    with serve(tmp_path, "--drain-delay", "1") as command, command.connect(KEY) as http:
        assert http.get("/ready").status_code == 200
        command.process.send_signal(signal.SIGTERM)
        assert command.wait() == 0


def test_what_takes_longer_than_the_grace_is_broken_off_and_the_end_is_good(tmp_path: Path) -> None:
    with serve(tmp_path, "--shutdown-grace", "1") as command:
        url = httpx.URL(command.exports()["EXOSPHERE_STATE_MANAGER_URI"])

        def endless() -> Iterator[bytes]:
            # A body that never comes to its end.
            yield b'{"runtime_name":'
            while command.process.poll() is None:
                time.sleep(0.05)
                yield b" "

        outcome: list[object] = []

        def send() -> None:
            try:
                answer = httpx.put(
                    url.join("/v0/namespace/a/nodes/"),
                    headers={"x-api-key": KEY, "content-type": "application/json"},
                    content=endless(),
                    timeout=60,
                )
            except httpx.TransportError as error:
                outcome.append(type(error))
            else:
                outcome.append(answer.status_code)

        sending = threading.Thread(target=send)
        sending.start()
        with command.connect(KEY) as http:
            eventually_sync(lambda: "exosphere_http_requests_in_progress 2.0" in http.get("/metrics").text)
        command.process.send_signal(signal.SIGTERM)
        assert command.wait() == 0
        sending.join(60)
        assert outcome in ([500], [httpx.ReadError], [httpx.WriteError], [httpx.RemoteProtocolError])


@pytest.mark.parametrize("option", ["--drain-delay", "--shutdown-grace"])
def test_a_negative_number_of_seconds_is_refused(tmp_path: Path, option: str) -> None:
    with serve(tmp_path, option, "-1") as command:
        assert command.wait() == 2
        assert option in command.errors
