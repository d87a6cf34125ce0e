"""What a node can know of its state: always its ids, and of the run what the service tells."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exospherehost import BaseNode, Execution, GraphNodeModel, RetryPolicyModel, Runtime, StateManager
from exospherehost._nodes.node import NodeContext
from exospherehost.server import ServerSettings, ServerThread
from exospherehost_client.models import RetryStrategy
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.graph_runs import ended
from tests._support.nodes import Echo
from tests._support.runtimes import KEY, make_runtime, running

# Without `wait` in both, so that no test waits for a held claim at its end.
WITHOUT: dict[str, frozenset[str]] = {
    "with the extension": frozenset({"wait"}),
    "without it": frozenset({"wait", "context"}),
}


class Notes(Echo):
    """Fails once for each state, and notes what it knows."""

    seen: list[NodeContext]

    async def execute(self) -> Echo.Outputs:
        self.seen.append(self.context)
        if len(self.seen) == 1:
            raise ConnectionError("try again")
        return self.Outputs(text="x")


class NotesInThread(Notes):
    execution = Execution(timeout=60)

    def execute(self) -> Any:
        return asyncio.run(super().execute())


@pytest.fixture(params=list(WITHOUT), scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    settings = ServerSettings(
        api_key=KEY, database=_folder(tmp_path_factory) / "e.db", port=0, without=WITHOUT[request.param]
    )
    with ServerThread(settings) as server:
        yield server


def _folder(factory: pytest.TempPathFactory) -> Path:
    return factory.mktemp("server")


@pytest.mark.parametrize("base", [Notes, NotesInThread])
async def test_real_service(server: ServerThread, base: type[Notes], request: pytest.FixtureRequest) -> None:
    has_context = "without" not in request.node.callspec.params["server"]
    node: Any = type("Noting", (base,), {"seen": []})
    namespace = f"ns of {base.__name__}"
    manager = StateManager(namespace, server.url, KEY)
    runtime = Runtime(namespace, "rt", [node], server.url, KEY, poll_interval=0.05)

    async with running(runtime):
        await runtime.ready()
        await manager.upsert_graph(
            "the graph",
            [GraphNodeModel(node_name="Noting", namespace=namespace, identifier="the id", inputs={"text": "x"})],
            {},
            retry_policy=RetryPolicyModel(max_retries=2, strategy=RetryStrategy.FIXED, backoff_factor=1),
        )
        run_id = str((await manager.trigger("the graph", inputs={}))["run_id"])
        states = await ended(manager, namespace, run_id)

    first, second = node.seen
    assert {each.namespace for each in node.seen} == {namespace}
    assert {each.node_name for each in node.seen} == {"Noting"}
    assert {each.identifier for each in node.seen} == {"the id"}
    assert {first.state_id, second.state_id} == {state.id for state in states}
    assert {each.graph_name for each in node.seen} == ({"the graph"} if has_context else {None})
    assert {each.run_id for each in node.seen} == ({run_id} if has_context else {None})
    assert [each.attempt for each in node.seen] == ([1, 2] if has_context else [None, None])
    assert (first.deadline is None) is (base is Notes)


async def test_each_state_has_its_own(service: FakeStateManager) -> None:
    class Keeps(BaseNode):
        kept: dict[str, tuple[str, str]] = {}  # noqa: RUF012 - shared on purpose

        async def execute(self) -> None:
            before = self.context
            await asyncio.sleep(0.01)
            assert self.context is before
            self.kept[before.state_id] = (before.identifier, before.node_name)

    states = {service.put_state("Keeps", identifier=f"i{number}"): f"i{number}" for number in range(8)}
    async with running(make_runtime(service, Keeps, workers=8)):
        await eventually(lambda: all(service.report_of(state_id) for state_id in states))

    assert Keeps.kept == {state_id: (identifier, "Keeps") for state_id, identifier in states.items()}


async def test_it_cannot_be_changed(service: FakeStateManager) -> None:
    caught: list[type[BaseException]] = []

    class Changes(BaseNode):
        async def execute(self) -> None:
            try:
                self.context.state_id = "other"  # type: ignore[misc]
            except AttributeError as error:
                caught.append(type(error))

    state_id = service.put_state("Changes")
    async with running(make_runtime(service, Changes)):
        said = await eventually(lambda: service.report_of(state_id))

    assert (said.action, caught) == ("executed", [AttributeError])


async def test_without_a_lifespan_nothing_is_shared(service: FakeStateManager) -> None:
    shared: list[object] = []

    class Looks(BaseNode):
        async def execute(self) -> None:
            shared.append(self.context.shared)

    state_id = service.put_state("Looks")
    async with running(make_runtime(service, Looks)):
        await eventually(lambda: service.report_of(state_id))

    assert shared == [None]
