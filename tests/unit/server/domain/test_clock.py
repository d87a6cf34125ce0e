from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from exospherehost.server.domain.clock import Clock, SystemClock, as_datetime, as_epoch_ms
from exospherehost.testing.clock import ManualClock


def test_instants_keep_their_milliseconds_both_ways() -> None:
    instant = datetime(2026, 3, 1, 9, 30, 2, 7_000, tzinfo=UTC)
    assert as_datetime(as_epoch_ms(instant)) == instant
    assert as_epoch_ms(as_datetime(1_772_357_402_007)) == 1_772_357_402_007


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock(1_000)])
async def test_waiting_ends_when_the_time_has_come_or_when_woken(clock: Clock) -> None:
    wake = asyncio.Event()
    await asyncio.wait_for(clock.wait(wake, clock.now_ms()), 10)
    waiting = asyncio.ensure_future(clock.wait(wake, None))
    far = asyncio.ensure_future(clock.wait(wake, clock.now_ms() + 10**9))
    await asyncio.sleep(0)
    assert not waiting.done()
    wake.set()
    await asyncio.wait_for(asyncio.gather(waiting, far), 10)


async def test_the_wall_clock_lets_go_on_time() -> None:
    clock = SystemClock()
    until = clock.now_ms() + 20
    await asyncio.wait_for(clock.wait(asyncio.Event(), until), 10)
    assert clock.now_ms() >= until


async def test_a_clock_by_hand_lets_go_when_it_is_moved_far_enough() -> None:
    clock = ManualClock(1_000)
    waiting = asyncio.ensure_future(clock.wait(asyncio.Event(), 2_000))
    await asyncio.sleep(0)
    clock.advance_to(1_999)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    await asyncio.to_thread(clock.advance_to, 2_000)
    await asyncio.wait_for(waiting, 10)
