"""Whatever the statistics say, a writer finds its rows by keys: its plans are made once, and outlive many of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.sql.base import Executable

from exospherehost.server.domain.store import UnitOfWork
from exospherehost.server.storage.postgresql import unit as postgresql_unit
from exospherehost.server.storage.postgresql.bulk_statements import TOGETHER
from exospherehost.server.storage.sql.store import SqlStore
from tests._support.databases import Database

STATEMENTS: dict[str, Executable] = {
    "claim": postgresql_unit._CLAIM,
    "hold": postgresql_unit._HOLD,
    "find graph": postgresql_unit._FIND_GRAPH,
    "outputs": postgresql_unit._OUTPUTS,
    **{
        f"{type(one.statement).__name__.lower()} {one.statement.table.name} {number}": one.statement  # type: ignore[attr-defined]
        for number, one in enumerate(TOGETHER.values())
    },
}
_PARAMETER = re.compile(r"%\((\w+)\)s")
GROWING = {"states", "runs", "joins", "run_events", "join_firings"}
FEW = (
    "INSERT INTO graphs VALUES (1, 'g', 'space', 'graph', 'v', 'v', 1, 1)",
    "INSERT INTO graph_versions VALUES ('v', 1, '{}', '{}', 1, '[]', 1)",
    "INSERT INTO runs SELECT n, n::text, 'space', 'graph', 'v', '{}', 0, 0, 0, 0, 1 FROM generate_series(1, 3) AS n",
    "INSERT INTO joins SELECT n::text, 0, 0 FROM generate_series(1, 3) AS n",
    (
        "INSERT INTO states (id, run_key, namespace, node_name, identifier, status, inputs, outputs, parents,"
        " retry_count, enqueue_after, created_at, updated_at)"
        " SELECT n::text, n, 'space', 'n', 'i', 'CREATED', '{}', '{}', '{}', 0, n, 1, 1 FROM generate_series(1, 3) AS n"
    ),
    "ANALYZE",
)


@pytest.fixture(params=["never analysed", "analysed when they were small"])
def store(shared: Database, request: pytest.FixtureRequest) -> Iterator[SqlStore]:
    """A store on tables about which the database knows little."""
    if request.param != "never analysed":
        for statement in FEW:
            shared.query(statement)
    opened = shared.open()
    yield opened
    opened.close()


def scans(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if node.get("Relation Name") in GROWING and "Scan" in node["Node Type"]:
        yield node
    for below in node.get("Plans", ()):
        yield from scans(below)


@pytest.mark.parametrize("name", STATEMENTS)
async def test_rows_are_found_by_what_they_equal(name: str, store: SqlStore) -> None:
    plans: list[dict[str, Any]] = []

    def work(unit: UnitOfWork) -> None:
        names: list[str] = []

        def numbered(found: re.Match[str]) -> str:
            if found[1] not in names:
                names.append(found[1])
            return f"${names.index(found[1]) + 1}"

        dialect = store._database._writer.dialect  # type: ignore[attr-defined]
        compiled = str(STATEMENTS[name].compile(dialect=dialect))  # type: ignore[attr-defined]
        cursor = unit._connection.connection.cursor()  # type: ignore[attr-defined]
        cursor.execute("PREPARE planned AS " + _PARAMETER.sub(numbered, compiled))
        cursor.execute(f"EXPLAIN (FORMAT JSON) EXECUTE planned ({', '.join('NULL' for _ in names)})")
        told = cursor.fetchone()[0]
        plans.append((json.loads(told) if isinstance(told, str) else told)[0]["Plan"])

    await store.write(work)
    for scan in scans(plans[0]):
        found_by = scan.get("Index Cond", "") + scan.get("TID Cond", "")
        assert " = " in found_by, scan
        if "LIMIT" in str(STATEMENTS[name]):
            assert scan["Node Type"] in {"Index Scan", "Index Only Scan", "Tid Scan"}


async def test_due_states_are_walked_in_order_and_not_sorted(store: SqlStore) -> None:
    lines: list[str] = []

    def work(unit: UnitOfWork) -> None:
        compiled = str(postgresql_unit._CLAIM.compile(dialect=store._database._writer.dialect))  # type: ignore[attr-defined]
        values = {"node_names": ["n"], "namespace": "space", "now_ms": 1, "candidates": 1, "limit": 1}
        cursor = unit._connection.connection.cursor()  # type: ignore[attr-defined]
        cursor.execute(f"EXPLAIN {compiled}", {**values, "lease_until": None, "token": None})
        lines.extend(row[0].strip() for row in cursor.fetchall())

    await store.write(work)
    walk = next(number for number, line in enumerate(lines) if "ix_states_claimable" in line)
    assert lines[walk - 1].startswith("->  Limit")
