"""What runs beside requests, from the server's start to its stop: schedules, leases, waiting claims, retention."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from exospherehost.server.domain.clock import Clock
from exospherehost.server.domain.store import Store
from exospherehost.server.scheduler import Scheduler
from exospherehost.server.service.service import Service

# How often to look for work that another server left unannounced: its leases, its schedules, its waiting states.
_LOOK_FOR_OTHERS_EVERY_MS = 5_000

Work = Coroutine[Any, Any, None]


def connect_news(store: Store, service: Service) -> None:
    """Have the store announce its commits to the claims that wait and to those who follow runs."""
    room, followers = service.waiting_room, service.followers
    store.when_states_wait(room.announce, wanted=room.is_occupied)
    store.when_runs_change(followers.announce, wanted=followers.is_occupied)
    store.when_news_are_missed(partial(_look_again, service))


def scheduled_work(store: Store, service: Service, clock: Clock, keep_runs: timedelta | None) -> dict[str, Work]:
    """Return the work that schedulers do, by name.

    Args:
        store: The store; where other servers share it, every scheduler also looks every few seconds.
        service: The service.
        clock: The clock.
        keep_runs: How long finished runs are kept; None for ever.
    """
    every_ms = _LOOK_FOR_OTHERS_EVERY_MS if store.is_shared else None
    crons = Scheduler("crons", service.fire_crons, clock, at_least_every_ms=every_ms)
    service.when_graphs_change(crons.wake)
    # Even where leases are not offered: the database may hold some from an earlier start.
    leases = Scheduler("leases", service.end_expired_leases, clock, at_least_every_ms=every_ms)
    service.when_leases_are_given(leases.wake_by)
    room = service.waiting_room
    ring = _ring_and_look(service, clock) if store.is_shared else room.ring
    alarms = Scheduler("waiting", ring, clock, at_least_every_ms=every_ms)
    room.when_alarms_change(alarms.wake_by)
    work: dict[str, Work] = {"crons": crons.run(), "leases": leases.run(), "waiting": alarms.run()}
    if keep_runs is not None:
        retention = Scheduler("retention", partial(service.delete_old_runs, keep_runs), clock)
        work["retention"] = retention.run()
    return work


@contextlib.asynccontextmanager
async def running(work: Mapping[str, Work]) -> AsyncGenerator[None, None]:
    """Run each piece of work as a task until the block ends.

    Args:
        work: The pieces by name.
    """
    tasks = [asyncio.create_task(piece, name=f"exospherehost-{name}") for name, piece in work.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _look_again(service: Service) -> None:
    service.waiting_room.look_again()
    service.followers.look_again()


def _ring_and_look(service: Service, clock: Clock) -> Callable[[], Awaitable[int | None]]:
    """Return what rings the waiting room's alarms and, every few seconds, makes everyone who waits look."""
    look_at = 0

    async def ring() -> int | None:
        nonlocal look_at
        if clock.now_ms() >= look_at:
            look_at = clock.now_ms() + _LOOK_FOR_OTHERS_EVERY_MS
            _look_again(service)
        return await service.waiting_room.ring()

    return ring
