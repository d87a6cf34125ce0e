"""Each fact about the wire stands in the document alone: change it there, generate, and SDK and server follow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DRIVER = ROOT / "openapi" / "generate.py"
DOCUMENT = ROOT / "openapi" / "state-manager.yaml"

# What the document says, and what its copy says instead; each is replaced wherever it stands.
CHANGES = {
    "/graph/{graph_name}/trigger:": "/graph/{graph_name}/start:",
    "maxLength: 255": "maxLength: 40",
    "maximum: 86400000": "maximum: 3600000",
    "x-maximum: 30\n": "x-maximum: 7\n",
    "x-limit: BATCH_SIZE\n          x-maximum: 1000": "x-limit: BATCH_SIZE\n          x-maximum: 2",
    "x-limit: PAGE_SIZE\n        x-maximum: 1000": "x-limit: PAGE_SIZE\n        x-maximum: 5",
    "x-limit: RENEWED_STATES\n          x-most-to-send: 1000": "x-limit: RENEWED_STATES\n          x-most-to-send: 3",
    "x-limit: REPORTS\n          maxItems: 1000": "x-limit: REPORTS\n          maxItems: 4",
    # The constant stays; another one would end the import of who uses it, which a type checker shows too.
    "x-exosphere-extension: delete-graph\n": "x-exosphere-extension: delete_graph\n",
    "pattern: ^[0-9a-fA-F]{24}$": "pattern: ^[g-z]{24}$",
}
PROGRAM = """
import asyncio, json, sys
import httpx
from exospherehost import BaseNode, ConfigurationError, GraphNodeModel, InvalidTriggerError, Runtime, StateManager
from exospherehost._runtime import lease_keeper
from exospherehost.server import ServerSettings, ServerThread
from exospherehost.server.domain.ids import parse_state_id

class Only(BaseNode):
    async def execute(self) -> None: ...

async def by_the_sdk(uri: str) -> None:
    async with StateManager("ns", uri, "key") as manager:
        await manager.upsert_graph("g", [GraphNodeModel(node_name="Only", namespace="ns", identifier="only")], {})
        for number in range(3):
            await manager.trigger("g", inputs={})
        try:
            await manager.trigger("g", inputs={}, idempotency_key="k" * 41)
        except InvalidTriggerError as error:
            said["SDK, key"] = str(error)
    try:
        Runtime("ns", "r", [Only], uri, "key", lease=3_601)
    except ConfigurationError as error:
        said["SDK, lease"] = str(error)

said = {}
with ServerThread(ServerSettings(api_key="key", database=sys.argv[1], port=0)) as server:
    base = f"{server.url}/v0/namespace/ns"
    with httpx.Client(headers={"x-api-key": "key"}, trust_env=False) as http:
        node = {"name": "Only", "inputs_schema": {}, "outputs_schema": {}, "secrets": []}
        http.put(f"{base}/nodes/", json={"runtime_name": "r", "nodes": [node]})
        asyncio.run(by_the_sdk(server.url))
        said["old path"] = http.post(f"{base}/graph/g/trigger", json={}).status_code
        said["new path"] = http.post(f"{base}/graph/g/start", json={}).status_code
        long_key = {"idempotency-key": "k" * 41}
        said["key"] = http.post(f"{base}/graph/g/start", json={}, headers=long_key).json()["detail"][0]["msg"]
        claim = {"nodes": ["Only"], "batch_size": 100, "lease_ms": 5_000}
        claimed = http.post(f"{base}/states/enqueue", json=claim, headers={"prefer": "wait=100"})
        said["wait"] = claimed.headers["preference-applied"]
        said["claimed"] = claimed.json()["count"]
        too_long = http.post(f"{base}/states/enqueue", json={**claim, "lease_ms": 3_600_001})
        said["lease"] = too_long.json()["detail"][0]["msg"]
        reports = {"reports": [{"state_id": "x", "executed": {"outputs": []}}] * 5}
        said["reports"] = http.post(f"{base}/states/report", json=reports).json()["detail"][0]["msg"]
        said["page"] = http.get(f"{base}/runs/1/6").json()["detail"][0]["msg"]
        served = json.dumps(http.get(f"{server.url}/openapi.json").json())
        said["document"] = '"x-exosphere-extension": "delete_graph"' in served
    said["renewal"] = [len(part) for part in lease_keeper._parts("abcde")]
    said["old id"] = parse_state_id("0" * 24)
    said["new id"] = parse_state_id("g" * 24)
try:
    ServerSettings(api_key="key", without=frozenset({"delete-graph"}))
except Exception as error:
    said["extension"] = str(error)
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What SDK and server say with a client that was generated from the changed document."""
    folder = tmp_path_factory.mktemp("facts")
    text = DOCUMENT.read_text(encoding="utf-8")
    for old, new in CHANGES.items():
        assert old in text, old
        text = text.replace(old, new)
    document = folder / "state-manager.yaml"
    document.write_text(text, encoding="utf-8")
    tree = folder / "tree"
    subprocess.run([sys.executable, DRIVER, "--source", document, "--target", tree], check=True)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder / "facts.db")],
        env={**os.environ, "PYTHONPATH": str(tree)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_paths_follow(said: dict[str, Any]) -> None:
    assert (said["old path"], said["new path"]) == (404, 200)


def test_bounds_of_an_idempotency_key_follow(said: dict[str, Any]) -> None:
    assert "1 to 40 " in said["key"]
    assert "1 to 40 " in said["SDK, key"]


def test_bounds_of_a_lease_follow(said: dict[str, Any]) -> None:
    assert "3600000" in said["lease"]
    assert "3,600 seconds" in said["SDK, lease"]


def test_bounds_of_a_claim_follow(said: dict[str, Any]) -> None:
    assert said["wait"] == "wait=7"
    assert said["claimed"] == 2


def test_bounds_of_batches_and_pages_follow(said: dict[str, Any]) -> None:
    assert said["renewal"] == [3, 2]
    assert "at most 4 items" in said["reports"]
    assert "from 1 to 5" in said["page"]


def test_names_of_extensions_follow(said: dict[str, Any]) -> None:
    assert said["document"]
    assert "no such extension: delete-graph" in said["extension"]
    assert "delete_graph" in said["extension"]


def test_patterns_of_ids_follow(said: dict[str, Any]) -> None:
    assert (said["old id"], said["new id"]) == (None, "g" * 24)


def test_two_values_for_one_bound_are_refused(tmp_path: Path) -> None:
    document = tmp_path / "state-manager.yaml"
    text = DOCUMENT.read_text(encoding="utf-8")
    document.write_text(text.replace("maximum: 86400000", "maximum: 1000000", 1), encoding="utf-8")
    command = [sys.executable, DRIVER, "--check", "--source", document]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "lease_ms: LEASE_MS_MAX is" in done.stderr
