"""The log of transitions: which statements read it, what is written of units that fail, what is withheld."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Select
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as dialect

from exospherehost.server.domain.clock import SystemClock
from exospherehost.server.domain.records import (
    EventCursor,
    EventPage,
    NewRun,
    RunCounts,
    RunListing,
    RunRecord,
    StateRecord,
    TransitionRecord,
)
from exospherehost.server.domain.store import Reader, UnitOfWork
from exospherehost.server.http.event_stream import EventStream
from exospherehost.server.service.followers import Followers, RunEnd
from exospherehost.server.storage.opening import open_store
from exospherehost.server.storage.sql import events
from exospherehost.server.storage.sql.store import SqlStore
from tests._support.eventually import eventually

BEGINNING = EventCursor()


def state(number: int, run_key: int) -> StateRecord:
    name = f"{number:024x}"
    return StateRecord(name, run_key, "space", "Step", "a", "CREATED", {}, {}, None, {}, 0, None, 0, 7, 7)


def prepared(unit: UnitOfWork) -> int:
    version = "0" * 24
    unit.save_version(
        graph_id=version, version_id=version, namespace="space", name="g", document={}, secrets={}, errors=(), now_ms=1
    )
    return unit.add_run(NewRun("run", "space", "g", version, {}, 1)).key


def told(run_key: int, after: EventCursor = BEGINNING, *, rows: int = 100) -> Callable[[Reader], EventPage]:
    return lambda reader: reader.read_events(run_key, after, rows=rows)


def ids(page: EventPage) -> list[int]:
    return [int(transition.state_id, 16) for transition in page.transitions]


async def test_of_units_that_share_a_transaction_those_that_fail_leave_nothing_in_the_log(store: SqlStore) -> None:
    run = await store.write(prepared)

    def nested(unit: UnitOfWork) -> None:
        unit.add_states([state(1, run)])
        with suppress(ZeroDivisionError), unit.nested():
            unit.add_states([state(2, run)])
            raise ZeroDivisionError
        unit.add_states([state(3, run)])

    def failing(unit: UnitOfWork) -> None:
        unit.add_states([state(4, run)])
        raise ZeroDivisionError

    changed: list[set[int]] = []
    store.when_runs_change(lambda runs: changed.append(set(runs)), wanted=lambda: True)
    results = await asyncio.gather(
        store.write(nested),
        store.write(failing),
        store.write(lambda unit: unit.add_states([state(5, run)])),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), ZeroDivisionError, type(None)]
    assert ids(await store.read(told(run))) == [1, 3, 5]
    await eventually(lambda: changed)
    assert set().union(*changed) == {run}


async def test_nobody_is_called_who_does_not_want_to_know(store: SqlStore) -> None:
    run = await store.write(prepared)
    changed: list[Any] = []
    asked: list[None] = []
    store.when_runs_change(changed.append, wanted=lambda: bool(asked.append(None)))
    await store.write(lambda unit: unit.add_states([state(1, run)]))
    await store.write(lambda unit: unit.save_node)
    assert (len(asked), changed) == (1, [])


async def test_a_page_ends_with_a_row_and_the_next_begins_behind_it(store: SqlStore) -> None:
    run = await store.write(prepared)
    await store.write(lambda unit: unit.add_states([state(number, run) for number in range(1_000)]))
    first = await store.read(told(run, rows=2))
    assert (ids(first), first.full) == (list(range(400)), True)
    rest = await store.read(told(run, first.following))
    assert (ids(rest), rest.full, rest.withheld) == (list(range(400, 1_000)), False, False)
    amid = await store.read(told(run, first.transitions[250].place))
    assert ids(amid) == list(range(251, 1_000))
    last = await store.read(lambda reader: reader.last_event(run))
    assert last == rest.transitions[-1]


async def test_a_store_without_a_log_writes_none(tmp_path: Path) -> None:
    store = open_store(tmp_path / "test.db", logs_events=False)
    try:
        run = await store.write(prepared)
        await store.write(lambda unit: unit.add_states([state(1, run)]))
        assert ids(await store.read(told(run))) == []
        assert await store.read(lambda reader: reader.last_event(run)) is None
    finally:
        store.close()


@pytest.mark.parametrize("statement", [events._READ, events._WITHHELD, events._LAST])
def test_the_log_is_read_from_its_index_in_order(tmp_path: Path, statement: Select[Any]) -> None:
    open_store(tmp_path / "test.db").close()
    text = str(statement.compile(dialect=dialect.dialect(paramstyle="named")))
    parameters = {"of_run": 1, "from_writer": 0, "from_key": 0, "limit": 1, "param_1": 1, "param_2": -1}
    with closing(sqlite3.connect(tmp_path / "test.db")) as connection:
        plan = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", parameters)]
    assert len(plan) == 1, plan
    assert "INDEX ix_run_events_run_key (run_key=?" in plan[0]


def test_where_several_write_only_what_is_settled_is_read() -> None:
    read, withheld, add = (
        str(statement.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
        for statement in (events._READ, events._WITHHELD, events.ADD_EVENTS)
    )
    oldest = "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)"
    assert f"run_events.written_by < {oldest}" in read
    assert f"run_events.written_by >= {oldest}" in withheld
    assert "CAST(CAST(pg_current_xact_id() AS text) AS bigint)" in add


class Withholding:
    """A store whose log is withheld until it is settled; then the run has ended."""

    def __init__(self) -> None:
        self.settled = False
        self.looked = 0

    async def read(self, work: Callable[[Any], Any]) -> Any:
        return work(self)

    def find_listing(self, _run_key: int) -> RunListing:
        return RunListing("run", "g", RunCounts(succeeded=1), 1, None)

    def read_events(self, _run_key: int, after: EventCursor, *, rows: int) -> EventPage:
        assert rows > 1
        self.looked += 1
        found = [self.last_event(1)] if self.settled and after == BEGINNING else []
        return EventPage(found, EventCursor(5, 2) if found else after, full=False, withheld=not self.settled)

    def last_event(self, _run_key: int) -> TransitionRecord:
        return TransitionRecord(EventCursor(5, 1, 0), "s", "a", "Step", "SUCCESS", 9)


async def test_a_run_has_not_ended_while_something_of_it_is_withheld() -> None:
    store = Withholding()
    followers = Followers(store, SystemClock())  # type: ignore[arg-type]
    stream = followers.follow(RunRecord(1, "run", "space", "g", "v", {}), BEGINNING)
    first = asyncio.ensure_future(anext(stream))
    # No commit wakes it: it looks again by itself.
    await eventually(lambda: store.looked > 2)
    assert not first.done()
    store.settled = True
    assert await asyncio.wait_for(first, 10) == [store.last_event(1)]
    assert await anext(stream) == RunEnd(EventCursor(5, 1, 1), "SUCCESS", 9)
    assert [part async for part in stream] == []
    assert not followers.is_occupied()


@pytest.fixture
def wide(tmp_path: Path) -> Iterator[SqlStore]:
    opened = open_store(tmp_path / "wide.db")
    yield opened
    opened.close()


async def test_no_more_is_read_than_is_taken(wide: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await wide.write(prepared)
    await wide.write(lambda unit: unit.add_states([state(number, run) for number in range(20_000)]))
    pages: list[EventPage] = []
    read_events = events.SqlEvents.read_events

    def counted(self: Any, *arguments: Any, **options: Any) -> EventPage:
        pages.append(read_events(self, *arguments, **options))
        return pages[-1]

    monkeypatch.setattr(events.SqlEvents, "read_events", counted)
    followers = Followers(wide, SystemClock())
    sent: list[bytes] = []
    stuck = asyncio.Event()

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))
        if len(sent) == 4:
            stuck.set()
            await asyncio.Event().wait()

    async def receive() -> Any:
        await stuck.wait()
        return {"type": "http.disconnect"}

    record = RunRecord(run, "run", "space", "g", "v", {})
    await asyncio.wait_for(EventStream(followers.follow(record, BEGINNING))({}, receive, send), 30)
    assert len(pages) == 1
    assert len(pages[0].transitions) < 2_000
    assert max(map(len, sent)) < 100_000
    assert not followers.is_occupied()
