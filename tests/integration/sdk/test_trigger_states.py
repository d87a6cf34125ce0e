"""The documented trigger, on a server with the extension and on one without."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from exospherehost import (
    BaseNode,
    GraphNodeModel,
    InvalidTriggerError,
    NotFoundError,
    Runtime,
    StateManager,
    TriggerState,
    UnsupportedByServerError,
)
from exospherehost.server import ServerThread
from tests._support.graph_runs import ended, outputs, statuses
from tests._support.runtimes import running


class Copy(BaseNode):
    class Inputs(BaseModel):
        text: str
        other: str

    class Outputs(BaseModel):
        text: str

    async def execute(self) -> Outputs:
        return self.Outputs(text=f"{self.inputs.text}/{self.inputs.other}")


async def prepare(server: ServerThread, namespace: str) -> tuple[StateManager, Runtime]:
    manager = StateManager(namespace, server.url, server.api_key)
    runtime = Runtime(namespace, "runtime", [Copy], server.url, server.api_key, poll_interval=0.05)
    async with running(runtime):
        await runtime.ready()
    first = GraphNodeModel(
        node_name="Copy",
        namespace=namespace,
        identifier="first",
        inputs={"text": "a", "other": "b"},
        next_nodes=["then"],
    )
    then = GraphNodeModel(
        node_name="Copy", namespace=namespace, identifier="then", inputs={"text": "${{store.text}}", "other": "d"}
    )
    from exospherehost import StoreConfigModel

    await manager.upsert_graph("g", [first, then], {}, store_config=StoreConfigModel(default_values={"text": "stored"}))
    return manager, runtime


async def test_several_states_begin_one_run(server: ServerThread, namespace: str) -> None:
    manager, runtime = await prepare(server, namespace)

    run = await manager.trigger(
        "g",
        states=[
            TriggerState(identifier="then", inputs={"other": "1"}),
            TriggerState(identifier="first", inputs={"text": "2"}),
            TriggerState(identifier="then"),
        ],
    )
    async with running(runtime):
        states = await ended(manager, namespace, run["run_id"])

    assert [state["identifier"] for state in run["states"]] == ["then", "first", "then"]
    assert statuses(states) == {("then", "SUCCESS"): 3, ("first", "SUCCESS"): 1}
    assert outputs(states, "first") == [{"text": "2/b"}]
    assert sorted(str(each["text"]) for each in outputs(states, "then")) == ["stored/1", "stored/d", "stored/d"]


async def test_refusals_of_the_service(server: ServerThread, namespace: str) -> None:
    manager, _ = await prepare(server, namespace)

    with pytest.raises(NotFoundError):
        await manager.trigger("g", state=TriggerState(identifier="nowhere"))
    # The SDK refuses this before the service does.
    with pytest.raises(InvalidTriggerError, match="would expand"):
        await manager.trigger("g", state=TriggerState(identifier="then", inputs={"text": "${{first.outputs.text}}"}))


async def test_root_state_on_a_server_without_the_extension(plain_server: ServerThread, namespace: str) -> None:
    manager, runtime = await prepare(plain_server, namespace)

    run = await manager.trigger("g", state=TriggerState(identifier="first", inputs={"text": "given"}))
    async with running(runtime):
        states = await ended(manager, namespace, run["run_id"])

    assert "states" not in run
    assert outputs(states, "first") == [{"text": "given/b"}]


@pytest.mark.parametrize(
    "states",
    [
        [TriggerState(identifier="then")],
        [TriggerState(identifier="first"), TriggerState(identifier="first")],
        [TriggerState(identifier="first", inputs={"surplus": "x"})],
    ],
)
async def test_what_such_a_server_would_drop_is_refused(
    plain_server: ServerThread, namespace: str, states: list[TriggerState]
) -> None:
    manager, _ = await prepare(plain_server, namespace)

    with pytest.raises(UnsupportedByServerError, match="'first'"):
        await manager.trigger("g", states=states)


async def test_same_trigger_in_every_form(server: ServerThread, namespace: str) -> None:
    manager, runtime = await prepare(server, namespace)

    by_name = await manager.trigger("g", inputs={"text": "x"}, store={"text": "s"})
    by_state = await manager.trigger(
        "g", state=TriggerState(identifier="first", inputs={"text": "x"}), store={"text": "s"}
    )
    with pytest.warns(DeprecationWarning, match="inputs="):
        by_position = await manager.trigger("g", {"text": "x"}, {"text": "s"})
    async with running(runtime):
        runs = [await ended(manager, namespace, run["run_id"]) for run in (by_name, by_state, by_position)]

    for states in runs:
        assert outputs(states, "first") == [{"text": "x/b"}]
        assert outputs(states, "then") == [{"text": "s/d"}]
