"""Whoever cancels a run, or deletes or puts a graph, gets his turn before those who come later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from threading import Event

import pytest

from exospherehost.server.domain.records import GraphRecord, NewRun, RunCounts, StateRecord
from exospherehost.server.domain.store import UnitOfWork
from exospherehost.server.storage.postgresql import writer
from exospherehost.server.storage.sql.store import SqlStore
from tests._support.databases import Database
from tests._support.eventually import eventually

STATE = "3" * 24
# The first try is a short one; the one that counts waits for long.
WAITS_FOR_LONG = """
SELECT count(*) FROM pg_locks
WHERE NOT granted AND locktype = 'advisory' AND mode = 'ExclusiveLock' AND waitstart < now() - interval '0.2 s'
"""
WAITS_BEHIND = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory' AND mode = 'ShareLock'"
WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.fixture
def stores(shared: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[SqlStore, SqlStore, SqlStore]]:
    """The stores of three servers, which are patient."""
    monkeypatch.setattr(writer, "_PATIENT_LOCK_TIMEOUT_MS", 60_000)
    with ExitStack() as stack:
        opened = shared.open(), shared.open(), shared.open()
        for store in opened:
            stack.callback(store.close)
        yield opened


def put(unit: UnitOfWork, number: int = 1) -> GraphRecord:
    """Put a version of the graph."""
    return unit.save_version(
        graph_id=f"{number:024x}",
        version_id=f"{number + 1000:024x}",
        namespace="space",
        name="g",
        document={},
        secrets={},
        errors=[],
        now_ms=number,
    )


def start_run(unit: UnitOfWork) -> int:
    """Start a run of the graph with a state."""
    key = unit.add_run(NewRun("run", "space", "g", put(unit).latest.id, {}, 1)).key
    times = {"enqueue_after": 1, "created_at": 1, "updated_at": 1}
    texts = {"namespace": "space", "node_name": "Step", "identifier": "a", "status": "CREATED"}
    nothing = {"inputs": {}, "outputs": {}, "error": None, "parents": {}, "retry_count": 0, "fanout_id": None}
    unit.add_states([StateRecord(id=STATE, run_key=key, **texts, **nothing, **times)])  # type: ignore[arg-type]
    unit.count(key, RunCounts(pending=1))
    return key


@asynccontextmanager
async def held(store: SqlStore, hold: Callable[[UnitOfWork], object]) -> AsyncGenerator[None, None]:
    """Have a unit under way that holds something until the block ends."""
    begun, go_on = Event(), Event()

    def work(unit: UnitOfWork) -> None:
        hold(unit)
        begun.set()
        assert go_on.wait(120)

    holding = asyncio.ensure_future(store.write(work))
    try:
        await asyncio.to_thread(begun.wait, 120)
        yield
    finally:
        go_on.set()
        await holding


@pytest.mark.parametrize("concerns", [STATE, None])
async def test_who_comes_after_a_cancel_that_waits_sees_the_run_cancelled(
    stores: tuple[SqlStore, SqlStore, SqlStore], shared: Database, concerns: str | None
) -> None:
    one, other, third = stores
    key = await one.write(start_run)
    async with held(one, lambda unit: unit.get_run(key)):
        cancelling = asyncio.ensure_future(other.write(lambda unit: unit.cancel_run(key, 7)))
        await eventually(lambda: shared.query(WAITS_FOR_LONG) == [(1,)], 60)
        late = asyncio.ensure_future(third.write(lambda unit: unit.get_run(key).cancelled_at, concerns=concerns))
        await eventually(lambda: late.done() or shared.query(WAITS_BEHIND) == [(1,)], 60)
        assert not late.done()
        assert not cancelling.done()
    assert (await cancelling, await late) == (1, 7)


async def test_who_comes_after_a_deletion_that_waits_finds_no_graph(
    stores: tuple[SqlStore, SqlStore, SqlStore], shared: Database
) -> None:
    one, other, third = stores
    await one.write(put)

    def delete(unit: UnitOfWork) -> None:
        graph_key = unit.take_graph("space", "g")
        assert graph_key is not None
        unit.drop_graph(graph_key)

    async with held(one, lambda unit: unit.hold_graph("space", "g")):
        deleting = asyncio.ensure_future(other.write(delete))
        await eventually(lambda: shared.query(WAITS_FOR_LONG) == [(1,)], 60)
        late = asyncio.ensure_future(third.write(lambda unit: unit.hold_graph("space", "g")))
        await eventually(lambda: late.done() or shared.query(WAITS_BEHIND) == [(1,)], 60)
        assert not late.done()
        assert not deleting.done()
    await deleting
    assert await late is None


async def test_a_graph_put_while_it_is_deleted_is_a_new_one(
    stores: tuple[SqlStore, SqlStore, SqlStore], shared: Database
) -> None:
    one, other, _third = stores
    # Its row stays, for the version that the run was triggered with.
    await one.write(start_run)

    def delete(unit: UnitOfWork) -> None:
        graph_key = unit.take_graph("space", "g")
        assert graph_key is not None
        unit.drop_graph(graph_key)

    async with held(one, delete):
        putting = asyncio.ensure_future(other.write(lambda unit: put(unit, 2)))
        await eventually(lambda: shared.query(WAITS) != [(0,)], 60)
    graph = await putting
    assert (graph.id, graph.created_at) == (f"{2:024x}", 2)
