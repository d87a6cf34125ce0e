"""A program of a user of the published SDK 0.0.3; run by test_published_sdk.py in that SDK's environment.

Its first argument is a name to work under. Prints what its nodes saw as one line of JSON once the
last node has run, and ends when its standard input is closed.
"""

import asyncio
import json
import sys
from datetime import timedelta

from pydantic import BaseModel

from exospherehost import (
    BaseNode,
    CronTrigger,
    GraphNodeModel,
    PruneSignal,
    ReQueueAfterSignal,
    RetryPolicyModel,
    RetryStrategyEnum,
    Runtime,
    StateManager,
    StoreConfigModel,
    UnitesModel,
    UnitesStrategyEnum,
)

NAMESPACE = sys.argv[1]
WORDS = ("ant", "bee", "cow", "dud")

seen: dict[str, list[str]] = {"measured": [], "attempts": [], "requeued": [], "closed": [], "merged": []}
merged = asyncio.Event()


class Split(BaseNode):
    class Inputs(BaseModel):
        text: str
        language: str

    class Outputs(BaseModel):
        word: str
        language: str

    async def execute(self) -> list[Outputs]:
        return [self.Outputs(word=word, language=self.inputs.language) for word in self.inputs.text.split()]


class Measure(BaseNode):
    class Inputs(BaseModel):
        word: str
        language: str
        greeting: str

    class Outputs(BaseModel):
        length: str

    class Secrets(BaseModel):
        token: str

    async def execute(self) -> Outputs:
        word = self.inputs.word
        if word == "dud":
            raise PruneSignal({"reason": "a dud"})
        if word == "ant":
            seen["attempts"].append(word)
            if len(seen["attempts"]) == 1:
                raise RuntimeError("the first attempt always fails")
        if word == "bee" and not seen["requeued"]:
            seen["requeued"].append(word)
            raise ReQueueAfterSignal(timedelta(milliseconds=50))
        seen["measured"].append(f"{self.inputs.greeting} {word} {self.inputs.language} {self.secrets.token}")
        return self.Outputs(length=str(len(word)))


class Close(BaseNode):
    class Inputs(BaseModel):
        length: str

    class Outputs(BaseModel):
        nothing: str

    class Secrets(BaseModel):
        pass

    async def execute(self) -> None:
        seen["closed"].append(self.inputs.length)


class Merge(BaseNode):
    class Inputs(BaseModel):
        language: str

    class Outputs(BaseModel):
        done: str

    class Secrets(BaseModel):
        pass

    async def execute(self) -> Outputs:
        seen["merged"].append(self.inputs.language)
        merged.set()
        return self.Outputs(done="yes")


class Begin(BaseNode):
    class Inputs(BaseModel):
        text: str

    class Outputs(BaseModel):
        text: str

    class Secrets(BaseModel):
        pass

    async def execute(self) -> Outputs:
        return self.Outputs(text=self.inputs.text)


class SplitPlain(Split):
    class Secrets(BaseModel):
        pass


def node(identifier: str, name: str, inputs: dict[str, str], **more: object) -> GraphNodeModel:
    return GraphNodeModel(node_name=name, namespace=NAMESPACE, identifier=identifier, inputs=inputs, **more)


GRAPH = [
    node("begin", "Begin", {"text": "nothing"}, next_nodes=["split"]),
    node(
        "split",
        "SplitPlain",
        {"text": "${{begin.outputs.text}}", "language": "${{store.language}}"},
        next_nodes=["measure"],
    ),
    node(
        "measure",
        "Measure",
        {
            "word": "${{ split.outputs.word }}",
            "language": "${{split.outputs.language}}",
            "greeting": "${{store.greeting}}",
        },
        next_nodes=["close"],
    ),
    node("close", "Close", {"length": "${{measure.outputs.length}}"}, next_nodes=["merge"]),
    node(
        "merge",
        "Merge",
        {"language": "${{store.language}}"},
        unites=UnitesModel(identifier="begin", strategy=UnitesStrategyEnum.ALL_SUCCESS),
    ),
]


async def upsert(manager: StateManager) -> dict[str, object]:
    """Store the graph as soon as the nodes are registered: until then it is not valid."""
    for _ in range(100):
        try:
            return await manager.upsert_graph(
                "words",
                graph_nodes=GRAPH,
                secrets={"token": "t0p-s3cret"},
                retry_policy=RetryPolicyModel(max_retries=2, strategy=RetryStrategyEnum.FIXED, backoff_factor=10),
                store_config=StoreConfigModel(required_keys=["language"], default_values={"greeting": "hi"}),
                triggers=[CronTrigger(expression="0 0 1 1 *")],
                polling_interval=1,
            )
        except Exception as error:  # the published SDK raises nothing more exact
            if "validation failed" not in str(error):
                raise
            await asyncio.sleep(0.1)
    raise SystemExit("the graph did not become valid")


async def main() -> None:
    runtime = Runtime(
        namespace=NAMESPACE,
        name="published",
        nodes=[Begin, SplitPlain, Measure, Close, Merge],
        poll_interval=0.05,  # type: ignore[arg-type]
    )
    task = runtime.start()
    manager = StateManager(namespace=NAMESPACE)
    stored = await upsert(manager)
    run = await manager.trigger("words", inputs={"text": " ".join(WORDS)}, store={"language": "en"})
    await asyncio.wait_for(merged.wait(), 60)
    print(json.dumps({"run_id": run["run_id"], "status": stored["validation_status"], "seen": seen}), flush=True)
    # Merge has run and its report follows: whoever started this program sees it and then closes the input.
    await asyncio.to_thread(sys.stdin.read)
    if task is not None:
        task.cancel()


asyncio.run(main())
