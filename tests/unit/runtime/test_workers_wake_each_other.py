"""States that wait are taken by every worker that is free, however the states come and the workers end theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from exospherehost._nodes.node import BaseNode
from exospherehost._runtime import outcomes
from exospherehost._runtime.outcomes import Outcome
from exospherehost._runtime.stats import Counters
from exospherehost._runtime.worker_pool import WorkerPool
from exospherehost_client.models import ClaimedState
from tests._support.eventually import eventually
from tests._support.outbox import Outbox


class N(BaseNode):
    async def execute(self) -> None:
        raise NotImplementedError


class Executes:
    """Executes what is named `quick` without a pause, and holds all else until told to go on."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def execute(self, state: ClaimedState, _is_given_up: Callable[[], bool]) -> Outcome:
        if state.identifier != "quick":
            await self.go_on.wait()
        return outcomes.executed(state.state_id, [], (), 0, {})


def states(identifier: str, first: int, count: int) -> list[ClaimedState]:
    return [
        ClaimedState(
            state_id=f"{number}", node_name="N", identifier=identifier, inputs={}, created_at=datetime.now(UTC)
        )
        for number in range(first, first + count)
    ]


@pytest.mark.parametrize("between", [0, 1, 3])
async def test_all_workers_take_what_comes_bit_by_bit(between: int) -> None:
    executor, outbox, counters = Executes(), Outbox(), Counters()
    workers = WorkerPool(executor, outbox, counters, namespace="ns", nodes={"N": N}, count=4, most_ahead=8)
    workers.start()
    await asyncio.sleep(0)
    for number in range(3):
        # While a worker is being woken for the one before, or has just been.
        workers.add(states("slow", number, 1))
        for _ in range(between):
            await asyncio.sleep(0)
    workers.add(states("quick", 10, 20))

    await eventually(lambda: counters.running == 3 and len(outbox.outcomes) == 20)
    assert counters.waiting == 0
    executor.go_on.set()
    await eventually(lambda: counters.running == 0)
    assert len(outbox.outcomes) == 23

    # And again, now that all have been idle.
    executor.go_on.clear()
    workers.add(states("slow", 40, 4))
    await eventually(lambda: counters.running == 4)
    await workers.stop()
    assert {outcome.state_id for outcome in outbox.outcomes[23:]} == {"40", "41", "42", "43"}
    assert counters.running == 0


async def test_states_behind_one_that_waits_are_taken_by_others() -> None:
    executor, outbox, counters = Executes(), Outbox(), Counters()
    workers = WorkerPool(executor, outbox, counters, namespace="ns", nodes={"N": N}, count=2, most_ahead=8)
    workers.start()
    await asyncio.sleep(0)
    workers.add([*states("quick", 0, 3), *states("slow", 3, 1), *states("quick", 4, 3)])

    await eventually(lambda: len(outbox.outcomes) == 6)
    assert counters.running == 1
    await workers.stop()
    assert [outcome.kind for outcome in outbox.outcomes[6:]] == ["requeued"]
