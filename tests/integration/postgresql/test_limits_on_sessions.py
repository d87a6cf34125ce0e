"""Limits on sessions do not concern the server's own, and one that is ended costs nobody anything."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import text

from exospherehost.server.domain.errors import StoreUnavailable
from exospherehost.server.domain.store import UnitOfWork
from exospherehost.server.storage.postgresql.sessions import lift_limits
from exospherehost.server.storage.postgresql.writer import explained, is_away
from exospherehost.server.storage.sql.store import SqlStore
from tests._support.databases import Database
from tests._support.eventually import eventually_sync
from tests._support.postgres import PostgresServer
from tests.integration.postgresql.conftest import StartReplica

LIMITS = ("idle_session_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
OWN_SESSIONS = """
SELECT count(*), max(backend_start) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'exospherehost'
"""


END = b"""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = 'exospherehost' AND datname = current_database()
"""
CANCEL = END.replace(b"terminate", b"cancel")


def limit(postgres: PostgresServer, shared: Database, value: str, *names: str) -> None:
    name = shared.setting.rpartition("/")[2]
    with postgres.connect() as connection:
        for setting in names:
            connection.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'".encode())


@pytest.fixture
def limited(postgres: PostgresServer, shared: Database) -> Database:
    limit(postgres, shared, "100ms", *LIMITS)
    return shared


@pytest.fixture
def store(limited: Database) -> Iterator[SqlStore]:
    opened = limited.open()
    yield opened
    opened.close()


async def test_statements_and_pauses_may_be_longer_than_the_limits(store: SqlStore, limited: Database) -> None:
    # The limits hold for others.
    with pytest.raises(psycopg.errors.QueryCanceled):
        limited.query("SELECT pg_sleep(1)")
    runs: list[str] = []

    def slowly(unit: UnitOfWork) -> None:
        runs.append("write")
        unit._run(text("SELECT pg_sleep(0.3)"))  # type: ignore[attr-defined]
        # In the transaction, and idle.
        threading.Event().wait(0.3)
        unit.list_nodes("a")

    await store.write(slowly)
    await store.read(lambda reader: (reader.list_nodes("a"), threading.Event().wait(0.3), reader.list_nodes("b")))
    assert runs == ["write"]


def test_a_server_keeps_its_sessions_through_idle_times(limited: Database, start_replica: StartReplica) -> None:
    replica = start_replica()
    replica.steps()
    replica.graph("g", replica.node("a"))
    eventually_sync(lambda: query(limited, OWN_SESSIONS)[0][0] >= 3)
    before = query(limited, OWN_SESSIONS)
    # Others are thrown out meanwhile.
    with psycopg.connect(limited.setting, autocommit=True) as witness:
        eventually_sync(lambda: is_thrown_out(witness), 10)
    assert replica.trigger("g")
    assert query(limited, OWN_SESSIONS)[0][0] >= before[0][0]
    assert [state["node_name"] for state in replica.claim("Step")] == ["Step"]


def test_a_session_or_statement_that_is_ended_again_and_again_is_never_a_failure(
    shared: Database, start_replica: StartReplica
) -> None:
    replica = start_replica()
    replica.steps()
    replica.graph("g", replica.node("a"))
    over = threading.Event()

    def disturb() -> None:
        with psycopg.connect(shared.setting, autocommit=True, application_name="disturber") as connection:
            for number in range(30):
                connection.execute(END if number % 2 else CANCEL)
                if over.wait(0.05):
                    return

    body = {"store": {}, "inputs": {}}
    with ThreadPoolExecutor(1) as pool:
        disturber = pool.submit(disturb)
        statuses: list[int] = []
        while not disturber.done():
            statuses.append(replica.post("/graph/g/trigger", body).status_code)
            statuses.append(replica.get("/runs/1/10").status_code)
        over.set()
        disturber.result(30)
    assert set(statuses) <= {200, 503}
    triggered = statuses[::2].count(200)
    assert replica.get("/runs/1/10").json()["total"] == triggered > 0


def test_what_the_database_says_is_told_apart() -> None:
    for error in (
        psycopg.errors.IdleSessionTimeout(),
        psycopg.errors.IdleInTransactionSessionTimeout(),
        psycopg.errors.QueryCanceled(),
        psycopg.errors.AdminShutdown(),
    ):
        assert is_away(error)
    full = explained(psycopg.errors.DiskFull())
    assert isinstance(full, StoreUnavailable)
    assert str(full) == "the disk that holds the database is full"
    other = psycopg.errors.UndefinedTable()
    assert explained(other) is other
    assert not is_away(other)


def test_limits_stay_lifted_after_a_rollback(limited: Database) -> None:
    with psycopg.connect(limited.setting) as connection:
        lift_limits(connection)
        connection.execute("SELECT 1")
        connection.rollback()
        assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)
        connection.rollback()


def is_thrown_out(connection: psycopg.Connection) -> bool:
    threading.Event().wait(0.3)
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False


def query(database: Database, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database.setting, application_name="test") as connection:
        return connection.execute(statement.encode()).fetchall()
