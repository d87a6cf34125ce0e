"""A graph with all that graphs have, executed by a runtime."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from exospherehost import (
    AuthenticationError,
    BadRequestError,
    BaseNode,
    GraphNodeModel,
    GraphValidationError,
    NotFoundError,
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
from exospherehost.server import ServerThread
from exospherehost_client.api.nodes import list_nodes
from tests._support.graph_runs import ended, outputs, statuses
from tests._support.runtimes import running

MakeRuntime = Callable[..., Runtime]
FAST = RetryPolicyModel(max_retries=2, strategy=RetryStrategyEnum.FIXED, backoff_factor=1)


class Split(BaseNode):
    class Inputs(BaseModel):
        words: str

    class Outputs(BaseModel):
        word: str

    async def execute(self) -> list[Outputs]:
        return [self.Outputs(word=word) for word in self.inputs.words.split()]


class Seal(BaseNode):
    """Fails once for each word, waits once for each word, prunes one word, and needs a secret."""

    seen: dict[str, int]

    class Inputs(BaseModel):
        word: str
        suffix: str

    class Outputs(BaseModel):
        sealed: str

    class Secrets(BaseModel):
        salt: str

    async def execute(self) -> Outputs:
        word = self.inputs.word
        Seal.seen[word] = Seal.seen.get(word, 0) + 1
        if word == "nothing":
            raise PruneSignal({"word": word})
        if Seal.seen[word] == 1:
            raise ReQueueAfterSignal(timedelta(milliseconds=5))
        if Seal.seen[word] == 2:
            raise RuntimeError(f"not yet: {word} with {self.secrets.salt}")
        return self.Outputs(sealed=f"{word}-{self.inputs.suffix}-{len(self.secrets.salt)}")


class Report(BaseNode):
    class Inputs(BaseModel):
        words: str

    class Outputs(BaseModel):
        text: str

    def execute(self) -> Outputs:
        return self.Outputs(text=f"done with {self.inputs.words}")


class Quiet(BaseNode):
    async def execute(self) -> None:
        """Have no output."""


def graph(namespace: str) -> list[GraphNodeModel]:
    def node(node_name: str, identifier: str, **fields: Any) -> GraphNodeModel:
        return GraphNodeModel(node_name=node_name, namespace=namespace, identifier=identifier, **fields)

    return [
        node("Quiet", "begin", next_nodes=["split"]),
        node("Split", "split", inputs={"words": "${{store.words}}"}, next_nodes=["seal"]),
        node(
            "Seal",
            "seal",
            inputs={"word": "${{ split.outputs.word }}", "suffix": "${{store.suffix}}"},
            next_nodes=["report"],
        ),
        node(
            "Report",
            "report",
            inputs={"words": "[${{store.words}}]"},
            unites=UnitesModel(identifier="begin", strategy=UnitesStrategyEnum.ALL_DONE),
        ),
    ]


@pytest.fixture(autouse=True)
def fresh_counts() -> None:
    Seal.seen = {}


async def test_fan_out_retry_signals_secrets_store_and_join(
    manager: StateManager, make_runtime: MakeRuntime, namespace: str
) -> None:
    runtime = make_runtime(Split, Seal, Report, Quiet)
    async with running(runtime):
        await runtime.ready()
        stored = await manager.upsert_graph(
            "all of it",
            graph(namespace),
            {"salt": "s3cr3t-salt-value"},
            FAST,
            StoreConfigModel(required_keys=["words"], default_values={"suffix": "x"}),
        )
        run = await manager.trigger("all of it", inputs={}, store={"words": "one two nothing three"})
        states = await ended(manager, namespace, run["run_id"])

    assert stored["validation_status"] == "VALID"
    assert run["status"] == "CREATED"
    assert statuses(states) == {
        ("begin", "SUCCESS"): 1,
        ("split", "SUCCESS"): 4,
        ("seal", "SUCCESS"): 3,
        ("seal", "RETRY_CREATED"): 3,
        ("seal", "PRUNED"): 1,
        ("report", "SUCCESS"): 1,
    }
    assert sorted(str(each["sealed"]) for each in outputs(states, "seal") if each) == [
        "one-x-17",
        "three-x-17",
        "two-x-17",
    ]
    assert outputs(states, "report") == [{"text": "done with [one two nothing three]"}]
    assert outputs(states, "begin") == [{}]
    errors = [state.error for state in states if state.error]
    assert len(errors) == 3
    for error in errors:
        assert "RuntimeError: not yet: " in error
        assert "s3cr3t" not in error


async def test_exhausted_retries_fail_the_run(manager: StateManager, make_runtime: MakeRuntime, namespace: str) -> None:
    class Fails(BaseNode):
        async def execute(self) -> None:
            raise LookupError("never")

    runtime = make_runtime(Fails)
    async with running(runtime):
        await runtime.ready()
        node = GraphNodeModel(node_name="Fails", namespace=namespace, identifier="f")
        await manager.upsert_graph("g", [node], {}, FAST)
        run = await manager.trigger("g", inputs={})
        states = await ended(manager, namespace, run["run_id"])

    assert statuses(states) == {("f", "RETRY_CREATED"): 2, ("f", "ERRORED"): 1}


async def test_two_runtimes_share_the_work(manager: StateManager, make_runtime: MakeRuntime, namespace: str) -> None:
    first, second = make_runtime(Split, Report, Quiet), make_runtime(Split, Report, Quiet)
    nodes = [
        GraphNodeModel(node_name="Split", namespace=namespace, identifier="a", inputs={"words": ""}, next_nodes=["b"]),
        GraphNodeModel(
            node_name="Report", namespace=namespace, identifier="b", inputs={"words": "${{a.outputs.word}}"}
        ),
    ]
    async with running(first), running(second):
        await first.ready()
        await second.ready()
        await manager.upsert_graph("g", nodes, {})
        words = [str(number) for number in range(100)]
        run = await manager.trigger("g", inputs={"words": " ".join(words)})
        states = await ended(manager, namespace, run["run_id"])

    assert statuses(states) == {("a", "SUCCESS"): 100, ("b", "SUCCESS"): 100}
    assert {each["text"] for each in outputs(states, "b")} == {f"done with {word}" for word in words}


async def test_registration_is_seen_by_the_service(
    manager: StateManager, make_runtime: MakeRuntime, namespace: str
) -> None:
    runtime = make_runtime(Split, Seal)
    async with running(runtime):
        await runtime.ready()
        async with manager.raw_client as client:
            listed = await list_nodes.asyncio(namespace, client=client)

    assert [(node.name, node.secrets, node.runtime_name) for node in listed.nodes] == [
        ("Split", [], "runtime"),
        ("Seal", ["salt"], "runtime"),
    ]


async def test_wrong_key_is_refused(server: ServerThread, namespace: str) -> None:
    with pytest.raises(AuthenticationError, match="401"):
        await Runtime(namespace, "runtime", [Quiet], server.url, "wrong-key").run()
    with pytest.raises(AuthenticationError, match="401"):
        await StateManager(namespace, server.url, "wrong-key").trigger("g", inputs={})


async def test_graph_of_unregistered_nodes_is_invalid(manager: StateManager, namespace: str) -> None:
    with pytest.raises(GraphValidationError, match="Quiet") as caught:
        await manager.upsert_graph(
            "g", [GraphNodeModel(node_name="Quiet", namespace=namespace, identifier="q")], {"s": "hidden-value"}
        )

    assert caught.value.validation_errors
    with pytest.raises(BadRequestError, match="400"):
        await manager.trigger("g", inputs={})


async def test_graph_that_breaks_a_rule_is_refused(manager: StateManager, namespace: str) -> None:
    nodes = [GraphNodeModel(node_name="Quiet", namespace=namespace, identifier=name) for name in ("a", "b")]

    with pytest.raises(BadRequestError, match="400"):
        await manager.upsert_graph("g", nodes, {})
    with pytest.raises(NotFoundError, match="404"):
        await manager.get_graph("g")


async def test_missing_store_key_and_unknown_graph(
    manager: StateManager, make_runtime: MakeRuntime, namespace: str
) -> None:
    runtime = make_runtime(Quiet)
    async with running(runtime):
        await runtime.ready()
        node = GraphNodeModel(node_name="Quiet", namespace=namespace, identifier="q")
        await manager.upsert_graph("g", [node], {}, store_config=StoreConfigModel(required_keys=["k"]))

    with pytest.raises(BadRequestError, match="k"):
        await manager.trigger("g", inputs={})
    with pytest.raises(NotFoundError):
        await manager.trigger("other", inputs={})
