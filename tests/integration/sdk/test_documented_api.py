"""The API as its reference documents it, used the same way."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from pydantic import BaseModel

from exospherehost import BaseNode, GraphNodeModel, RetryPolicyModel, Runtime, StateManager, TriggerState
from tests._support.eventually import eventually
from tests._support.graph_runs import ended, outputs, statuses
from tests._support.http_service import Answer, HttpService
from tests._support.runtimes import running

pytestmark = pytest.mark.usefixtures("environment")


class SampleNode(BaseNode):
    class Inputs(BaseModel):
        name: str
        data: str

    class Outputs(BaseModel):
        message: str
        processed_data: str

    async def execute(self) -> Outputs:
        print(f"Processing data for: {self.inputs.name}")
        return self.Outputs(message="success", processed_data=f"completed:{self.inputs.data}")


class ConfigurableNode(BaseNode):
    class Inputs(BaseModel):
        text: str
        max_length: str = "100"

    class Outputs(BaseModel):
        result: str
        length: str

    async def execute(self) -> Outputs:
        result = self.inputs.text[: int(self.inputs.max_length)]
        return self.Outputs(result=result, length=str(len(result)))


class RobustNode(BaseNode):
    class Inputs(BaseModel):
        data: str

    class Outputs(BaseModel):
        success: str
        result: str

    async def execute(self) -> Outputs:
        raise Exception("This is a test error")  # noqa: TRY002 - as the reference has it


class APINode(BaseNode):
    class Inputs(BaseModel):
        user_id: str
        query: str

    class Outputs(BaseModel):
        response: str
        status: str

    class Secrets(BaseModel):
        api_key: str
        api_endpoint: str
        database_url: str

    async def execute(self) -> Outputs:
        import httpx

        async with httpx.AsyncClient() as client:
            response = await client.post(
                f"{self.secrets.api_endpoint}/process",
                headers={"Authorization": f"Bearer {self.secrets.api_key}"},
                json={"user_id": self.inputs.user_id, "query": self.inputs.query},
            )
        return self.Outputs(response=json.dumps(response.json()), status="success")


async def run_one(namespace: str, node: type[BaseNode], inputs: dict[str, str], secrets: dict[str, str]) -> Any:
    """Execute one node in a graph of its own and return the states of the run."""
    runtime = Runtime(namespace=namespace, name="DataProcessor", nodes=[node], poll_interval=1)
    manager = StateManager(namespace=namespace)
    async with running(runtime):
        await runtime.ready()
        graph_node = GraphNodeModel(node_name=node.__name__, namespace=namespace, identifier="only", inputs=inputs)
        await manager.upsert_graph("my-graph", [graph_node], secrets, RetryPolicyModel(max_retries=0))
        result = await manager.trigger("my-graph", state=TriggerState(identifier="only", inputs=inputs))
        return await ended(manager, namespace, result["run_id"])


def test_blocking_start_executes_until_it_is_stopped(namespace: str, manager: StateManager) -> None:
    import asyncio

    runtime = Runtime(namespace=namespace, name="DataProcessor", nodes=[SampleNode])
    thread = threading.Thread(target=runtime.start)
    thread.start()

    async def use() -> Any:
        node = GraphNodeModel(
            node_name="SampleNode", namespace=namespace, identifier="user-login", inputs={"name": "", "data": ""}
        )
        await eventually(runtime._registered.is_set)
        await manager.upsert_graph("my-graph", [node], {})
        run = await manager.trigger(
            "my-graph", state=TriggerState(identifier="user-login", inputs={"name": "n", "data": "d"})
        )
        return await ended(manager, namespace, run["run_id"])

    try:
        states = asyncio.run(use())
    finally:
        runtime.stop()
        thread.join(20)

    assert not thread.is_alive()
    assert outputs(states, "user-login") == [{"message": "success", "processed_data": "completed:d"}]


async def test_defaults_of_inputs(namespace: str) -> None:
    states = await run_one(namespace, ConfigurableNode, {"text": "hello", "max_length": "3"}, {})

    assert outputs(states, "only") == [{"result": "hel", "length": "3"}]


async def test_errors_are_handled_by_runtime_and_state_manager(namespace: str) -> None:
    states = await run_one(namespace, RobustNode, {"data": "x"}, {})

    assert statuses(states) == {("only", "ERRORED"): 1}
    assert "Exception: This is a test error" in states[0].error


async def test_secrets_are_used_for_calls(namespace: str) -> None:
    with HttpService(lambda asked: Answer(200, {"for": asked.json["user_id"]})) as other:
        secrets = {"api_key": "sk-other-service", "api_endpoint": other.uri, "database_url": "db://nowhere"}
        states = await run_one(namespace, APINode, {"user_id": "u", "query": "q"}, secrets)

    assert outputs(states, "only") == [{"response": '{"for": "u"}', "status": "success"}]
    assert other.asked[0].headers["Authorization"] == "Bearer sk-other-service"


async def test_trigger_raises_as_documented(namespace: str) -> None:
    state_manager = StateManager(namespace=namespace)
    one = TriggerState(identifier="trigger1", inputs={"key1": "value1"})

    for arguments in ({}, {"state": one, "states": [one]}, {"states": []}):
        with pytest.raises(ValueError, match="trigger got"):
            await state_manager.trigger("my-graph", **arguments)  # type: ignore[arg-type]
    with pytest.raises(Exception, match="404"):
        await state_manager.trigger("my-graph", states=[one])
