"""Events come in the order in which one transition made another possible, however transactions overlap."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from threading import Event

import pytest

from exospherehost.server.domain.records import ClaimedRecord, EventCursor, NewRun, NodeRecord, RunCounts, StateRecord
from exospherehost.server.domain.store import Reader, UnitOfWork
from exospherehost.server.storage.sql.store import SqlStore
from tests._support.databases import Database

FROM_THE_FIRST = EventCursor(0, 0, 0)


@pytest.fixture
def stores(shared: Database) -> Iterator[tuple[SqlStore, SqlStore]]:
    """The stores of two servers."""
    with ExitStack() as stack:
        opened = shared.open(), shared.open()
        for store in opened:
            stack.callback(store.close)
        yield opened


def start_run(unit: UnitOfWork) -> int:
    """Start a run without states."""
    stored = unit.save_version(
        graph_id="1" * 24,
        version_id="2" * 24,
        namespace="space",
        name="g",
        document={},
        secrets={},
        errors=[],
        now_ms=1,
    )
    return unit.add_run(NewRun("run", "space", "g", stored.latest.id, {}, 1)).key


def add_state(unit: UnitOfWork, run_key: int) -> None:
    """Add a state that is due."""
    state = StateRecord(
        id="3" * 24,
        run_key=run_key,
        namespace="space",
        node_name="Step",
        identifier="a",
        status="CREATED",
        inputs={},
        outputs={},
        error=None,
        parents={},
        retry_count=0,
        fanout_id=None,
        enqueue_after=1,
        created_at=1,
        updated_at=1,
    )
    unit.add_states([state])
    unit.count(run_key, RunCounts(pending=1))


def events(reader: Reader, run_key: int) -> list[str]:
    """Return the statuses that the run's log tells of, and see that nothing is withheld."""
    page = reader.read_events(run_key, FROM_THE_FIRST, rows=100)
    assert not page.withheld
    assert not page.full
    return [transition.status for transition in page.transitions]


@pytest.mark.parametrize("deed", ["claim", "cancel"])
async def test_a_transaction_that_began_before_what_it_acts_on_comes_behind_it(
    stores: tuple[SqlStore, SqlStore], deed: str
) -> None:
    one, other = stores
    run_key = await one.write(start_run)
    begun, go_on = Event(), Event()

    def act(unit: UnitOfWork) -> list[ClaimedRecord] | int | None:
        # With something written it has its number, which is lower than that of all that begin later.
        unit.save_node(NodeRecord("4" * 24, "space", "Any", "r", "space", {}, {}, (), 1, 1))
        begun.set()
        assert go_on.wait(60)
        return unit.claim("space", ["Step"], limit=1, now_ms=2) if deed == "claim" else unit.cancel_run(run_key, 2)

    acting = asyncio.ensure_future(other.write(act))
    await asyncio.to_thread(begun.wait, 60)
    await one.write(lambda unit: add_state(unit, run_key))
    go_on.set()
    assert await acting
    expected = ["CREATED", "QUEUED" if deed == "claim" else "PRUNED"]
    assert await one.read(lambda reader: events(reader, run_key)) == expected
    last = await one.read(lambda reader: reader.last_event(run_key))
    assert last is not None
    assert last.status == expected[-1]
