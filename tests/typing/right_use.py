"""Uses of the public API that are no type error."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import ssl
from typing import Any, assert_type

from pydantic import BaseModel

from exospherehost import (
    VERSION,
    APIStatusError,
    BaseNode,
    CronTrigger,
    ExosphereError,
    GraphNodeModel,
    PruneSignal,
    ReQueueAfterSignal,
    RetryPolicyModel,
    RetryStrategyEnum,
    Run,
    RunFailedError,
    Runtime,
    StateManager,
    StoreConfigModel,
    SyncStateManager,
    Timeouts,
    Transition,
    TriggerState,
    UnitesModel,
    UnitesStrategyEnum,
    WaitTimeoutError,
)
from exospherehost_client import AuthenticatedClient
from exospherehost_client.models import (
    CancelRunResponse,
    DeleteGraphResponse,
    GraphListItem,
    ManualRetryResponse,
    RegisteredNode,
    RunGraphNode,
    RunSummary,
    StateDetail,
    StateStatus,
)


# The reference's style: what is nested is not known to a type checker, and no error.
class SampleNode(BaseNode):
    class Inputs(BaseModel):
        name: str
        data: str

    class Outputs(BaseModel):
        message: str
        processed_data: str

    class Secrets(BaseModel):
        api_key: str

    async def execute(self) -> Outputs:
        print(f"Processing data for: {self.inputs.name} with {self.secrets.api_key}")
        return self.Outputs(message="success", processed_data=f"completed:{self.inputs.data}")


class FansOut(BaseNode):
    class Outputs(BaseModel):
        part: str

    async def execute(self) -> list[Outputs]:
        return [self.Outputs(part=part) for part in json.loads(self.inputs.parts)]


class Raises(BaseNode):
    class Outputs(BaseModel):
        part: str

    async def execute(self) -> Outputs:
        raise PruneSignal({"reason": "duplicate"})


class Waits(BaseNode):
    async def execute(self) -> None:
        raise ReQueueAfterSignal(dt.timedelta(seconds=5))


class PlainFunction(BaseNode):
    class Inputs(BaseModel):
        name: str

    class Outputs(BaseModel):
        name: str

    def execute(self) -> Outputs | None:
        return self.Outputs(name=self.inputs.name) if self.inputs.name else None


class Inherits(SampleNode):
    async def execute(self) -> SampleNode.Outputs:
        return self.Outputs(message=self.inputs.name, processed_data="")


# The generic form: everything is known.
class Text(BaseModel):
    text: str


class Size(BaseModel):
    size: str


class Token(BaseModel):
    token: str


class Measure(BaseNode[Text, Size, Token]):
    async def execute(self) -> Size:
        assert_type(self.inputs, Text)
        assert_type(self.inputs.text, str)
        assert_type(self.secrets.token, str)
        return Size(size=str(len(self.inputs.text)))


class MeasureAll(BaseNode[Text, Size]):
    async def execute(self) -> list[Size]:
        return [Size(size=str(len(word))) for word in self.inputs.text.split()]


class MeasureMaybe(BaseNode[Text, Size]):
    async def execute(self) -> Size | list[Size] | None:
        return None


class MeasurePlainly(BaseNode[Text, Size]):
    def execute(self) -> Size:
        return Size(size=str(len(self.inputs.text)))


class OnlyInputs(BaseNode[Text]):
    def execute(self) -> None:
        assert_type(self.inputs.text, str)


def blocking() -> None:
    Runtime(
        namespace="MyProject",
        name="DataProcessor",
        nodes=[SampleNode, Measure, MeasurePlainly, OnlyInputs],
    ).start()


def configured(context: ssl.SSLContext) -> Runtime:
    return Runtime(
        "ns",
        "name",
        (SampleNode,),
        "http://localhost:8000",
        "key",
        16,
        4,
        "v0",
        0.5,
        timeouts=Timeouts(read=5),
        headers={"x-tenant": "7"},
        proxy="http://proxy:3128",
        verify=context,
        cert=("cert.pem", "key.pem"),
        grace_period=10,
    )


async def in_a_loop(runtime: Runtime) -> None:
    task = runtime.start()
    assert_type(task, asyncio.Task[None] | None)
    await runtime.ready()
    runtime.stop()
    assert_type(await runtime.run(), None)


async def state_manager() -> None:
    manager = StateManager(namespace="MyProject", state_manager_uri="http://localhost", key="k", timeouts=3)
    trigger_state = TriggerState(identifier="user-login", inputs={"user_id": "12345"})
    result = await manager.trigger("my-graph", state=trigger_state)
    assert_type(result, dict[str, Any])
    await manager.trigger("my-graph", states=[trigger_state, TriggerState(identifier="other")])
    await manager.trigger("my-graph", inputs={"a": "b"}, store={"c": "d"}, start_delay=5, idempotency_key="k")
    async with StateManager("ns") as opened:
        assert_type(opened.raw_client, AuthenticatedClient)
        assert_type(await opened.get_graph("g"), dict[str, Any])
        graph = await opened.upsert_graph(
            "g",
            [
                GraphNodeModel(node_name="A", namespace="ns", identifier="a", next_nodes=["b"]),
                GraphNodeModel(
                    node_name="B",
                    namespace="ns",
                    identifier="b",
                    inputs={"text": "${{a.outputs.text}}"},
                    unites=UnitesModel(identifier="a", strategy=UnitesStrategyEnum.ALL_DONE),
                ),
            ],
            secrets={"token": "t"},
            retry_policy=RetryPolicyModel(max_retries=1, strategy=RetryStrategyEnum.FIXED, backoff_factor=10),
            store_config=StoreConfigModel(required_keys=["k"], default_values={"d": "v"}),
            triggers=[CronTrigger(expression="0 9 * * 1-5")],
            validation_timeout=10,
            polling_interval=0.5,
        )
        assert_type(graph, dict[str, Any])


async def runs(manager: StateManager) -> None:
    run = (await manager.wait("r", timeout=5)).raise_for_status()
    assert_type(run, Run)
    assert_type(run.failed_states, list[RunGraphNode])
    assert_type(run.cancelled_at, dt.datetime | None)
    async for transition in manager.watch("r", last_event_id="7"):
        assert_type(transition, Transition)
        assert_type(transition.status, StateStatus | str)
    async for line in manager.list_runs(limit=5):
        assert_type(line, RunSummary)
    async with contextlib.aclosing(manager.watch("r")) as transitions:
        assert_type(await anext(transitions), Transition)
    assert_type(await manager.get_run("r"), Run)
    assert_type(await manager.get_state("s", run_id="r", graph_name="g"), StateDetail)
    assert_type(await manager.retry("s", fanout_id="f"), ManualRetryResponse)
    assert_type(await manager.cancel("r"), CancelRunResponse)
    assert_type(await manager.delete_graph("g"), DeleteGraphResponse)
    assert_type(await manager.list_nodes(), list[RegisteredNode])
    assert_type(await manager.list_graphs(), list[GraphListItem])


def synchronously() -> str:
    with SyncStateManager("ns", "http://localhost", "k", timeouts=3) as manager:
        assert_type(manager.raw_client, AuthenticatedClient)
        started = manager.trigger("g", state=TriggerState(identifier="a"), store={"c": "d"})
        assert_type(started, dict[str, Any])
        assert_type(manager.upsert_graph("g", [], secrets={}), dict[str, Any])
        for transition in manager.watch("r"):
            assert_type(transition, Transition)
        assert_type([line.run_id for line in manager.list_runs()], list[str])
        assert_type(manager.get_state("s", run_id="r", graph_name="g"), StateDetail)
        assert_type(manager.cancel("r"), CancelRunResponse)
        assert_type(manager.list_nodes(), list[RegisteredNode])
        try:
            manager.wait("r", timeout=5).raise_for_status()
        except RunFailedError as error:
            assert_type(error.reasons, list[str])
        except WaitTimeoutError as error:
            return error.run_id
    return ""


async def errors(manager: StateManager) -> str:
    try:
        await manager.get_graph("g")
    except APIStatusError as error:
        assert_type(error.status_code, int)
        assert_type(error.request_id, str | None)
        return error.detail
    except ExosphereError as error:
        return str(error)
    return VERSION
