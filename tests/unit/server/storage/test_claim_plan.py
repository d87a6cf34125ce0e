"""What runs all the time must cost the same however much has finished: it has to read small indexes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Select
from sqlalchemy.dialects import sqlite as dialect

from exospherehost.server.storage.opening import open_store
from exospherehost.server.storage.sql.leases import _EXPIRED, _NEXT_EXPIRY
from exospherehost.server.storage.sql.runs import _DUE, _DUE_KEYS, _NEXT_DUE


def test_due_states_are_read_from_the_partial_index_in_order(tmp_path: Path) -> None:
    plan = plan_of(_DUE, tmp_path)
    # Each due state's run is looked up by its key; nothing is scanned or sorted.
    assert len(plan) == 2, plan
    assert "SEARCH states USING INDEX ix_states_claimable" in plan[0]
    assert "SEARCH runs USING INTEGER PRIMARY KEY" in plan[1]


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (_DUE_KEYS, "ix_states_claimable"),
        (_NEXT_DUE, "ix_states_claimable"),
        (_EXPIRED, "ix_states_leased"),
        (_NEXT_EXPIRY, "ix_states_leased"),
    ],
)
def test_what_timers_ask_is_read_from_a_partial_index_in_order(
    tmp_path: Path, statement: Select[Any], index: str
) -> None:
    (step,) = plan_of(statement, tmp_path)
    assert f"INDEX {index}" in step


def plan_of(statement: Select[Any], folder: Path) -> list[str]:
    open_store(folder / "test.db").close()
    text = str(statement.compile(dialect=dialect.dialect(paramstyle="named")))
    parameters = {"namespace": "s", "node_name": "n", "now_ms": 1, "limit": 1, "param_1": 1, "param_2": -1}
    with closing(sqlite3.connect(folder / "test.db")) as connection:
        return [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", parameters)]
