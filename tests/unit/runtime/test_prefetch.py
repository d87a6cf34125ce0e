"""A runtime claims ahead of its workers only as far as they will start the states soon."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from exospherehost import BaseNode, Runtime
from exospherehost._runtime.outcomes import Outcome
from exospherehost._runtime.stats import Counters
from exospherehost._runtime.worker_pool import PREFETCH_SECONDS, WorkerPool
from exospherehost_client.models import ClaimedState
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.nodes import Echo
from tests._support.runtimes import make_runtime, running


class Samples:
    """What the runtime says about itself whenever one of its nodes begins."""

    def __init__(self) -> None:
        self.runtime: Runtime | None = None
        self.waiting: list[int] = []
        self.held: list[int] = []

    def node(self, seconds: float) -> type[BaseNode]:
        samples = self

        class Sampled(BaseNode):
            async def execute(self) -> None:
                assert samples.runtime is not None
                stats = samples.runtime.stats()
                samples.waiting.append(stats.waiting)
                samples.held.append(stats.waiting + stats.running)
                await asyncio.sleep(seconds)

        return Sampled


async def work_off(service: FakeStateManager, samples: Samples, seconds: float, states: int, **options: Any) -> None:
    ids = [service.put_state("Sampled") for _ in range(states)]
    samples.runtime = make_runtime(service, samples.node(seconds), **options)
    async with running(samples.runtime):
        await eventually(lambda: len(service.reports) == len(ids), within=20)


async def test_slow_nodes_hold_no_more_states_than_there_are_workers(
    service: FakeStateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exospherehost._runtime import worker_pool

    monkeypatch.setattr(worker_pool, "PREFETCH_SECONDS", 0.001)
    samples = Samples()

    await work_off(service, samples, 0.01, states=30, workers=3, batch_size=8)

    assert max(samples.held) == 3


@pytest.mark.parametrize(("workers", "batch_size"), [(4, 16), (2, 5), (1, 1)])
async def test_fast_nodes_have_at_most_a_batch_waiting(
    service: FakeStateManager, workers: int, batch_size: int
) -> None:
    samples = Samples()

    await work_off(service, samples, 0.0, states=150, workers=workers, batch_size=batch_size)

    assert 0 < max(samples.held) <= workers + batch_size
    assert max(samples.waiting) <= batch_size
    assert {claim["batch_size"] for claim in service.claims} <= set(range(1, batch_size + 1))


async def test_fast_nodes_are_claimed_for_ahead(service: FakeStateManager) -> None:
    samples = Samples()

    await work_off(service, samples, 0.0, states=150, workers=2, batch_size=16)

    assert max(samples.waiting) > 2
    # One worker at a time would need a claim for each of them.
    assert len([claim for claim in service.claims if claim["batch_size"] > 2]) > 2


class _Nothing:
    """Executes nothing and takes every outcome."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    async def execute(self, _: ClaimedState) -> Outcome:
        raise NotImplementedError

    async def submit(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def submit_now(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


def make_workers(count: int, most_ahead: int) -> WorkerPool:
    nothing: Any = _Nothing()
    return WorkerPool(
        nothing, nothing, Counters(), namespace="ns", nodes={"Echo": Echo}, count=count, most_ahead=most_ahead
    )


def state(number: int) -> ClaimedState:
    created = "2025-01-02T03:04:05Z"
    return ClaimedState.model_validate(
        {"state_id": f"{number:024x}", "node_name": "Echo", "identifier": "e", "inputs": {}, "created_at": created}
    )


@pytest.mark.parametrize(
    ("seconds", "room"),
    [
        (None, 4),  # nothing has ended yet: how long a node takes is not known
        (10.0, 4),
        (4 * PREFETCH_SECONDS + 0.001, 4),
        (4 * PREFETCH_SECONDS / 2.5, 4 + 2),
        (PREFETCH_SECONDS, 4 + 4),
        (0.0001, 4 + 16),
        (0.0, 4 + 16),
    ],
)
def test_room_follows_how_long_nodes_take(seconds: float | None, room: int) -> None:
    workers = make_workers(count=4, most_ahead=16)
    if seconds is not None:
        workers._note_duration(seconds)

    assert workers.plan() == (["Echo"], room)


def test_room_shrinks_when_nodes_get_slow() -> None:
    workers = make_workers(count=4, most_ahead=16)
    workers._note_duration(0.0001)
    assert workers.plan()[1] == 20
    for _ in range(40):
        workers._note_duration(2.0)

    assert workers.plan()[1] == 4


def test_nothing_is_claimed_by_the_handful_while_enough_waits() -> None:
    workers = make_workers(count=2, most_ahead=8)
    workers._note_duration(0.0001)
    workers.add([state(number) for number in range(5)])
    assert workers.plan()[1] == 0
    workers.lose(state(0).state_id)

    assert workers.plan()[1] == 2 + 8 - 4
