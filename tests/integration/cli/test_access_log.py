"""`serve --access-log` writes a line for each request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests._support.command import Command
from tests._support.eventually import eventually_sync

KEY = "a-key-that-is-in-no-log"
REQUEST_ID = "8b1f2f0a-6f0e-4f3e-9d43-6f2b6b0f7c11"


def serve(folder: Path, *arguments: str, **environment: str) -> Command:
    return Command("serve", "--port", "0", "--api-key", KEY, *arguments, folder=folder, environment=environment)


def lines(command: Command) -> list[str]:
    """What was logged: all but the three lines that tell where the server is."""
    return [line for line in command.output.splitlines() if line.startswith(("{", "event="))]


def ask(command: Command) -> None:
    with command.connect(KEY) as http:
        http.get("/health")
        http.get("/ready")
        http.get("/v0/namespace/a%0Ab/graph/none?token=hush", headers={"x-exosphere-request-id": REQUEST_ID})
        httpx.get(f"{http.base_url}/v0/namespaces", headers={"x-api-key": "a wrong one"})
    eventually_sync(lambda: len(lines(command)) >= 2)


def test_as_json_it_is_one_object_for_each_request_but_those_of_probes(tmp_path: Path) -> None:
    with serve(tmp_path, "--access-log", "json", EXOSPHERE_LOG_LEVEL="ERROR") as command:
        ask(command)
        command.interrupt()
        written = command.output + command.errors
        found: list[dict[str, Any]] = [json.loads(line) for line in lines(command)]
    assert [entry["route"] for entry in found] == [
        "/v0/namespace/{namespace_name}/graph/{graph_name}",
        "/v0/namespaces",
    ]
    first, second = found
    assert first["path"] == "/v0/namespace/a%0Ab/graph/none"
    assert (first["method"], first["status"], first["request_id"]) == ("GET", 404, REQUEST_ID)
    assert first["client"] == "127.0.0.1"
    assert first["bytes"] > 0
    assert first["ms"] >= 0
    assert first["time"].endswith("Z")
    assert second["status"] == 401
    assert set(first) == {
        "time", "method", "route", "path", "status", "ms", "bytes", "client", "request_id", "key_id",
    }  # fmt: skip
    for secret in (KEY, "hush", "a wrong one"):
        assert secret not in written


def test_as_text_it_is_pairs_on_one_line(tmp_path: Path) -> None:
    with serve(tmp_path, "--access-log", "text") as command:
        ask(command)
        command.interrupt()
        found = lines(command)
    assert len(found) == 2
    pairs = dict(pair.split("=", 1) for pair in found[0].split(" "))
    assert pairs["event"] == "request"
    assert (pairs["status"], pairs["request_id"]) == ("404", REQUEST_ID)
    assert pairs["path"] == "/v0/namespace/a%0Ab/graph/none"


def test_probes_are_logged_at_debug(tmp_path: Path) -> None:
    with serve(tmp_path, "--access-log", "json", EXOSPHERE_LOG_LEVEL="DEBUG") as command:
        ask(command)
        eventually_sync(lambda: len(lines(command)) >= 4)
        assert [json.loads(line)["path"] for line in lines(command)][:2] == ["/health", "/ready"]


@pytest.mark.parametrize("arguments", [[], ["--access-log", "off"]])
def test_there_is_none_unless_it_is_asked_for(tmp_path: Path, arguments: list[str]) -> None:
    with serve(tmp_path, *arguments) as command:
        with command.connect(KEY) as http:
            assert http.get("/v0/namespaces").status_code == 200
        command.interrupt()
        assert lines(command) == []
