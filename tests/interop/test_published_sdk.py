"""The published SDK 0.0.3, unchanged, against the embedded state manager."""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exospherehost.server.serving import ServerThread
from exospherehost.server.settings import ServerSettings
from exospherehost_client import AuthenticatedClient
from exospherehost_client.api.graphs import list_graphs
from exospherehost_client.api.runs import get_run_graph
from exospherehost_client.models import RunGraphResponse
from tests._support.databases import NewDatabase
from tests._support.eventually import eventually_sync

PROGRAM = Path(__file__).parent / "published_program.py"
NAMESPACE = "published words"
KEY = "interop-key"


Outcome = tuple[dict[str, Any], RunGraphResponse, str]


def _finished(client: AuthenticatedClient, run_id: str) -> RunGraphResponse | None:
    graph = get_run_graph.sync(NAMESPACE, run_id, client=client)
    summary = graph.execution_summary
    return None if summary["CREATED"] + summary["QUEUED"] else graph


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[ServerThread]:
    database = new_database(tmp_path_factory.mktemp("interop-server"))
    with ServerThread(ServerSettings(api_key=KEY, **database.settings, port=0)) as running:
        yield running


@pytest.fixture(scope="module")
def outcome(published_python: str, server: ServerThread, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Run the program to its end; what it told, the run as the server has it, and its log."""
    folder = tmp_path_factory.mktemp("interop")
    with AuthenticatedClient(server.url, KEY) as client:
        environment = {**os.environ, "EXOSPHERE_STATE_MANAGER_URI": server.url, "EXOSPHERE_API_KEY": KEY}
        with (
            (folder / "log").open("w+", encoding="utf-8") as log,
            subprocess.Popen(
                [published_python, str(PROGRAM), NAMESPACE],
                env=environment,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            ) as program,
        ):
            assert program.stdout is not None
            line = program.stdout.readline()
            try:
                told = json.loads(line)
                graph = eventually_sync(lambda: _finished(client, told["run_id"]))
            finally:
                program.communicate(timeout=30)
            log.seek(0)
            return told, graph, log.read()


def test_published_nodes_fan_out_and_join_once(outcome: Outcome) -> None:
    told, graph, _ = outcome
    states = Counter((node.identifier, str(node.status)) for node in graph.nodes)
    assert states == {
        ("begin", "SUCCESS"): 1,
        ("split", "SUCCESS"): 4,
        ("measure", "SUCCESS"): 3,
        ("measure", "RETRY_CREATED"): 1,
        ("measure", "PRUNED"): 1,
        ("close", "SUCCESS"): 3,
        ("merge", "SUCCESS"): 1,
    }
    assert told["seen"]["merged"] == ["en"]


def test_published_nodes_get_secrets_and_store(outcome: Outcome) -> None:
    told, _, _ = outcome
    assert sorted(told["seen"]["measured"]) == [
        "hi ant en t0p-s3cret",
        "hi bee en t0p-s3cret",
        "hi cow en t0p-s3cret",
    ]


def test_published_retry_requeue_and_none_output_work(outcome: Outcome) -> None:
    told, graph, _ = outcome
    assert told["seen"]["attempts"] == ["ant", "ant"]
    assert told["seen"]["requeued"] == ["bee"]
    assert told["seen"]["closed"] == ["3", "3", "3"]
    failed = [node for node in graph.nodes if node.status == "RETRY_CREATED"]
    assert "the first attempt always fails" in (failed[0].error or "")


def test_published_runtime_logs_no_failed_call(outcome: Outcome) -> None:
    _, _, log = outcome
    errors = [line.split(" | ", 3)[3] for line in log.splitlines() if " | ERROR | " in line]
    # The one error is the node's own first attempt, with its traceback.
    assert [error.split(" state ")[0] for error in errors] == ["Error executing", "Traceback (most recent call last):"]


def test_upsert_by_the_published_sdk_stores_policy_and_schedule(outcome: Outcome, server: ServerThread) -> None:
    told, _, _ = outcome
    with AuthenticatedClient(server.url, KEY) as client:
        stored = list_graphs.sync(NAMESPACE, client=client).templates[0]
    assert told["status"] == "VALID"
    assert stored.retry_policy.max_retries == 2
    assert stored.retry_policy.strategy == "FIXED"
    assert stored.triggers[0].value["expression"] == "0 0 1 1 *"
