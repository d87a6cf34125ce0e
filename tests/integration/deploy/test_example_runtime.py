"""The runtime of the example deployment does its work."""

from __future__ import annotations

import signal
from pathlib import Path

from exospherehost.server import ServerSettings, ServerThread
from tests._support.command import Command
from tests._support.eventually import eventually_sync
from tests._support.service import Api, connect
from tests.integration.deploy.manifests import DEPLOY

KEY = "a-key-for-the-example"


def test_it_splits_a_text_and_measures_each_word(tmp_path: Path) -> None:
    # On a free port, since the probes' may be taken here.
    source = (DEPLOY / "runtime_app.py").read_text(encoding="utf-8")
    assert '"0.0.0.0:8080"' in source
    (tmp_path / "runtime_app.py").write_text(source.replace('"0.0.0.0:8080"', '"127.0.0.1:0"'), encoding="utf-8")
    with ServerThread(ServerSettings(api_key=KEY, database=tmp_path / "a.db", port=0)) as server:
        environment = {"EXOSPHERE_STATE_MANAGER_URI": server.url, "EXOSPHERE_API_KEY": KEY}
        with (
            Command("run", "runtime_app:runtime", folder=tmp_path, environment=environment) as command,
            connect(server) as http,
        ):
            command.wait_for("event=runtime_started")
            api = Api(http, "demo")
            api.graph(
                "words",
                api.node("split", {"text": "three short words"}, ["measure"], node="Split"),
                api.node("measure", {"word": "${{split.outputs.word}}"}, node="Measure"),
            )
            run_id = api.trigger("words")
            eventually_sync(lambda: len(ended := api.statuses(run_id)) == 6 and ended_well(ended), 40)
            command.process.send_signal(signal.SIGTERM)
            assert command.wait() == 0


def ended_well(statuses: list[tuple[str, str]]) -> bool:
    return {status for _identifier, status in statuses} == {"SUCCESS"}
