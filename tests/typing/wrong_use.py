"""Uses of the public API, each marked line of which must be a type error, and no other."""

from __future__ import annotations

import datetime as dt

from pydantic import BaseModel

from exospherehost import (
    BaseNode,
    CronTrigger,
    GraphNodeModel,
    PruneSignal,
    ReQueueAfterSignal,
    RetryPolicyModel,
    Runtime,
    StateManager,
    SyncStateManager,
    Timeouts,
    TriggerState,
    UnitesModel,
)


class Text(BaseModel):
    text: str


class Size(BaseModel):
    size: str


class Token(BaseModel):
    token: str


class WrongOutputs(BaseNode[Text, Size]):
    async def execute(self) -> Text:  # error
        return Text(text="")


class WrongPlainOutputs(BaseNode[Text, Size]):
    def execute(self) -> int:  # error
        return 1


class WrongListOfOutputs(BaseNode[Text, Size]):
    async def execute(self) -> list[str]:  # error
        return []


class WantsArguments(BaseNode[Text, Size]):
    async def execute(self, text: str) -> Size:  # error
        return Size(size=text)


class WrongAttributes(BaseNode[Text, Size, Token]):
    async def execute(self) -> Size:
        print(self.inputs.txet)  # error
        print(self.secrets.text)  # error
        print(self.inputs.text + 1)  # error
        return Size(text="")  # error


class Good(BaseNode[Text, Size, Token]):
    async def execute(self) -> Size:
        return Size(size=self.secrets.token)


Runtime("ns", "name", [int])  # error
Runtime("ns", "name", [Good()])  # error
Runtime("ns", "name", Good)  # error
Runtime("ns", "name", [Good], batch_size="16")  # error
Runtime("ns", "name", [Good], worker=4)  # error
Runtime("ns", nodes=[Good])  # error
Runtime("ns", "name", [Good], None, None, 16, 4, "v0", 1, 30)  # error
Runtime("ns", "name", [Good], timeouts="5")  # error
Runtime("ns", "name", [Good], headers=["x"])  # error

Timeouts(read="5")  # error
StateManager()  # error
StateManager("ns", uri="http://localhost")  # error

PruneSignal("reason")  # error
ReQueueAfterSignal(5)  # error
ReQueueAfterSignal()  # error
ReQueueAfterSignal(dt.timedelta(seconds=5))

TriggerState(identifier=5)  # error
TriggerState("identifier")  # error
GraphNodeModel(node_name="A", namespace="ns")  # error
GraphNodeModel(node_name="A", namespace="ns", identifier="a", next_nodes="b")  # error
GraphNodeModel(node_name="A", namespace="ns", identifier="a", unites="b")  # error
UnitesModel(identifier="a", strategies="ALL_DONE")  # error
RetryPolicyModel(max_retries="three")  # error
CronTrigger("* * * * *")  # error


async def triggers(manager: StateManager, one: TriggerState) -> None:
    await manager.trigger("g", state="x")  # error
    await manager.trigger("g", states=one)  # error
    await manager.trigger("g", states=["x"])  # error
    await manager.trigger("g", inputs={"k": 1})  # error
    await manager.trigger("g", inputs=[("k", "v")])  # error
    await manager.trigger("g", inputs={}, start_delay="5")  # error
    await manager.trigger(state=one)  # error
    await manager.upsert_graph("g", [], secrets={"k": 1})  # error
    await manager.upsert_graph("g", ["node"], {})  # error
    await manager.upsert_graph("g", [])  # error
    await manager.get_graph()  # error
    manager.raw_client = None  # error
    result = await manager.get_graph("g")
    print(result.nodes)  # error


async def runs(manager: StateManager) -> None:
    await manager.wait("r", 5)  # error
    await manager.watch("r")  # error
    for _ in manager.list_runs():  # error
        pass
    await manager.get_state("s", "r", "g")  # error
    await manager.get_state("s", run_id="r")  # error
    await manager.retry("s", "f")  # error
    print((await manager.get_run("r")).outcome)  # error


def synchronously(manager: SyncStateManager) -> None:
    manager.wait("r", timeout="5")  # error
    manager.wait()  # error
    print(manager.get_run("r").raise_for_status().outcome)  # error
    manager.trigger("g", inputs={"k": 1})  # error
    manager.trigger("g", states=TriggerState(identifier="a"))  # error
    manager.upsert_graph("g", ["node"], {})  # error
    for _ in manager.watch("r", after="7"):  # error
        pass
    manager.list_runs(5)  # error


SyncStateManager()  # error
