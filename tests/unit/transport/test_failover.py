"""Of several services, one is stayed with until it cannot be reached."""

from __future__ import annotations

import socket

import pytest

from exospherehost import APIConnectionError, NotFoundError, ServerFailureError, StateManager
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.graph_json import graph_answer, graph_node
from tests._support.http_service import DROP, Answer
from tests._support.nodes import Echo
from tests._support.runtimes import KEY, make_runtime, running

GRAPH = graph_answer(graph_node("a"))

pytestmark = pytest.mark.usefixtures("carrier")


@pytest.fixture
def nobody() -> str:
    """A URI at which nothing listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{reserved.getsockname()[1]}"


@pytest.fixture(autouse=True)
def graph(service: FakeStateManager) -> None:
    service.graphs["g"] = GRAPH


async def test_unreachable_service_is_passed_over(service: FakeStateManager, nobody: str) -> None:
    assert await StateManager("ns", f"{nobody},{service.uri}", KEY).get_graph("g") == GRAPH


async def test_the_service_that_answered_is_stayed_with() -> None:
    with FakeStateManager() as first, FakeStateManager() as second:
        first.graphs["g"] = second.graphs["g"] = GRAPH
        manager = StateManager("ns", f"{first.uri}, {second.uri}", KEY)

        for _ in range(3):
            await manager.get_graph("g")

        assert len(first.asked) == 3
        assert second.asked == []


async def test_choice_outlives_a_pool_of_connections(service: FakeStateManager) -> None:
    with FakeStateManager() as first:
        first.graphs["g"] = GRAPH
        manager = StateManager("ns", f"{first.uri},{service.uri}", KEY)
        await manager.get_graph("g")
    await manager.get_graph("g")

    with FakeStateManager() as back:
        await manager.get_graph("g")

    assert len(service.asked) == 2
    assert back.asked == []


async def test_all_unreachable_is_a_connection_error(nobody: str) -> None:
    with pytest.raises(APIConnectionError) as caught:
        await StateManager("ns", f"{nobody},{nobody}", KEY).get_graph("g")

    assert not caught.value.sent


async def test_an_answer_is_no_reason_to_move_on(service: FakeStateManager) -> None:
    with FakeStateManager() as first:
        manager = StateManager("ns", f"{first.uri},{service.uri}", KEY)
        with pytest.raises(NotFoundError):
            await manager.get_graph("g")
        first.before = lambda _: Answer(501, {"detail": "not here"})
        with pytest.raises(ServerFailureError):
            await manager.get_graph("g")

    assert service.asked == []


async def test_lost_connection_moves_on_for_the_next_attempt(service: FakeStateManager) -> None:
    with FakeStateManager() as first:
        first.before = lambda _: DROP
        manager = StateManager("ns", f"{first.uri},{service.uri}", KEY)

        assert await manager.get_graph("g") == GRAPH

        assert len(first.asked) == 1


async def test_runtime_goes_on_at_the_second_service(service: FakeStateManager) -> None:
    state_id = service.put_state("Echo", {"text": "hello"})
    with FakeStateManager() as first:
        runtime = make_runtime(f"{first.uri},{service.uri}", Echo)
        async with running(runtime):
            await eventually(lambda: first.claims)
            first.before = lambda _: DROP
            report = await eventually(lambda: service.report_of(state_id))

    assert report.body == {"outputs": [{"text": "hello"}]}
