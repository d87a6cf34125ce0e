"""A node's own limit holds, costs the others nothing, and keeps no state away from other runtimes."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from exospherehost import BaseNode, Execution, GraphNodeModel, Runtime, StateManager
from exospherehost._runtime import poller
from exospherehost.server import ServerSettings, ServerThread
from exospherehost_client.api.runs import get_run_graph
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.graph_runs import ended
from tests._support.http_service import Answer, Asked
from tests._support.nodes import Echo
from tests._support.runtimes import KEY, make_runtime, running


class Gated(BaseNode):
    """Waits for the test, and is counted meanwhile."""

    gate: asyncio.Event
    busy: ClassVar[Counter[str]] = Counter()
    most: ClassVar[Counter[str]] = Counter()

    async def execute(self) -> None:
        name = self.context.node_name
        self.busy[name] += 1
        self.most[name] = max(self.most[name], self.busy[name])
        try:
            await self.gate.wait()
            await asyncio.sleep(0.002)
        finally:
            self.busy[name] -= 1


class One(Gated):
    execution = Execution(concurrency=1)


class Two(Gated):
    execution = Execution(concurrency=2)


class AlsoTwo(Two):
    """Inherits the limit, and counts for itself."""


class Free(Gated):
    """Has a gate as well, and no limit."""


@pytest.fixture(autouse=True)
async def fresh_gates() -> None:
    Gated.busy, Gated.most = Counter(), Counter()
    for node in (One, Two, AlsoTwo, Free):
        node.gate = asyncio.Event()


def put(service: FakeStateManager, node: type[BaseNode], count: int) -> list[str]:
    return [service.put_state(node.__name__, {"text": "x"}) for _ in range(count)]


async def reported(service: FakeStateManager, states: list[str]) -> None:
    await eventually(lambda: all(service.report_of(state_id) for state_id in states))


async def test_limit_is_never_exceeded(service: FakeStateManager) -> None:
    Two.gate.set()
    states = put(service, Two, 40)

    async with running(make_runtime(service, Two, Echo, workers=8)):
        await reported(service, states)

    assert Gated.most == {"Two": 2}


async def test_others_use_the_workers_that_are_free(service: FakeStateManager) -> None:
    limited = put(service, Two, 10)
    others = put(service, Free, 10)

    async with running(make_runtime(service, Two, Free, workers=6)):
        await eventually(lambda: Gated.busy == {"Two": 2, "Free": 4})
        Free.gate.set()
        await reported(service, others)
        assert Gated.busy == {"Two": 2, "Free": 0}
        assert not any(service.report_of(state_id) for state_id in limited)
        Two.gate.set()
        await reported(service, limited)

    assert Gated.most["Two"] == 2


async def test_each_node_counts_for_itself(service: FakeStateManager) -> None:
    states = [*put(service, Two, 5), *put(service, AlsoTwo, 5), *put(service, One, 5)]

    async with running(make_runtime(service, Two, AlsoTwo, One, workers=12)):
        await eventually(lambda: Gated.busy == {"Two": 2, "AlsoTwo": 2, "One": 1})
        for node in (Two, AlsoTwo, One):
            node.gate.set()
        await reported(service, states)

    assert Gated.most == {"Two": 2, "AlsoTwo": 2, "One": 1}


async def test_limit_of_all_nodes_and_many_workers(service: FakeStateManager) -> None:
    states = put(service, One, 12)
    One.gate.set()

    async with running(make_runtime(service, One, workers=4)):
        await reported(service, states)

    assert Gated.most == {"One": 1}
    assert {claim["batch_size"] for claim in service.claims} == {1}


async def test_limit_holds_for_functions_in_threads(service: FakeStateManager) -> None:
    release = threading.Event()
    lock = threading.Lock()
    most = Counter[str]()
    busy = Counter[str]()

    class Blocks(BaseNode):
        execution = Execution(concurrency=2)

        def execute(self) -> None:
            with lock:
                busy["now"] += 1
                most["now"] = max(most["now"], busy["now"])
            assert release.wait(20)
            with lock:
                busy["now"] -= 1

    states = put(service, Blocks, 6)
    async with running(make_runtime(service, Blocks, Echo, workers=6)):
        await eventually(lambda: busy["now"] == 2)
        others = put(service, Echo, 6)
        await reported(service, others)
        release.set()
        await reported(service, states)

    assert most["now"] == 2


# ---- what is claimed -----------------------------------------------------------------------------


async def test_states_above_the_limit_are_left_to_others(service: FakeStateManager) -> None:
    put(service, Two, 10)

    async with running(make_runtime(service, Two, Echo, workers=6)) as run:
        await eventually(lambda: Gated.busy == {"Two": 2})
        claims = len(service.claims)
        # Enough of them to see what is asked for while the node is at its limit.
        await eventually(lambda: len(service.claims) > claims + 3)
        assert not run.done()
        assert all(claim["nodes"] == ["Echo"] for claim in service.claims[claims + 1 :])
        assert sum(state["node_name"] == "Two" for state in service._waiting) == 8
        Two.gate.set()

    assert all(claim["batch_size"] <= 2 for claim in service.claims if "Two" in claim["nodes"])


async def test_room_that_is_left_bounds_the_claim(service: FakeStateManager) -> None:
    put(service, Two, 1)

    async with running(make_runtime(service, Two, Echo, workers=6)):
        await eventually(lambda: Gated.busy == {"Two": 1})
        claims = len(service.claims)
        await eventually(lambda: len(service.claims) > claims + 3)
        asked = service.claims[claims + 1 :]
        Two.gate.set()

    assert {claim["batch_size"] for claim in asked if "Two" in claim["nodes"]} == {1}


async def test_full_claim_is_followed_by_one_for_the_others(service: FakeStateManager) -> None:
    put(service, Free, 6)

    async with running(make_runtime(service, Two, Free, workers=6)):
        await eventually(lambda: Gated.busy == {"Free": 6})
        Free.gate.set()

    # The limited node's room bounds the first, although none of its states is there.
    assert service.claims[:2] == [
        {"nodes": ["Two", "Free"], "batch_size": 2},
        {"nodes": ["Free"], "batch_size": 4},
    ]


async def test_limit_holds_although_the_service_gives_more_than_asked_for(service: FakeStateManager) -> None:
    states = put(service, Two, 6)

    def generous(asked: Asked) -> Answer | None:
        if not asked.path.endswith("/enqueue"):
            return None
        given, service._waiting = service._waiting, []
        return Answer(200, {"count": len(given), "namespace": "ns", "status": "QUEUED", "states": given})

    service.before = generous
    async with running(make_runtime(service, Two, Echo, workers=6)):
        await eventually(lambda: Gated.busy == {"Two": 2})
        Two.gate.set()
        await reported(service, states)

    assert Gated.most == {"Two": 2}


async def test_nothing_is_claimed_ahead_for_a_node_at_its_limit(service: FakeStateManager) -> None:
    async with running(make_runtime(service, Two, Echo, workers=4)) as run:
        # Quick ones, after which a runtime claims ahead.
        await reported(service, put(service, Echo, 150))
        limited = put(service, Two, 30)
        await eventually(lambda: Gated.busy == {"Two": 2})
        await reported(service, put(service, Echo, 150))
        assert not run.done()
        assert sum(state["node_name"] == "Two" for state in service._waiting) == 28
        Two.gate.set()
        await reported(service, limited)

    assert Gated.most == {"Two": 2}


async def test_no_claim_is_sent_while_every_node_is_at_its_limit(service: FakeStateManager) -> None:
    states = put(service, One, 2)

    async with running(make_runtime(service, One, workers=4, poll_interval=0.01)):
        await eventually(lambda: Gated.busy == {"One": 1})
        claims = len(service.claims)
        for _ in range(20):
            await asyncio.sleep(0.005)
        assert len(service.claims) == claims
        One.gate.set()
        await reported(service, states)


# ---- when the limit frees ------------------------------------------------------------------------


async def test_next_state_is_claimed_at_once(service: FakeStateManager, monkeypatch: pytest.MonkeyPatch) -> None:
    # So long that only what frees a place can bring the next claim.
    monkeypatch.setattr(poller, "FIRST_IDLE_WAIT", 1_000.0)
    states = put(service, One, 3)

    async with running(make_runtime(service, One, Echo, poll_interval=1_000)):
        await eventually(lambda: Gated.busy == {"One": 1} and service.claims[-1]["nodes"] == ["Echo"])
        One.gate.set()
        await reported(service, states)


async def test_place_of_a_function_that_was_given_up_is_free_again(service: FakeStateManager) -> None:
    release = threading.Event()

    class Hangs(BaseNode):
        execution = Execution(concurrency=1, timeout=0.02)

        def execute(self) -> None:
            assert release.wait(20)

    states = put(service, Hangs, 3)
    async with running(make_runtime(service, Hangs)):
        await reported(service, states)
        release.set()

    assert [report.action for report in service.reports] == ["errored"] * 3


@pytest.fixture(params=["held claims", "no held claims"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerThread]:
    without = frozenset() if request.param == "held claims" else frozenset({"wait"})
    with ServerThread(ServerSettings(api_key=KEY, database=tmp_path / "e.db", port=0, without=without)) as server:
        yield server


async def test_on_a_real_service(server: ServerThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poller, "LONGEST_HOLD", 1)
    manager = StateManager("ns", server.url, KEY)
    runtime = Runtime("ns", "rt", [Two, Echo], server.url, KEY, workers=6, poll_interval=0.05)

    async with running(runtime):
        await runtime.ready()
        for name, inputs in (("Two", {}), ("Echo", {"text": "x"})):
            node = GraphNodeModel(node_name=name, namespace="ns", identifier="only", inputs=inputs)
            await manager.upsert_graph(name, [node], {})
        runs = [str((await manager.trigger("Two", inputs={}))["run_id"]) for _ in range(5)]
        await eventually(lambda: Gated.busy == {"Two": 2})
        echoed = str((await manager.trigger("Echo", inputs={}))["run_id"])
        await ended(manager, "ns", echoed)
        # Nothing of the limited node is kept from other runtimes.
        async with manager.raw_client as client:
            states = [
                str(node.status)
                for run_id in runs
                for node in (await get_run_graph.asyncio("ns", run_id, client=client)).nodes
            ]
        assert Counter(states) == {"QUEUED": 2, "CREATED": 3}
        Two.gate.set()
        for run_id in runs:
            await ended(manager, "ns", run_id)

    assert Gated.most["Two"] == 2
    assert runtime.stats().succeeded == 6
