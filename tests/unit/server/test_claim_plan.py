"""A claim must cost the same however much has finished: it has to be read from the index of what waits."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy.dialects import sqlite as dialect

from exospherehost.server.sql_runs import _DUE
from exospherehost.server.sql_store import open_store


def test_due_states_are_read_from_the_partial_index_in_order(tmp_path: Path) -> None:
    open_store(tmp_path / "test.db").close()
    text = str(_DUE.compile(dialect=dialect.dialect(paramstyle="named")))
    parameters = {"namespace": "s", "node_name": "n", "now_ms": 1, "limit": 1, "param_1": 1, "param_2": -1}
    with closing(sqlite3.connect(tmp_path / "test.db")) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", parameters)]
    assert len(plan) == 1, plan
    assert "USING INDEX ix_states_claimable" in plan[0]
