"""No statement gets slower with what has finished: each finds what it wants through an index, in the order wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import bindparam, select
from sqlalchemy.sql.base import Executable

from exospherehost.server import sql_graphs, sql_keys, sql_leases, sql_runs
from exospherehost.server.migrations import upgrade
from exospherehost.server.sqlite import open_engines
from exospherehost.server.statements import _Compiled
from exospherehost.server.tables import states

# These grow with what was registered, stored or scheduled, and not with what has run.
SMALL = {"nodes", "graphs", "graph_versions", "crons"}
# Other statements are made of them; alone they are not run.
PARTS = {"sql_runs._LISTINGS", "sql_runs._RUNS"}
Plan = Callable[[Executable], list[str]]
STATEMENTS = {
    f"{module.__name__.rsplit('.', 1)[1]}.{name}": statement
    for module in (sql_graphs, sql_keys, sql_leases, sql_runs)
    for name, statement in vars(module).items()
    if isinstance(statement, Executable)
}


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
    # This partial index holds only what is leased now; reading it in order is what it is for.
    scans = [step for step in scans if "INDEX ix_states_leased" not in step]
    return scans + [step for step in plan if reads and "TEMP B-TREE" in step]


# `_TOTAL_RUNS` passes and yet counts, in an index, all runs of a namespace: the contract's list tells their number.
@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - PARTS))
def test_a_statement_reads_through_an_index_no_more_than_it_needs(name: str, plan_of: Plan) -> None:
    plan = plan_of(STATEMENTS[name])
    assert not wastes(plan), plan


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("sql_runs._DUE", "ix_states_claimable"),
        ("sql_runs._DUE_KEYS", "ix_states_claimable"),
        ("sql_runs._NEXT_DUE", "ix_states_claimable"),
        ("sql_leases._EXPIRED", "ix_states_leased"),
        ("sql_leases._NEXT_EXPIRY", "ix_states_leased"),
        ("sql_runs._OUTLINES", "ix_states_run_key"),
        ("sql_runs._LIST_RUNS", "ix_runs_namespace_key"),
    ],
)
def test_what_waits_is_looked_up_in_the_index_that_holds_nothing_else(name: str, index: str, plan_of: Plan) -> None:
    assert any(index in step for step in plan_of(STATEMENTS[name]))


def test_the_statements_are_found() -> None:
    assert len(STATEMENTS) > 40
    assert {"sql_runs._CHANGE_STATE", "sql_runs._COUNT", "sql_graphs._FIND_NODE"} < STATEMENTS.keys()


def test_a_statement_without_an_index_would_be_noticed(plan_of: Plan) -> None:
    by_outputs = select(states.c.id).where(states.c.outputs == bindparam("outputs")).order_by(states.c.error)
    assert len(wastes(plan_of(by_outputs))) == 2
