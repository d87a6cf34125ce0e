"""Many claims that wait: each state reaches one of them, and a wake-up makes few of them look."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

import pytest

from exospherehost.server.domain.records import ClaimedRecord, WaitingState
from exospherehost.server.domain.store import Reader
from exospherehost.server.scheduler import Scheduler
from exospherehost.server.service.waiting_claims import Attempt, Claimer, Patience, WaitingRoom
from exospherehost.testing.clock import ManualClock
from tests._support.eventually import eventually

START = 1_000_000
T = TypeVar("T")


class Table:
    """What waits, as (namespace, node, due), in place of a database; also the reader of itself."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.waiting: list[WaitingState] = []
        self.attempts = 0
        self.reads = 0

    async def read(self, work: Callable[[Reader], T]) -> T:
        self.reads += 1
        await asyncio.sleep(0)
        return work(self)  # type: ignore[arg-type]

    def find_waiting(self, namespace: str, node_name: str, *, now_ms: int, limit: int) -> tuple[int, int | None]:
        dues = [due for space, name, due in self.waiting if (space, name) == (namespace, node_name)]
        return min(limit, sum(due <= now_ms for due in dues)), min((due for due in dues if due > now_ms), default=None)

    async def attempt(self, claimer: Claimer) -> Attempt:
        self.attempts += 1
        await asyncio.sleep(0)
        now_ms = self.clock.now_ms()
        taken = [] if claimer.gone else [
            state for state in self.waiting if state[:2] in claimer.lines and state.enqueue_after <= now_ms
        ][: claimer.size]  # fmt: skip
        for state in taken:
            self.waiting.remove(state)
        later = [(line, self.find_waiting(*line, now_ms=now_ms, limit=0)[1]) for line in claimer.lines]
        await asyncio.sleep(0)
        records = [
            ClaimedRecord("", state.node_name, "", {}, state.enqueue_after, 0, "", "", 0, None) for state in taken
        ]
        return Attempt(records, [(line, at_ms) for line, at_ms in later if at_ms is not None])


class House:
    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.table = Table(self.clock)
        self.room = WaitingRoom(self.table, self.clock)  # type: ignore[arg-type]
        self.alarms = Scheduler("test", self.room.ring, self.clock)
        self.room.when_alarms_change(self.alarms.wake_by)

    def ask(
        self, *names: str, size: int = 1, gone: asyncio.Event | None = None
    ) -> asyncio.Task[Sequence[ClaimedRecord]]:
        left = gone or asyncio.Event()

        async def until_gone() -> None:
            await left.wait()

        patience = Patience(30_000, until_gone)
        return asyncio.create_task(self.room.claim("s", names or ("n",), size, patience, self.table.attempt))

    def add(self, *states: tuple[str, int]) -> None:
        """Commit states, given as node and delay."""
        new = [WaitingState("s", name, START + delay) for name, delay in states]
        self.table.waiting += new
        self.room.announce(new)

    async def all_asleep(self, count: int) -> None:
        await eventually(lambda: len(self.clock._sleepers) == count + 1)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    running = asyncio.create_task(made.alarms.run())
    yield made
    running.cancel()
    await asyncio.wait([running])


async def test_of_a_thousand_that_wait_as_many_look_as_there_are_states(house: House) -> None:
    asked = [house.ask() for _ in range(1_000)]
    await house.all_asleep(1_000)
    before = house.table.attempts
    house.add(*[("n", 0)] * 10)
    await eventually(lambda: sum(one.done() for one in asked) == 10)
    await house.all_asleep(990)
    # Those ten, and the few that each looked whether there was more.
    assert house.table.attempts - before <= 20
    assert house.table.reads == 0
    # Who has waited longest is served first.
    assert all(one.done() for one in asked[:10])
    house.room.close()
    assert sum(len(found) for found in await asyncio.gather(*asked)) == 10


async def test_states_due_later_wake_as_many_at_their_time(house: House) -> None:
    asked = [house.ask() for _ in range(200)]
    await house.all_asleep(200)
    before = house.table.attempts
    house.add(*[("n", 5_000)] * 10, ("n", 9_000))
    house.clock.advance_to(START + 5_000)
    await eventually(lambda: sum(one.done() for one in asked) == 10)
    await house.all_asleep(190)
    assert house.table.attempts - before <= 20
    house.clock.advance_to(START + 9_000)
    await eventually(lambda: sum(one.done() for one in asked) == 11)
    await house.all_asleep(189)
    house.room.close()
    assert sum(len(found) for found in await asyncio.gather(*asked)) == 11


async def test_one_that_takes_all_keeps_the_others_asleep(house: House) -> None:
    first, second = house.ask(size=100), house.ask(size=100)
    await house.all_asleep(2)
    before = house.table.attempts
    house.add(*[("n", 0)] * 30)
    assert len(await first) == 30
    assert (house.table.attempts - before, second.done()) == (1, False)
    house.room.close()
    assert await second == ()


async def test_a_state_meant_for_one_that_goes_away_wakes_the_next(house: House) -> None:
    gone = asyncio.Event()
    first, second = house.ask(gone=gone), house.ask()
    await house.all_asleep(2)
    gone.set()
    house.add(("n", 0))
    assert (len(await first), len(await second)) == (0, 1)


async def test_so_does_one_meant_for_a_claim_that_is_cancelled(house: House) -> None:
    first, second = house.ask(), house.ask()
    await house.all_asleep(2)
    house.add(("n", 0))
    first.cancel()
    assert len(await second) == 1
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_claim_that_takes_another_nodes_state_leaves_nobody_asleep_beside_one(house: House) -> None:
    both, only_b, only_a = house.ask("a", "b"), house.ask("b"), house.ask("a")
    await house.all_asleep(3)
    # Woken for a, the first takes what stands first, which is of b; the second then looks in vain.
    house.add(("b", 0), ("a", 0))
    found = [len(await both), len(await only_a)]
    assert found == [1, 1]
    house.room.close()
    assert await only_b == ()


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_no_state_is_due_while_one_who_would_take_it_sleeps(house: House, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    names = ["a", "b", "c"]
    leaving: list[asyncio.Event] = []
    asked: list[asyncio.Task[Any]] = []
    now = START
    added = 0
    for _ in range(120):
        match chance.randrange(4):
            case 0:
                leaving.append(asyncio.Event())
                picked = chance.sample(names, chance.randint(1, 3))
                asked.append(house.ask(*picked, size=chance.randint(1, 4), gone=leaving[-1]))
            case 1:
                states = [
                    (chance.choice(names), now - START + chance.choice([0, 0, 5])) for _ in range(chance.randint(1, 3))
                ]
                house.add(*states)
                added += len(states)
            case 2 if leaving:
                chance.choice(leaving).set()
            case _:
                now += chance.randint(0, 3)
                house.clock.advance_to(now)
        for _ in range(chance.randint(0, 4)):
            await asyncio.sleep(0)
    house.clock.advance_to(now + 5)
    await eventually(lambda: is_settled(house))
    house.room.close()
    assert sum(len(found) for found in await asyncio.gather(*asked)) + len(house.table.waiting) == added


def is_settled(house: House) -> bool:
    """Tell whether nothing is due for anybody in line."""
    return not any(state[:2] in house.room._lines for state in house.table.waiting)
