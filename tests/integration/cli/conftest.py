"""What tests of the commands share: a server, its namespace, and a shell in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from exospherehost.server import ServerSettings, ServerThread
from tests._support.cli_service import GRAPH_FILE, NAMESPACE, SECRET, Shell, prepared, work_off
from tests._support.service import Api, connect


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerThread]:
    settings = ServerSettings(api_key="the-key-of-the-server", database=tmp_path / "runs.db", port=0)
    with ServerThread(settings) as running:
        yield running


@pytest.fixture
def api(server: ServerThread) -> Iterator[Api]:
    with connect(server) as http:
        yield prepared(Api(http, NAMESPACE))


@pytest.fixture
def shell(server: ServerThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "greetings.yaml").write_text(GRAPH_FILE)
    return Shell(server, {"EXOSPHERE_CONFIG_HOME": str(tmp_path / "config"), "EXOSPHERE_SECRET_TOKEN": SECRET})


@pytest.fixture
def failed_run(api: Api, shell: Shell) -> str:
    """Return a run of `greetings` whose state `shout` failed."""
    shell.run("graphs", "apply", "greetings.yaml")
    run_id = str(shell.json("trigger", "greetings", "-i", "name=Ada")["run_id"])
    work_off(api, failing=["shout"])
    return run_id
