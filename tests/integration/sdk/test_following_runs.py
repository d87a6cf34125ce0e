"""Following, reading, retrying and ending runs on the embedded state manager, with its extensions and without."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import BaseModel

from exospherehost import (
    BadRequestError,
    BaseNode,
    ConflictError,
    GraphNodeModel,
    NotFoundError,
    RetryPolicyModel,
    RetryStrategyEnum,
    Run,
    RunFailedError,
    Runtime,
    StateManager,
    SyncStateManager,
    Transition,
    UnitesModel,
    UnsupportedByServerError,
    WaitTimeoutError,
)
from exospherehost.server import ServerSettings, ServerThread
from tests._support.runtimes import KEY, running

OURS = frozenset({"cancel", "delete-graph", "events"})
WIDTH = 20


class Split(BaseNode):
    class Outputs(BaseModel):
        number: str

    async def execute(self) -> list[Outputs]:
        return [self.Outputs(number=str(number)) for number in range(WIDTH)]


class Work(BaseNode):
    class Inputs(BaseModel):
        number: str

    async def execute(self) -> None:
        if self.inputs.number == "fails":
            raise ValueError("boom")


class Join(BaseNode):
    async def execute(self) -> None:
        """Only be there."""


@pytest.fixture(scope="module", params=[frozenset(), OURS], ids=["with", "without"])
def without(request: pytest.FixtureRequest) -> frozenset[str]:
    """The extensions that the server does not offer."""
    names: frozenset[str] = request.param
    return names


@pytest.fixture
def has_extensions(without: frozenset[str]) -> bool:
    return not without


@pytest.fixture(scope="module")
def following_server(without: frozenset[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    database: Path = tmp_path_factory.mktemp("following") / "exosphere.db"
    with ServerThread(ServerSettings(api_key=KEY, database=database, port=0, without=without)) as server:
        yield server


@pytest.fixture
def manager(following_server: ServerThread, namespace: str) -> StateManager:
    return StateManager(namespace, following_server.url, KEY)


@asynccontextmanager
async def prepared(server: ServerThread, namespace: str, *, works: bool = True) -> AsyncIterator[None]:
    """Store the graphs; and have a runtime execute their states for the length of the block, or not."""
    runtime = Runtime(namespace, "runtime", [Split, Work, Join], server.url, KEY, poll_interval=0.05, lease=None)

    def node(name: str, identifier: str, next_node: str | None = None, **inputs: str) -> GraphNodeModel:
        follows = [] if next_node is None else [next_node]
        return GraphNodeModel(
            node_name=name, namespace=namespace, identifier=identifier, inputs=inputs, next_nodes=follows
        )

    async def put() -> None:
        await runtime.ready()
        manager = StateManager(namespace, server.url, KEY)
        join = node("Join", "join")
        join.unites = UnitesModel(identifier="start")
        graph = [
            node("Join", "start", "split"),
            node("Split", "split", "work"),
            node("Work", "work", "join", number="${{split.outputs.number}}"),
            join,
        ]
        await manager.upsert_graph("wide", graph, {})
        policy = RetryPolicyModel(max_retries=1, strategy=RetryStrategyEnum.FIXED, backoff_factor=1)
        await manager.upsert_graph("failing", [node("Work", "only", number="fails")], {}, policy)

    if works:
        async with running(runtime):
            await put()
            yield
    else:
        async with running(runtime):
            await put()
        yield


def last_statuses(transitions: list[Transition]) -> Counter[tuple[str, str]]:
    last = {transition.state_id: (transition.identifier, str(transition.status)) for transition in transitions}
    return Counter(last.values())


WIDE = Counter(
    {("start", "SUCCESS"): 1, ("split", "SUCCESS"): WIDTH, ("work", "SUCCESS"): WIDTH, ("join", "SUCCESS"): 1}
)


async def test_watch_tells_how_every_state_ends(
    following_server: ServerThread, manager: StateManager, namespace: str, has_extensions: bool
) -> None:
    async with prepared(following_server, namespace), manager:
        run_id = (await manager.trigger("wide", inputs={}))["run_id"]
        async with asyncio.timeout(120):
            found = [transition async for transition in manager.watch(run_id)]

    assert last_statuses(found) == WIDE
    assert len(set(found)) == len(found)
    assert all((transition.event_id is not None) is has_extensions for transition in found)
    if has_extensions:
        times = [transition.occurred_at for transition in found if transition.occurred_at is not None]
        assert times == sorted(times)
        assert [each.status for each in found if each.identifier == "start"] == ["CREATED", "QUEUED", "SUCCESS"]


async def test_watch_of_a_run_that_has_ended_tells_it_again_and_from_where_it_is_told_to(
    following_server: ServerThread, manager: StateManager, namespace: str, has_extensions: bool
) -> None:
    async with prepared(following_server, namespace):
        run_id = (await manager.trigger("wide", inputs={}))["run_id"]
        await manager.wait(run_id, timeout=120)
    found = [transition async for transition in manager.watch(run_id)]

    assert last_statuses(found) == WIDE
    if has_extensions:
        rest = [each async for each in manager.watch(run_id, last_event_id=found[9].event_id)]
        assert rest == found[10:]


async def test_wait_returns_the_run(following_server: ServerThread, manager: StateManager, namespace: str) -> None:
    async with prepared(following_server, namespace), manager:
        run_id = (await manager.trigger("wide", inputs={}, start_delay=300))["run_id"]
        run = await manager.wait(run_id, timeout=120)

    assert isinstance(run, Run)
    assert run.raise_for_status() is run
    assert (run.run_id, run.graph_name, run.status, run.node_count) == (run_id, "wide", "SUCCESS", 2 + 2 * WIDTH)
    assert run.execution_summary["SUCCESS"] == run.node_count


async def test_failed_run_is_returned_and_raises_where_that_is_asked_for(
    following_server: ServerThread, manager: StateManager, namespace: str
) -> None:
    async with prepared(following_server, namespace):
        run_id = (await manager.trigger("failing", inputs={}))["run_id"]
        run = await manager.wait(run_id, timeout=120)

    assert run.status == "FAILED"
    assert [state.identifier for state in run.failed_states] == ["only"]
    with pytest.raises(RunFailedError, match="ValueError: boom"):
        run.raise_for_status()


async def test_wait_ends_with_its_time(following_server: ServerThread, manager: StateManager, namespace: str) -> None:
    async with prepared(following_server, namespace, works=False):
        run_id = (await manager.trigger("wide", inputs={}))["run_id"]
        with pytest.raises(WaitTimeoutError, match="goes on"):
            await manager.wait(run_id, timeout=1)

    assert (await manager.get_run(run_id)).status == "PENDING"


async def test_states_are_read_and_retried(
    following_server: ServerThread, manager: StateManager, namespace: str
) -> None:
    async with prepared(following_server, namespace), manager:
        run_id = (await manager.trigger("failing", inputs={}))["run_id"]
        (failed,) = (await manager.wait(run_id, timeout=120)).failed_states
        detail = await manager.get_state(failed.id, run_id=run_id, graph_name="failing")
        again = await manager.retry(failed.id, fanout_id="once")
        with pytest.raises(ConflictError):
            await manager.retry(failed.id, fanout_id="once")
        run = await manager.wait(run_id, timeout=120)

    assert detail.inputs == {"number": "fails"}
    assert "boom" in (detail.error or "")
    assert again.id in {state.id for state in run.nodes}
    assert run.execution_summary["RETRY_CREATED"] >= 2


async def test_runs_graphs_and_nodes_are_listed(
    following_server: ServerThread, manager: StateManager, namespace: str
) -> None:
    async with prepared(following_server, namespace, works=False), manager:
        ids = [(await manager.trigger("failing", inputs={}))["run_id"] for _ in range(5)]

        assert [run.run_id async for run in manager.list_runs()] == ids[::-1]
        assert [run.run_id async for run in manager.list_runs(limit=2)] == ids[:2:-1]
        assert {graph.name for graph in await manager.list_graphs()} == {"wide", "failing"}
        assert {node.name for node in await manager.list_nodes()} == {"Split", "Work", "Join"}


UNKNOWN_RUN = "0b0c5f0e-9f5b-4d0e-8a5e-0d3b1f6d2f11"


@pytest.mark.parametrize(
    "call",
    [
        lambda manager: manager.get_run(UNKNOWN_RUN),
        lambda manager: manager.wait(UNKNOWN_RUN),
        lambda manager: anext(manager.watch(UNKNOWN_RUN)),
    ],
    ids=["get_run", "wait", "watch"],
)
async def test_unknown_run_is_not_found(
    manager: StateManager, call: Callable[[StateManager], Awaitable[object]]
) -> None:
    with pytest.raises(NotFoundError):
        await call(manager)


async def test_run_is_cancelled_where_the_service_can(
    following_server: ServerThread, manager: StateManager, namespace: str, has_extensions: bool
) -> None:
    async with prepared(following_server, namespace, works=False), manager:
        run_id = (await manager.trigger("wide", inputs={}))["run_id"]
        if not has_extensions:
            with pytest.raises(UnsupportedByServerError, match="'cancel'"):
                await manager.cancel(run_id)
            assert (await manager.get_run(run_id)).status == "PENDING"
            return
        waiting = asyncio.ensure_future(manager.wait(run_id, timeout=120))
        async with aclosing(manager.watch(run_id)) as transitions:
            assert (await anext(transitions)).status == "CREATED"
            cancelled = await manager.cancel(run_id)
            assert [transition.status async for transition in transitions] == ["PRUNED"]
        run = await waiting
        again = await manager.cancel(run_id)

    assert (cancelled.status, cancelled.pruned_count) == ("FAILED", 1)
    assert (run.status, run.cancelled_at) == ("FAILED", cancelled.cancelled_at)
    assert (again.pruned_count, again.cancelled_at) == (0, cancelled.cancelled_at)
    with pytest.raises(RunFailedError, match="was cancelled"):
        run.raise_for_status()
    with pytest.raises(BadRequestError):
        await manager.retry(run.nodes[0].id)
    with pytest.raises(NotFoundError):
        await manager.cancel(UNKNOWN_RUN)


async def test_graph_is_deleted_where_the_service_can(
    following_server: ServerThread, manager: StateManager, namespace: str, has_extensions: bool
) -> None:
    async with prepared(following_server, namespace, works=False), manager:
        run_id = (await manager.trigger("wide", inputs={}))["run_id"]
        if not has_extensions:
            with pytest.raises(UnsupportedByServerError, match="'delete-graph'"):
                await manager.delete_graph("wide")
            assert (await manager.get_graph("wide"))["validation_status"] == "VALID"
            return
        deleted = await manager.delete_graph("wide")
        with pytest.raises(NotFoundError):
            await manager.get_graph("wide")
        with pytest.raises(NotFoundError):
            await manager.delete_graph("wide")

    assert (deleted.name, deleted.cancelled_runs) == ("wide", 1)
    assert (await manager.wait(run_id, timeout=120)).status == "FAILED"


async def test_synchronous_face_follows_beside_a_running_loop(following_server: ServerThread, namespace: str) -> None:
    with SyncStateManager(namespace, following_server.url, KEY) as manager:

        def follow() -> tuple[Run, list[Transition]]:
            run_id = manager.trigger("wide", inputs={})["run_id"]
            found = list(manager.watch(run_id))
            return manager.wait(run_id, timeout=120), found

        async with prepared(following_server, namespace):
            run, found = await asyncio.to_thread(follow)

    assert run.status == "SUCCESS"
    assert last_statuses(found) == WIDE
    assert not [each for each in threading.enumerate() if each.name.startswith("exospherehost-state-manager")]


async def test_watch_and_wait_outlive_a_restart_of_the_server(tmp_path: Path, namespace: str) -> None:
    settings = ServerSettings(api_key=KEY, database=tmp_path / "exosphere.db", port=0)
    with ServerThread(settings) as server:
        port = urlsplit(server.url).port or 0
        manager = StateManager(namespace, server.url, KEY)
        async with prepared(server, namespace, works=False):
            run_id = (await manager.trigger("wide", inputs={}))["run_id"]
        watching = manager.watch(run_id)
        found = [await anext(watching)]
        waiting = asyncio.ensure_future(manager.wait(run_id, timeout=120))
        rest = asyncio.ensure_future(_all(watching))
        await asyncio.to_thread(server.stop)
    with ServerThread(ServerSettings(api_key=KEY, database=tmp_path / "exosphere.db", port=port)) as server:
        async with prepared(server, namespace):
            found += await asyncio.wait_for(rest, 120)
            run = await waiting

    assert run.status == "SUCCESS"
    assert last_statuses(found) == WIDE
    assert len(set(found)) == len(found)


async def _all(transitions: AsyncIterator[Transition]) -> list[Transition]:
    return [transition async for transition in transitions]
