"""What holds off writers that had read a run before it was cancelled, where several write at once."""

from __future__ import annotations

import pytest

from exospherehost.server.records import RunCounts
from exospherehost.server.sql_store import SqlStore
from exospherehost.server.store import Contention, UnitOfWork
from tests.unit.server.test_event_log import prepared, state


def running(unit: UnitOfWork) -> int:
    run = prepared(unit)
    unit.add_states([state(1, run)])
    unit.count(run, RunCounts(pending=1))
    return run


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
