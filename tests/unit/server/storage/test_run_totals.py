"""A list of runs tells how many there are without counting them, and is right whatever was done and undone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from itertools import count
from typing import NoReturn

import pytest
from click.testing import CliRunner

from exospherehost.cli.app import cli
from exospherehost.server.domain.errors import Contention
from exospherehost.server.domain.records import NewRun, RunCounts
from exospherehost.server.domain.store import Reader, UnitOfWork
from exospherehost.server.storage.opening import open_store
from exospherehost.server.storage.run_totals import WrongTotal
from exospherehost.server.storage.schema import open_schema
from exospherehost.server.storage.sql.store import SqlStore
from exospherehost.server.storage.sql.tables import runs as runs_table
from tests._support.databases import Database

SPACES = ("one", "two", "three")
VERSION = "v" * 24
COUNTED = "SELECT namespace, count(*) FROM runs WHERE namespace <> '' GROUP BY namespace"
_numbers = count(1)


class Refused(Exception):
    pass


@pytest.fixture
def stores(database: Database) -> Iterator[list[SqlStore]]:
    """Stores with several writers on one database, or the one that a file can have."""
    opened = [open_store(database.setting) for _number in range(1 if database.is_file else 3)]
    yield opened
    for store in opened:
        store.close()


def put_graph(unit: UnitOfWork) -> None:
    unit.save_version(
        graph_id="g" * 24,
        version_id=VERSION,
        namespace="one",
        name="graph",
        document={},
        secrets={},
        errors=(),
        now_ms=1,
    )


def add(unit: UnitOfWork, *spaces: str) -> None:
    for space in spaces:
        unit.add_run(NewRun(f"run-{next(_numbers)}", space, "graph", VERSION, {}, 1))


def add_and_refuse(unit: UnitOfWork) -> NoReturn:
    add(unit, *SPACES)
    raise Refused


def add_write_and_refuse(unit: UnitOfWork) -> NoReturn:
    """As above, after what can only be undone by the database."""
    add(unit, *SPACES)
    unit.list_runs("one", offset=0, limit=1)
    raise Refused


def add_a_part(unit: UnitOfWork) -> None:
    add(unit, "one")
    with pytest.raises(Refused), unit.nested():
        add_and_refuse(unit)


def add_after_losing(lost: list[int]) -> Callable[[UnitOfWork], None]:
    def work(unit: UnitOfWork) -> None:
        add(unit, "two")
        lost.append(1)
        if len(lost) < 3:
            raise Contention

    return work


def hide_some(unit: UnitOfWork) -> None:
    for run in unit.list_first_runs(0, limit=3):
        unit.hide_run(run)


def hide_and_refuse(unit: UnitOfWork) -> NoReturn:
    hide_some(unit)
    raise Refused


def delete_hidden(unit: UnitOfWork) -> None:
    for key, version_id in unit.list_hidden_runs(limit=10):
        unit.drop_run(key, version_id)


def totals(reader: Reader) -> dict[str, int]:
    told = {space: reader.list_runs(space, offset=0, limit=1)[0] for space in SPACES}
    return {space: total for space, total in told.items() if total}


async def test_what_units_add_hide_and_undo_together_is_counted(stores: list[SqlStore], database: Database) -> None:
    await stores[0].write(put_graph)
    chosen = random.Random(7)  # noqa: S311 - the order of a test
    works: list[Callable[[UnitOfWork], None]] = [
        *[lambda unit: add(unit, "one")] * 40,
        *[lambda unit: add(unit, *SPACES)] * 40,
        *[add_and_refuse, add_write_and_refuse, add_a_part, hide_some, hide_and_refuse, delete_hidden] * 6,
        *[add_after_losing([]) for _number in range(6)],
    ]
    chosen.shuffle(works)
    for together in range(0, len(works), 20):
        results = await asyncio.gather(
            *(chosen.choice(stores).write(work) for work in works[together : together + 20]), return_exceptions=True
        )
        assert {type(result) for result in results} <= {type(None), Refused}, results
        assert await stores[0].read(totals) == dict(database.query(COUNTED))
    assert sum(dict(database.query(COUNTED)).values()) > 100
    assert database.query("SELECT count(*) FROM runs WHERE namespace = ''") != [(0,)]


async def test_a_unit_sees_what_it_has_added(store: SqlStore) -> None:
    def work(unit: UnitOfWork) -> int:
        put_graph(unit)
        add(unit, "one", "one")
        return unit.list_runs("one", offset=0, limit=1)[0]

    assert await store.write(work) == 2
    assert await store.read(totals) == {"one": 2}


async def test_runs_are_counted_in_few_rows_however_many_there_are(stores: list[SqlStore], database: Database) -> None:
    await stores[0].write(put_graph)
    for _round in range(5):
        await asyncio.gather(*(store.write(lambda unit: add(unit, "one")) for store in stores for _run in range(20)))
    ((rows, total),) = database.query("SELECT count(*), sum(total) FROM run_totals WHERE namespace = 'one'")
    assert total == 100 * len(stores)
    # One for each writing connection.
    assert rows <= 4 * len(stores)
    assert (rows > 1) == (len(stores) > 1)


async def test_a_run_that_has_changed_meanwhile_stays_counted(store: SqlStore) -> None:
    def work(unit: UnitOfWork) -> bool:
        put_graph(unit)
        add(unit, "one")
        (run,) = unit.list_first_runs(0, limit=1)
        unit.count(run.key, RunCounts(succeeded=1))
        return unit.hide_run(run)

    assert not await store.write(work)
    assert await store.read(totals) == {"one": 1}


def store_uncounted(database: Database, space: str, runs: int) -> None:
    """Store runs as a server from before schema 0006 does: without a change of any total (an emulation)."""
    columns = [column.name for column in runs_table.c if column.name != "key"]
    for _run in range(runs):
        number = next(_numbers)
        values = {"id": f"'old-{number}'", "namespace": f"'{space}'"}
        listed = ", ".join(values.get(name, name) for name in columns)
        database.query(
            f"INSERT INTO runs (key, {', '.join(columns)}) "  # noqa: S608 - the names are ours
            f"SELECT {10**12 + number}, {listed} FROM runs LIMIT 1"
        )


async def test_uncounted_runs_are_found_and_counted_while_servers_write(
    stores: list[SqlStore], database: Database
) -> None:
    await stores[0].write(put_graph)
    await stores[0].write(lambda unit: add(unit, "one", "two"))
    store_uncounted(database, "one", 4)
    store_uncounted(database, "three", 2)
    with open_schema(database.setting) as schema:
        assert schema.wrong_totals() == [WrongTotal("one", 5, 1), WrongTotal("three", 2, 0)]
        writes = asyncio.gather(
            *(store.write(lambda unit: add(unit, *SPACES)) for store in stores for _run in range(40))
        )
        corrected = await asyncio.to_thread(schema.correct_totals)
        await writes
        assert [wrong.namespace for wrong in corrected] == ["one", "three"]
        assert schema.wrong_totals() == []
        assert schema.correct_totals() == []
    assert await stores[0].read(totals) == dict(database.query(COUNTED))


async def test_the_command_reports_wrong_totals_and_its_remedy_corrects_them(
    store: SqlStore, database: Database
) -> None:
    await store.write(put_graph)
    await store.write(lambda unit: add(unit, "one"))
    store_uncounted(database, "one", 8)
    wrong = await asyncio.to_thread(CliRunner().invoke, cli, ["db", "check", "--database", database.setting])
    assert wrong.exit_code == 1
    assert "namespace one: has 9 runs, and its total is 1" in wrong.output
    assert "exospherehost db upgrade" in wrong.output
    mended = await asyncio.to_thread(CliRunner().invoke, cli, ["db", "upgrade", "--database", database.setting])
    assert "namespace one: from 1 to 9 runs" in mended.output
    right = await asyncio.to_thread(CliRunner().invoke, cli, ["db", "check", "--database", database.setting])
    assert right.exit_code == 0, right.output
