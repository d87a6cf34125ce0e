"""No statement gets slower with what has finished: each finds what it wants through an index, in the order wanted."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import bindparam, select
from sqlalchemy.sql.base import Executable

from exospherehost.server.domain.records import EventCursor
from exospherehost.server.storage.migrations import upgrade
from exospherehost.server.storage.sql.statements import Statements, _Compiled
from exospherehost.server.storage.sql.tables import states
from exospherehost.server.storage.sql.unit import SqlUnit
from exospherehost.server.storage.sqlite.engine import open_engines
from tests._support.statements import SMALL, history, statements

Plan = Callable[[Executable], list[str]]
UNFINISHED = ("INDEX ix_states_claimable", "INDEX ix_states_leased")
STATEMENTS = statements("sqlite.unit")


@pytest.fixture(scope="module")
def plan_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plan]:
    """Gives what SQLite says that it will do, a line for each step."""
    writer, reader = open_engines(tmp_path_factory.mktemp("plans") / "test.db", readers=1)
    upgrade(writer)
    with writer.connect() as connection:

        def explain(statement: Executable) -> list[str]:
            compiled = _Compiled(statement, writer.dialect)
            cursor = connection.connection.cursor()
            cursor.execute(f"EXPLAIN QUERY PLAN {compiled.text}", [None] * len(compiled._names or []))
            return [row[3] for row in cursor.fetchall()]

        yield explain
    writer.dispose()
    reader.dispose()


def wastes(plan: list[str]) -> list[str]:
    """Return the steps that grow with the whole of a table that grows with what has run."""
    reads = [step for step in plan if step.startswith(("SCAN ", "SEARCH ")) and step.split()[1] not in SMALL]
    scans = [step for step in reads if step.startswith("SCAN ")]
    # These partial indexes hold only what waits or is leased now: they may be read whole, and sorted.
    scans = [step for step in scans if not any(index in step for index in UNFINISHED)]
    finished = [step for step in reads if not any(index in step for index in UNFINISHED)]
    return scans + [step for step in plan if finished and "TEMP B-TREE" in step]


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_a_statement_reads_through_an_index_no_more_than_it_needs(name: str, plan_of: Plan) -> None:
    plan = plan_of(STATEMENTS[name])
    assert not wastes(plan), plan


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("sql.runs._DUE", "ix_states_claimable"),
        ("sql.runs._DUE_KEYS", "ix_states_claimable"),
        ("sql.runs._NEXT_DUE", "ix_states_claimable"),
        ("sql.leases._EXPIRED", "ix_states_leased"),
        ("sql.leases._NEXT_EXPIRY", "ix_states_leased"),
        ("sql.runs._OUTLINES", "ix_states_run_key"),
        ("sql.runs._LIST_RUNS", "ix_runs_namespace_key"),
    ],
)
def test_what_waits_is_looked_up_in_the_index_that_holds_nothing_else(name: str, index: str, plan_of: Plan) -> None:
    assert any(index in step for step in plan_of(STATEMENTS[name]))


def test_the_statements_are_found() -> None:
    assert len(STATEMENTS) > 75
    assert {"sql.runs._CHANGE_STATE", "sql.runs._COUNT", "sql.graphs._FIND_NODE"} < STATEMENTS.keys()


def test_a_statement_without_an_index_would_be_noticed(plan_of: Plan) -> None:
    by_outputs = select(states.c.id).where(states.c.outputs == bindparam("outputs")).order_by(states.c.error)
    assert len(wastes(plan_of(by_outputs))) == 2


READS: dict[str, Callable[[SqlUnit], object]] = {
    "list of runs": lambda unit: unit.list_runs("space", offset=0, limit=20),
    "a page beyond the last": lambda unit: unit.list_runs("space", offset=10**9, limit=20),
    "metrics": lambda unit: unit.backlog(NOW),
    "claims that wait": lambda unit: unit.find_waiting("space", "node", now_ms=NOW, limit=100),
    "leases": lambda unit: (unit.expired_leases(NOW, limit=10), unit.next_lease_expiry()),
    "a run": lambda unit: (unit.find_run("run-1"), unit.find_listing(1), unit.list_states(1, namespace=None)),
    "a run's events": lambda unit: (unit.read_events(1, EventCursor(), rows=10), unit.last_event(1)),
    "runs to prune": lambda unit: (unit.list_first_runs(0, limit=5), unit.find_last_change(1)),
    "hidden runs": lambda unit: unit.list_hidden_runs(limit=5),
    "the keys of secrets": lambda unit: unit.list_sealing_keys(),
    "a retry": lambda unit: (unit.find_state("state-1"), unit.has_fanout(1, "i", "f", 0)),
}
NOW = 10**6


def steps(folder: Path, runs: int) -> dict[str, int]:
    """Return how many steps SQLite's virtual machine takes for each of the reads, with so many finished runs."""
    writer, reader = open_engines(folder / f"{runs}.db", readers=1)
    upgrade(writer)
    taken = [0]

    def count_step() -> int:
        taken[0] += 1
        return 0

    found: dict[str, int] = {}
    with writer.connect() as connection:
        for statement in history(runs):
            connection.exec_driver_sql(statement)
        driver = connection.connection.dbapi_connection
        assert isinstance(driver, sqlite3.Connection)
        unit = SqlUnit(connection, Statements(writer.dialect))
        driver.set_progress_handler(count_step, 1)
        for name, read in READS.items():
            taken[0] = 0
            read(unit)
            found[name] = taken[0]
    writer.dispose()
    reader.dispose()
    return found


def test_what_is_read_takes_as_many_steps_with_a_hundred_times_the_history(tmp_path: Path) -> None:
    few, many = steps(tmp_path, 50), steps(tmp_path, 5_000)
    assert all(few.values())
    assert many == few
