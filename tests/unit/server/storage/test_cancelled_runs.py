"""What holds off writers that had read a run before it was cancelled, where several write at once."""

from __future__ import annotations

import asyncio
from threading import Event

import pytest

from exospherehost.server.domain.errors import Contention
from exospherehost.server.domain.records import NewRun, RunCounts
from exospherehost.server.domain.store import UnitOfWork
from exospherehost.server.storage.sql.store import SqlStore
from tests.unit.server.storage.test_event_log import prepared, state


def running(unit: UnitOfWork) -> int:
    run = prepared(unit)
    unit.add_states([state(1, run)])
    unit.count(run, RunCounts(pending=1))
    return run


def running_too(unit: UnitOfWork) -> int:
    version = unit.get_run(1).version_id
    return unit.add_run(NewRun("another", "space", "graph", version, {}, 1)).key


async def test_whose_run_is_cancelled_meanwhile_has_nobody_else_in_the_transaction_tried_anew(store: SqlStore) -> None:
    cancelled, other = await store.write(running), await store.write(running_too)
    await store.write(lambda unit: unit.cancel_run(cancelled, 5))
    attempts: list[int] = []
    started, go_on = Event(), Event()

    def hold(_unit: UnitOfWork) -> None:
        started.set()
        assert go_on.wait(10)

    def counted(unit: UnitOfWork) -> None:
        attempts.append(unit.get_run(other).key)
        unit.count(other, RunCounts(pending=1))

    held = asyncio.ensure_future(store.write(hold))
    await asyncio.to_thread(started.wait, 10)
    # These wait behind the first, so they share the next transaction.
    stale = asyncio.ensure_future(store.write(lambda unit: unit.count(cancelled, RunCounts(pending=1))))
    fresh = asyncio.ensure_future(store.write(counted))
    await asyncio.sleep(0)
    go_on.set()
    await held
    await fresh
    with pytest.raises(Contention):
        await stale
    # Once with all of them, once with care.
    assert attempts == [other] * 2


async def test_what_would_be_created_in_a_run_cancelled_since_is_tried_anew(store: SqlStore) -> None:
    run = await store.write(running)
    attempts: list[int | None] = []

    def stale(unit: UnitOfWork) -> None:
        attempts.append(unit.get_run(run).cancelled_at)
        unit.add_states([state(2, run)])
        unit.count(run, RunCounts(pending=1))

    assert await store.write(lambda unit: unit.cancel_run(run, 5)) == 1
    with pytest.raises(Contention):
        await store.write(stale)
    assert len(attempts) > 1
    assert set(attempts) == {5}
    states = await store.read(lambda reader: reader.list_states(run, namespace=None))
    assert [found.status for found in states] == ["PRUNED"]


async def test_a_run_is_cancelled_once_and_only_while_it_runs(store: SqlStore) -> None:
    run = await store.write(running)
    assert await store.write(lambda unit: unit.cancel_run(run, 5)) == 1
    assert await store.write(lambda unit: unit.cancel_run(run, 6)) is None
    listing = await store.read(lambda reader: reader.find_listing(run))
    assert listing is not None
    assert (listing.cancelled_at, listing.counts) == (5, RunCounts(succeeded=1))
