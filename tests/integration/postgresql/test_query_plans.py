"""No statement gets slower on PostgreSQL with what has finished: none reads through what it does not want."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql.base import Executable

from exospherehost.server.storage.postgresql.unit import PostgresUnit
from exospherehost.server.storage.sql.tables import runs, states
from tests._support.databases import Database
from tests._support.postgres import PostgresServer
from tests._support.statements import SMALL, history, statements

STATEMENTS = statements("postgresql.unit") | {
    f"PostgresUnit.{name}": getattr(PostgresUnit, name) for name in dir(PostgresUnit) if name.endswith("_statement")
}
RUNS = 5_000
# More than one of these statements is thought to want of any table, and much fewer than there are.
MANY = 200
Plan = Callable[[Executable], dict[str, Any]]


@pytest.fixture(scope="module")
def plan_of(postgres: PostgresServer) -> Iterator[Plan]:
    """Gives what PostgreSQL says that it will do, whatever the parameters, with a history."""
    dialect = PGDialect_psycopg(paramstyle="numeric_dollar")
    with psycopg.connect(Database(postgres.fresh()).setting, autocommit=True) as connection:
        for command in (*history(RUNS), "ANALYZE", "SET plan_cache_mode = force_generic_plan"):
            connection.execute(command.encode())

        def explain(statement: Executable) -> dict[str, Any]:
            compiled = statement.compile(dialect=dialect)  # type: ignore[attr-defined]
            parameters = ", ".join(["NULL"] * len(compiled.positiontup or ()))
            connection.execute(f"PREPARE asked AS {compiled}".encode())
            execute = f"EXECUTE asked({parameters})" if parameters else "EXECUTE asked"
            (row,) = connection.execute(f"EXPLAIN (FORMAT JSON) {execute}".encode()).fetchall()
            connection.execute("DEALLOCATE asked")
            plan: dict[str, Any] = row[0][0]["Plan"]
            return plan

        yield explain


def wastes(node: dict[str, Any], *, is_limited: bool = False) -> list[str]:
    """Return the steps that read many rows, or any without an index, of a table that grows with what has run."""
    kind, table = node["Node Type"], node.get("Relation Name")
    is_large = table is not None and table not in SMALL and kind != "ModifyTable"
    found: list[str] = []
    if is_large and (kind == "Seq Scan" or (node["Plan Rows"] > MANY and not is_limited)):
        found.append(f"{kind} of {table}, {node['Plan Rows']} rows")
    # Only what comes through at once stops at the limit.
    goes_on = kind == "Limit" or (is_limited and kind in {"Nested Loop", "LockRows", "Subquery Scan"})
    return found + [waste for below in node.get("Plans", ()) for waste in wastes(below, is_limited=goes_on)]


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_a_statement_reads_through_an_index_no_more_than_it_needs(name: str, plan_of: Plan) -> None:
    plan = plan_of(STATEMENTS[name])
    assert not wastes(plan), plan


def test_the_statements_are_found() -> None:
    assert len(STATEMENTS) > 90
    assert {"postgresql.unit._CLAIM", "PostgresUnit.get_run_statement", "sql.runs._LIST_RUNS"} < STATEMENTS.keys()


@pytest.mark.parametrize(
    "statement",
    [
        select(func.count()).select_from(runs).where(runs.c.namespace == bindparam("namespace")),
        select(states.c.id).where(states.c.outputs == bindparam("outputs")).limit(1),
        select(states.c.id).order_by(states.c.error).limit(1),
        select(states.c.id).where(states.c.run_key > bindparam("key")).order_by(states.c.error).limit(1),
    ],
)
def test_a_statement_that_reads_too_much_would_be_noticed(statement: Executable, plan_of: Plan) -> None:
    assert wastes(plan_of(statement))
