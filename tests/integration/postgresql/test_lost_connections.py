"""A database that goes away and comes back costs nobody anything: each unit is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from exospherehost.server import ServerSettings, ServerThread
from exospherehost.server.domain.records import NodeRecord
from exospherehost.server.domain.store import UnitOfWork
from exospherehost.server.storage.sql.store import SqlStore
from tests._support.databases import Database
from tests._support.eventually import eventually, eventually_sync
from tests._support.postgres import PostgresServer, binaries_or_skip
from tests._support.service import Api, connect

OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture
def store(shared: Database) -> Iterator[SqlStore]:
    opened = shared.open()
    yield opened
    opened.close()


def save(unit: UnitOfWork, name: str = "a") -> str:
    unit.save_node(NodeRecord("0" * 24, "space", name, "r", "space", {}, {}, (), 1, 1))
    return name


def names(shared: Database) -> list[str]:
    return [row[0] for row in shared.query("SELECT name FROM nodes ORDER BY name")]


class Cut:
    """Breaks off the connection of the first commit that has something in it, before or after it is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, shared: Database, *, done: bool) -> None:
        self.cuts = 0
        commit = psycopg.Connection.commit

        def cut(connection: psycopg.Connection[Any]) -> None:
            if self.cuts or connection.info.backend_pid != self.pid:
                commit(connection)
                return
            self.cuts += 1
            if done:
                commit(connection)
            shared.query(OTHERS)
            raise psycopg.OperationalError("the connection was lost")

        self.pid = 0
        monkeypatch.setattr(psycopg.Connection, "commit", cut)

    def aim(self, unit: UnitOfWork) -> None:
        """Break off the transaction that this unit is in."""
        connection: Any = unit._connection  # type: ignore[attr-defined]
        self.pid = connection.connection.dbapi_connection.info.backend_pid


@pytest.mark.parametrize("done", [True, False])
async def test_a_unit_whose_commit_was_cut_off_is_done_once(
    store: SqlStore, shared: Database, monkeypatch: pytest.MonkeyPatch, *, done: bool
) -> None:
    cut = Cut(monkeypatch, shared, done=done)
    runs: list[int] = []

    def work(unit: UnitOfWork) -> str:
        runs.append(1)
        cut.aim(unit)
        # Only an insert can tell whether it was done twice.
        return save(unit, f"attempt{len(runs)}")

    assert await store.write(work) == ("attempt1" if done else "attempt2")
    assert (cut.cuts, len(runs)) == (1, 1 if done else 2)
    assert names(shared) == (["attempt1"] if done else ["attempt2"])


async def test_a_unit_whose_connection_is_gone_before_the_commit_is_run_again(
    store: SqlStore, shared: Database
) -> None:
    runs: list[int] = []

    def work(unit: UnitOfWork) -> str:
        runs.append(1)
        if len(runs) == 1:
            shared.query(OTHERS)
        return save(unit)

    assert await store.write(work) == "a"
    assert len(runs) == 2
    assert names(shared) == ["a"]


async def test_a_read_whose_connection_is_gone_is_run_again(store: SqlStore, shared: Database) -> None:
    await store.write(save)
    assert await store.read(lambda reader: reader.list_namespaces()) == ["space"]
    shared.query(OTHERS)
    assert await store.read(lambda reader: reader.list_namespaces()) == ["space"]


async def test_one_that_listens_hears_again_after_its_connection_was_lost(store: SqlStore, shared: Database) -> None:
    heard: list[Any] = []
    missed = asyncio.Event()
    store.when_states_wait(heard.extend, wanted=lambda: True)
    store.when_news_are_missed(missed.set)
    shared.query(OTHERS)
    await asyncio.wait_for(missed.wait(), 30)
    other = shared.open()
    try:
        assert not other.was_unattended

        def tell() -> bool:
            other._database.tell_others("waiting", [("space", "n", 1)])
            return ("space", "n", 1) in heard

        await eventually(tell, 30)
    finally:
        other.close()


async def test_units_that_want_the_same_rows_in_different_orders_are_both_done(shared: Database) -> None:
    # Two stores stand for two servers; in each, units that hold one join while they want another share transactions.
    stores = [shared.open() for _ in range(2)]
    joins = [f"{number:024d}" for number in range(2)]
    rounds = 30

    def work(unit: UnitOfWork, first: str, second: str) -> None:
        unit.change_join(first, pending=1, failed=0)
        unit.change_join(second, pending=1, failed=0)

    try:
        await asyncio.gather(
            *(
                store.write(lambda unit, order=order: work(unit, *order))  # type: ignore[misc]
                for store, order in ((stores[0], joins), (stores[1], joins[::-1]))
                for _ in range(rounds)
            )
        )
    finally:
        for store in stores:
            store.close()
    assert shared.query("SELECT pending FROM joins") == [(2 * rounds,), (2 * rounds,)]


def test_a_database_that_crashes_in_mid_run_loses_and_doubles_nothing() -> None:
    with PostgresServer(binaries_or_skip(), "fsync=on", "full_page_writes=on") as postgres:
        database = Database(postgres.fresh())
        settings = ServerSettings(api_key="k", **database.settings, port=0)
        with ServerThread(settings) as server, connect(server) as http:
            api = Api(http)
            api.steps()
            api.graph("g", api.node("a", {}, ["b"]), api.node("b", {}, ["c"]), api.node("c"))
            runs = [api.trigger("g") for _ in range(60)]

            def work() -> None:
                with connect(server) as mine:
                    own = Api(mine, api.namespace)
                    while any(line["pending_count"] for line in own.get("/runs/1/100").json()["runs"]):
                        for state in own.claim(size=3):
                            # Not once is a report refused: it is taken once, whatever becomes of the connection.
                            own.executed(state, {"y": "1"})

            with ThreadPoolExecutor(3) as pool:
                workers = [pool.submit(work) for _ in range(3)]
                for wanted in (10, 60):
                    eventually_sync(lambda: sum(api.run(run)["success_count"] for run in runs) > wanted, 60)  # noqa: B023
                    postgres.stop()
                    postgres.start()
                for worker in workers:
                    worker.result(120)
            for run in runs:
                assert api.statuses(run) == [("a", "SUCCESS"), ("b", "SUCCESS"), ("c", "SUCCESS")]
