"""A server that goes away for a while costs nothing: the runtime waits, and its reports get through."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest
from pydantic import BaseModel

from exospherehost import BaseNode, GraphNodeModel, Runtime, StateManager
from exospherehost.server import ServerSettings, ServerThread
from tests._support.databases import Database
from tests._support.eventually import eventually
from tests._support.graph_runs import ended, outputs
from tests._support.runtimes import KEY, running


async def test_report_of_a_state_outlives_a_restart(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    executing = asyncio.Event()
    go_on = asyncio.Event()

    class Holds(BaseNode):
        class Outputs(BaseModel):
            text: str

        async def execute(self) -> Outputs:
            executing.set()
            await go_on.wait()
            return self.Outputs(text="kept")

    class After(BaseNode):
        class Inputs(BaseModel):
            text: str

        class Outputs(BaseModel):
            text: str

        async def execute(self) -> Outputs:
            return self.Outputs(text=self.inputs.text)

    first = ServerThread(ServerSettings(api_key=KEY, **database.settings, port=0)).start()
    port = urlsplit(first.url).port
    assert port is not None
    manager = StateManager("ns", first.url, KEY)
    runtime = Runtime("ns", "runtime", [Holds, After], first.url, KEY, poll_interval=0.05)
    async with running(runtime):
        await runtime.ready()
        await manager.upsert_graph(
            "g",
            [
                GraphNodeModel(node_name="Holds", namespace="ns", identifier="a", next_nodes=["b"]),
                GraphNodeModel(
                    node_name="After", namespace="ns", identifier="b", inputs={"text": "${{a.outputs.text}}"}
                ),
            ],
            {},
        )
        run = await manager.trigger("g", inputs={})
        await asyncio.wait_for(executing.wait(), 10)

        await asyncio.to_thread(first.stop)
        await eventually(lambda: "event=claim_failing" in caplog.text)
        go_on.set()
        # The report has been tried in vain when this waits for its second attempt.
        second = ServerThread(ServerSettings(api_key=KEY, **database.settings, port=port))
        await asyncio.to_thread(second.start)
        try:
            states = await ended(manager, "ns", run["run_id"], within=60)
        finally:
            runtime.stop()
            await eventually(lambda: runtime._run is None)
            await asyncio.to_thread(second.stop)

    assert outputs(states, "b") == [{"text": "kept"}]
