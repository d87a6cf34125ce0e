"""How units of work share transactions, and yet fail alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from threading import Event
from typing import NoReturn

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError

from exospherehost.server.domain.errors import Contention, StoreError
from exospherehost.server.domain.records import NewRun, NodeRecord, RunCounts, StateChange, StateRecord
from exospherehost.server.domain.store import Reader, UnitOfWork
from exospherehost.server.storage.sql.base import TransactionLost
from exospherehost.server.storage.sql.store import SqlStore
from exospherehost.server.storage.sql.unit import SqlUnit
from tests._support.databases import Database


def node(name: str) -> NodeRecord:
    return NodeRecord(name.ljust(24, "0"), "space", name, "r", "space", {}, {}, (), 1, 1)


def names(reader: Reader) -> list[str]:
    return [found.name for found in reader.list_nodes("space")]


class Refused(Exception):
    pass


def save_and_refuse(unit: UnitOfWork) -> NoReturn:
    unit.save_node(node("refused"))
    raise Refused


async def test_of_units_that_wait_together_one_that_fails_fails_alone(store: SqlStore) -> None:
    started, go_on = Event(), Event()

    def hold(unit: UnitOfWork) -> None:
        started.set()
        assert go_on.wait(10)
        unit.save_node(node("first"))

    held = asyncio.ensure_future(store.write(hold))
    await asyncio.to_thread(started.wait, 10)
    # These wait behind the first, so they share the next transaction.
    others = [
        asyncio.ensure_future(store.write(lambda unit: unit.save_node(node("second")))),
        asyncio.ensure_future(store.write(save_and_refuse)),
        asyncio.ensure_future(store.write(lambda unit: unit.save_node(node("third")))),
    ]
    await asyncio.sleep(0)
    go_on.set()
    results = await asyncio.gather(held, *others, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), type(None), Refused, type(None)]
    assert await store.read(names) == ["first", "second", "third"]


async def test_a_unit_that_fails_on_its_own_leaves_nothing(store: SqlStore) -> None:
    with pytest.raises(Refused):
        await store.write(save_and_refuse)
    assert await store.read(names) == []
    await store.write(lambda unit: unit.save_node(node("next")))
    assert await store.read(names) == ["next"]


async def test_nothing_remains_of_a_nested_part_that_raises(store: SqlStore) -> None:
    def work(unit: UnitOfWork) -> None:
        unit.save_node(node("outside"))
        with pytest.raises(Refused), unit.nested():
            save_and_refuse(unit)

    await store.write(work)
    assert await store.read(names) == ["outside"]


async def test_what_was_answered_is_in_the_database(store: SqlStore, database: Database) -> None:
    await store.write(lambda unit: unit.save_node(node("durable")))
    assert database.query("SELECT name FROM nodes") == [("durable",)]


async def test_a_unit_that_lost_a_race_is_run_again(store: SqlStore) -> None:
    attempts: list[int] = []

    def work(unit: UnitOfWork) -> str:
        attempts.append(1)
        unit.save_node(node(f"attempt{len(attempts)}"))
        if len(attempts) < 3:
            raise Contention
        return "done"

    assert await store.write(work) == "done"
    assert await store.read(names) == ["attempt3"]


async def test_a_unit_that_always_loses_gives_up(store: SqlStore) -> None:
    def work(_unit: UnitOfWork) -> None:
        raise Contention

    with pytest.raises(Contention):
        await store.write(work)


async def test_of_units_waited_for_together_each_has_its_own_outcome(store: SqlStore) -> None:
    attempts: list[int] = []

    def lose_twice(unit: UnitOfWork) -> str:
        attempts.append(1)
        unit.save_node(node(f"attempt{len(attempts)}"))
        if len(attempts) < 3:
            raise Contention
        return "late"

    def save(unit: UnitOfWork) -> str:
        unit.save_node(node("saved"))
        return "saved"

    def always_lose(_unit: UnitOfWork) -> str:
        raise Contention

    units: list[tuple[Callable[[UnitOfWork], str], str | None]] = [
        (save_and_refuse, None),
        (lose_twice, "1" * 24),
        (always_lose, None),
        (save, None),
    ]
    refused, late, lost, saved = await store.write_each(units)
    assert (type(refused), late, type(lost), saved) == (Refused, "late", Contention, "saved")
    assert await store.read(names) == ["saved", "attempt3"]
    assert await store.write_each([]) == []


@pytest.mark.sqlite
async def test_a_commit_that_fails_is_told_to_all_who_shared_it_and_the_store_goes_on(store: SqlStore) -> None:
    started, go_on = Event(), Event()

    def hold(_unit: UnitOfWork) -> None:
        started.set()
        assert go_on.wait(10)

    def orphan(unit: UnitOfWork) -> None:
        assert isinstance(unit, SqlUnit)
        unit._connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        unit.add_states([state_of_run(12345)])

    held = asyncio.ensure_future(store.write(hold))
    await asyncio.to_thread(started.wait, 10)
    sharing = [
        asyncio.ensure_future(store.write(lambda unit: unit.save_node(node("shared")))),
        asyncio.ensure_future(store.write(orphan)),
    ]
    await asyncio.sleep(0)
    go_on.set()
    results = await asyncio.gather(held, *sharing, return_exceptions=True)
    assert [isinstance(result, IntegrityError) for result in results] == [False, True, True]
    with pytest.raises(IntegrityError):
        await store.write(orphan)
    await store.write(lambda unit: unit.save_node(node("next")))
    assert await store.read(names) == ["next"]


def state_of_run(run_key: int) -> StateRecord:
    return StateRecord("0" * 24, run_key, "space", "n", "i", "CREATED", {}, {}, None, {}, 0, None, 0, 0, 0)


async def test_of_units_that_share_a_writing_one_whose_values_do_not_fit_fails_alone(store: SqlStore) -> None:
    started, go_on = Event(), Event()

    def hold(unit: UnitOfWork) -> None:
        unit.save_version(
            graph_id="1" * 24,
            version_id="2" * 24,
            namespace="space",
            name="graph",
            document={},
            secrets={},
            errors=(),
            now_ms=1,
        )
        started.set()
        assert go_on.wait(10)

    def start(number: int, created_at: int) -> Callable[[UnitOfWork], None]:
        def work(unit: UnitOfWork) -> None:
            run = unit.add_run(NewRun(f"run-{number}", "space", "graph", "2" * 24, {}, created_at))
            unit.count(run.key, RunCounts(pending=number))
            unit.add_states([state_of_run(run.key)._replace(id=str(number) * 24)])

        return work

    held = asyncio.ensure_future(store.write(hold))
    await asyncio.to_thread(started.wait, 10)
    sharing = [
        asyncio.ensure_future(store.write(work)) for work in (start(3, 1), start(4, 2**70), start(5, 1), start(6, 1))
    ]
    await asyncio.sleep(0)
    go_on.set()
    results = await asyncio.gather(held, *sharing, return_exceptions=True)
    misfits = [isinstance(result, (OverflowError, psycopg.DataError)) for result in results]
    assert misfits == [False, False, True, False, False]
    assert [result for result, misfit in zip(results, misfits, strict=True) if not misfit] == [None] * 4
    total, listed = await store.read(lambda reader: reader.list_runs("space", offset=0, limit=10))
    assert total == 3
    assert [(run.id, run.counts.pending) for run in listed] == [("run-6", 6), ("run-5", 5), ("run-3", 3)]
    written = await store.read(lambda reader: [reader.find_state(str(number) * 24) for number in (3, 4, 5, 6)])
    assert [state is None for state in written] == [False, True, False, False]


def save_graph(unit: UnitOfWork) -> None:
    times = {"errors": (), "now_ms": 1}
    ids = {"graph_id": "1" * 24, "version_id": "2" * 24}
    unit.save_version(**ids, namespace="space", name="graph", document={}, secrets={}, **times)


async def test_a_text_is_read_as_it_was_written_whatever_it_holds(store: SqlStore) -> None:
    texts = ["a\0b", "\ufdd0", "\ufdd01\ufdd00\0", "\\u0000", '"\\\n\x7f é 😀']
    ids = [f"{number:024x}" for number in range(len(texts))]

    def start(unit: UnitOfWork) -> None:
        run = unit.add_run(NewRun("run", "space", "graph", "2" * 24, {"key": texts[0]}, 1))
        unit.add_states(
            [
                state_of_run(run.key)._replace(id=state_id, identifier=text, inputs={"text": text})
                for state_id, text in zip(ids, texts, strict=True)
            ]
        )

    def fail(unit: UnitOfWork) -> None:
        for state_id, text in zip(ids, texts, strict=True):
            state = unit.find_state(state_id)
            assert state is not None
            unit.change_state(state, StateChange("ERRORED", {"text": text}, text, 1, 1))

    await store.write(save_graph)
    await store.write(start)
    # Read ahead, the first is changed when the transaction ends; the others are changed at once.
    await store.write(fail, concerns=ids[0])
    for state_id, text in zip(ids, texts, strict=True):
        state = await store.read(lambda reader, of=state_id: reader.find_state(of))  # type: ignore[misc]
        assert state is not None
        assert [state.identifier, state.inputs, state.outputs, state.error] == [
            text,
            {"text": text},
            {"text": text},
            text,
        ]


@pytest.mark.sqlite
async def test_a_transaction_that_the_database_ends_fails_as_a_whole_and_the_store_goes_on(store: SqlStore) -> None:
    started, go_on = Event(), Event()

    def hold(_unit: UnitOfWork) -> None:
        started.set()
        assert go_on.wait(10)

    def lose(unit: UnitOfWork) -> NoReturn:
        assert isinstance(unit, SqlUnit)
        unit._connection.exec_driver_sql("ROLLBACK")
        raise Refused

    held = asyncio.ensure_future(store.write(hold))
    await asyncio.to_thread(started.wait, 10)
    sharing = [
        asyncio.ensure_future(store.write(work))
        for work in (
            lambda unit: unit.save_node(node("before")),
            lose,
            lambda unit: unit.save_node(node("after")),
        )
    ]
    await asyncio.sleep(0)
    go_on.set()
    results = await asyncio.gather(held, *sharing, return_exceptions=True)
    assert [isinstance(result, TransactionLost) for result in results] == [False, True, True, True]
    await store.write(lambda unit: unit.save_node(node("next")))
    assert await store.read(names) == ["next"]


async def test_a_caller_that_went_away_does_not_undo_its_unit(store: SqlStore) -> None:
    started, go_on = Event(), Event()

    def work(unit: UnitOfWork) -> None:
        started.set()
        assert go_on.wait(10)
        unit.save_node(node("kept"))

    writing = asyncio.ensure_future(store.write(work))
    await asyncio.to_thread(started.wait, 10)
    writing.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await store.write(lambda unit: unit.save_node(node("after")))
    assert await store.read(names) == ["kept", "after"]


async def test_a_closed_store_says_so(store: SqlStore) -> None:
    store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.write(lambda unit: unit.save_node(node("late")))


async def test_nothing_is_left_of_a_part_that_failed_although_its_failure_was_caught(
    store: SqlStore, database: Database
) -> None:
    def go_on_after_a_failure(unit: UnitOfWork) -> None:
        with contextlib.suppress(Exception), unit.nested():
            unit.add_run(NewRun("run", "space", "graph", "2" * 24, {}, 1))
            raise Refused
        unit.save_node(node("after"))

    await store.write(go_on_after_a_failure)
    assert database.query("SELECT id FROM runs") == []
    assert database.query("SELECT namespace FROM run_totals WHERE total <> 0") == []
    assert await store.read(names) == ["after"]
