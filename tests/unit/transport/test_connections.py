"""One pool of connections for the life of a runtime or a context, and none left over."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Iterator

import pytest

from exospherehost import APIConnectionError, StateManager
from exospherehost._transport.httpx_carrier import MAX_CONNECTIONS
from exospherehost._transport.pyreqwest_carrier import MAX_CONNECTIONS as MOST_OF_PYREQWEST
from exospherehost_client.api.graphs import get_graph
from tests._support.eventually import eventually, eventually_sync
from tests._support.fake_state_manager import FakeStateManager
from tests._support.graph_json import graph_answer, graph_node
from tests._support.http_service import DROP, Asked
from tests._support.nodes import Echo
from tests._support.runtimes import KEY, make_runtime, running

GRAPH = graph_answer(graph_node("a"))

pytestmark = pytest.mark.usefixtures("carrier")


@pytest.fixture(autouse=True)
def no_resource_is_leaked(service: FakeStateManager) -> Iterator[None]:
    """Nothing is left for the collector to close, and the service sees every connection end."""
    service.graphs["g"] = GRAPH
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(warning.message) for warning in caught if issubclass(warning.category, ResourceWarning)] == []
    eventually_sync(lambda: service.open_connections == 0)


@pytest.fixture
def most_connections(carrier: str) -> int:
    """How many connections may be opened."""
    # Twice the limit: pyreqwest's is one of requests, and now and then it opens a connection that a free one has made
    # needless; and on a slow machine one may be idle for so long that it is replaced.
    return 2 * (MAX_CONNECTIONS if carrier == "httpx" else MOST_OF_PYREQWEST)


async def test_runtime_keeps_one_pool_for_its_life(service: FakeStateManager, most_connections: int) -> None:
    async with running(make_runtime(service, Echo, workers=3)):
        for _ in range(3):
            states = [service.put_state("Echo", {"text": "x"}) for _ in range(30)]
            await eventually(lambda states=states: all(map(service.report_of, states)))

    assert len(service.asked) > 90
    assert service.connections <= most_connections


async def test_many_workers_keep_few_connections_busy(service: FakeStateManager, most_connections: int) -> None:
    states = [service.put_state("Echo", {"text": "x"}) for _ in range(300)]

    async with running(make_runtime(service, Echo, workers=300, batch_size=300)):
        await eventually(lambda: len(service.reports) == len(states), within=30)

    assert service.connections <= most_connections


async def test_sequential_work_takes_one_connection(service: FakeStateManager) -> None:
    async with StateManager("ns", service.uri, KEY) as manager:
        for _ in range(5):
            await manager.get_graph("g")
            await manager.trigger("g", inputs={})

    assert service.connections == 1


async def test_context_closes_its_pool(service: FakeStateManager, most_connections: int) -> None:
    async with StateManager("ns", service.uri, KEY) as manager:
        await asyncio.gather(*(manager.get_graph("g") for _ in range(40)))
        assert 1 <= service.open_connections <= most_connections

    await eventually(lambda: service.open_connections == 0)


async def test_without_a_context_every_call_closes_its_own(service: FakeStateManager) -> None:
    manager = StateManager("ns", service.uri, KEY)

    for _ in range(3):
        await manager.get_graph("g")
        await eventually(lambda: service.open_connections == 0)

    assert service.connections == 3


def test_without_a_context_several_loops_can_use_it(service: FakeStateManager) -> None:
    manager = StateManager("ns", service.uri, KEY)

    for _ in range(3):
        assert asyncio.run(manager.get_graph("g")) == GRAPH
        assert asyncio.run(manager.trigger("g", inputs={}))["status"] == "CREATED"


def test_context_can_be_entered_again_on_another_loop(service: FakeStateManager) -> None:
    manager = StateManager("ns", service.uri, KEY)

    async def use() -> None:
        async with manager:
            await asyncio.gather(*(manager.get_graph("g") for _ in range(20)))

    asyncio.run(use())
    asyncio.run(use())


async def test_failures_leave_nothing_open(service: FakeStateManager) -> None:
    service.before = lambda _: DROP
    manager = StateManager("ns", service.uri, KEY)

    with pytest.raises(APIConnectionError):
        await manager.get_graph("g")
    async with manager:
        with pytest.raises(APIConnectionError):
            await manager.get_graph("g")


async def test_cancelled_call_leaves_nothing_open(service: FakeStateManager) -> None:
    import threading

    go_on = threading.Event()

    def late(_: Asked) -> None:
        go_on.wait(20)

    service.before = late
    call = asyncio.ensure_future(StateManager("ns", service.uri, KEY).get_graph("g"))
    await eventually(lambda: service.asked)

    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    go_on.set()


async def test_entering_twice_is_refused(service: FakeStateManager) -> None:
    manager = StateManager("ns", service.uri, KEY)

    async with manager:
        with pytest.raises(RuntimeError, match="open already"):
            await manager.__aenter__()
        await manager.get_graph("g")


async def test_closing_twice_changes_nothing(service: FakeStateManager) -> None:
    manager = StateManager("ns", service.uri, KEY)
    async with manager:
        await manager.get_graph("g")
        await manager.aclose()
    await manager.aclose()


async def test_raw_client_is_closed_with_the_context(service: FakeStateManager) -> None:
    async with StateManager("ns", service.uri, KEY, headers={"x-tenant": "7"}) as manager:
        await manager.get_graph("g")
        answers = [await get_graph.asyncio("ns", "g", client=manager.raw_client) for _ in range(3)]
        answers.append(get_graph.sync("ns", "g", client=manager.raw_client))
        assert manager.raw_client is manager.raw_client
        assert service.open_connections >= 2

    assert {answer.validation_status for answer in answers} == {"VALID"}
    await eventually(lambda: service.open_connections == 0)
    sent = [{name.lower(): value for name, value in asked.headers.items()} for asked in service.asked]
    assert {(headers["x-api-key"], headers["x-tenant"]) for headers in sent} == {(KEY, "7")}


async def test_raw_client_outside_of_the_context_is_closed_by_its_user(service: FakeStateManager) -> None:
    async with StateManager("ns", service.uri, KEY, headers={"x-tenant": "7"}).raw_client as client:
        await get_graph.asyncio("ns", "g", client=client)

    assert service.asked[0].headers["x-tenant"] == "7"


def test_raw_client_can_be_used_without_a_loop(service: FakeStateManager) -> None:
    with StateManager("ns", service.uri, KEY).raw_client as client:
        assert get_graph.sync("ns", "g", client=client).nodes[0].identifier == "a"


def test_unused_raw_client_leaks_nothing(service: FakeStateManager) -> None:
    assert StateManager("ns", service.uri, KEY).raw_client is not None
    assert service.connections == 0
