"""What the service warns of stands in the program's log, once, and in what it is answered."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import BaseModel

from exospherehost import BaseNode, GraphNodeModel, Runtime, StateManager
from exospherehost._state_manager.trigger_forms import RootCache
from exospherehost.server import ServerThread
from tests._support.runtimes import running

MakeRuntime = Callable[..., Runtime]


class Send(BaseNode):
    class Inputs(BaseModel):
        address: str

    class Outputs(BaseModel):
        y: str

    async def execute(self) -> Outputs:
        return self.Outputs(y=self.inputs.address)


class Other(Send):
    class Inputs(BaseModel):
        street: str


Other.__name__ = "Send"


async def test_a_dropped_input_is_logged_once_and_returned(
    manager: StateManager,
    namespace: str,
    make_runtime: MakeRuntime,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    runtime = make_runtime(Send)
    async with running(runtime):
        await runtime.ready()
    node = GraphNodeModel(
        node_name="Send", namespace=namespace, identifier="a", inputs={"address": "here"}, next_nodes=[]
    )
    await manager.upsert_graph("g", [node], {})

    async def nothing(*_arguments: object, **_options: object) -> None:
        """Let the name through, as where the graph is put anew at this moment."""

    monkeypatch.setattr(RootCache, "check_names", nothing)
    answers = [await manager.trigger("g", inputs={"adress": "x"}) for _ in range(2)]
    assert [answer["warnings"] for answer in answers] == [answers[0]["warnings"]] * 2
    assert "did you mean 'address'?" in answers[0]["warnings"][0]
    assert caplog.text.count("event=service_warning operation=trigger_graph") == 1


async def test_a_runtime_logs_the_warnings_of_its_registration(
    server: ServerThread, namespace: str, make_runtime: MakeRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = make_runtime(Send)
    async with running(runtime):
        await runtime.ready()
    assert "event=service_warning" not in caplog.text
    runtime = Runtime(namespace, "second", [Other], server.url, server.api_key)
    async with running(runtime):
        await runtime.ready()
    assert caplog.text.count("event=service_warning operation=register_nodes") == 1
    assert "inputs: added 'street', removed 'address'" in caplog.text
