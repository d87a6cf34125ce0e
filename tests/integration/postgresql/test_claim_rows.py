"""A claim takes rows that nobody holds, and no more of them than it hands out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from exospherehost.server.domain.records import NewRun, StateRecord
from exospherehost.server.domain.store import UnitOfWork
from exospherehost.server.storage.sql.store import SqlStore
from tests._support.databases import Database
from tests._support.postgres import PostgresServer

NODES = ("n", "m", "o")


@pytest.fixture
def store(shared: Database) -> Iterator[SqlStore]:
    shared.query("INSERT INTO graphs VALUES (1, 'g', 'space', 'graph', 'v', 'v', 1, 1)")
    shared.query("INSERT INTO graph_versions VALUES ('v', 1, '{}', '{}', 1, '[]', 1)")
    opened = shared.open()
    yield opened
    opened.close()


def fill(unit: UnitOfWork) -> None:
    """Add 30 states, due at 1 to 30, of three nodes in turn."""
    run = unit.add_run(NewRun("r", "space", "graph", "v", {}, 1))
    unit.add_states(
        [
            StateRecord(
                f"{at:024d}", run.key, "space", NODES[at % 3], "i", "CREATED", {}, {}, None, {}, 0, None, at, 1, 1
            )
            for at in range(30, 0, -1)
        ]
    )


async def claim(store: SqlStore, *, limit: int, now_ms: int = 100) -> list[int]:
    claimed = await store.write(lambda unit: unit.claim("space", NODES, limit=limit, now_ms=now_ms))
    return [state.enqueue_after for state in claimed]


async def test_the_longest_due_come_first_whatever_their_node(store: SqlStore) -> None:
    await store.write(fill)
    assert await claim(store, limit=7) == [1, 2, 3, 4, 5, 6, 7]
    assert await claim(store, limit=100, now_ms=10) == [8, 9, 10]
    assert await claim(store, limit=100) == list(range(11, 31))
    assert await claim(store, limit=100) == []


async def test_what_others_hold_is_passed_over_and_not_waited_for(
    store: SqlStore, shared: Database, postgres: PostgresServer
) -> None:
    await store.write(fill)
    with postgres.connect(shared.setting.rsplit("/", 1)[1]) as other, other.transaction():
        # All that a claim of five would look at first, of each of the nodes.
        other.execute("SELECT FROM states WHERE enqueue_after <= 20 AND enqueue_after <> 17 FOR UPDATE")
        assert await claim(store, limit=5) == [17, 21, 22, 23, 24]
        assert await claim(store, limit=100) == [25, 26, 27, 28, 29, 30]
        held = await store.write(lambda unit: unit.find_waiting("space", "n", now_ms=100, limit=0))
        # They are not its to take, but may become so, of which nobody would tell.
        assert held == (0, 350)
    assert await claim(store, limit=100) == [at for at in range(1, 21) if at != 17]


async def test_a_claim_holds_no_more_than_it_hands_out(
    store: SqlStore, shared: Database, postgres: PostgresServer
) -> None:
    await store.write(fill)
    free: list[int] = []

    def work(unit: UnitOfWork) -> None:
        assert len(unit.claim("space", NODES, limit=4, now_ms=100)) == 4
        with postgres.connect(shared.setting.rsplit("/", 1)[1]) as other:
            rows = other.execute("SELECT enqueue_after FROM states ORDER BY 1 FOR UPDATE SKIP LOCKED").fetchall()
            free.extend(row[0] for row in rows)

    await store.write(work)
    assert free == list(range(5, 31))


async def test_the_plan_walks_the_partial_index(store: SqlStore, shared: Database) -> None:
    await store.write(fill)
    shared.query(
        "INSERT INTO states (id, run_key, namespace, node_name, identifier, status, inputs, outputs, parents,"
        " retry_count, enqueue_after, created_at, updated_at) SELECT to_char(n, 'FM000000000000000000000000'),"
        " (SELECT key FROM runs), 'space', 'n', 'i', 'SUCCESS', '{}', '{}', '{}', 0, n, 1, 1"
        " FROM generate_series(1000, 21000) AS n"
    )
    shared.query("ANALYZE")
    plans: list[str] = []

    def work(unit: UnitOfWork) -> None:
        from exospherehost.server.storage.postgresql.unit import _CLAIM

        values = {"node_names": ["n"], "namespace": "space", "now_ms": 1, "candidates": 1, "limit": 1}
        compiled = str(_CLAIM.compile(dialect=store._database._writer.dialect))  # type: ignore[attr-defined]
        cursor = unit._connection.connection.cursor()  # type: ignore[attr-defined]
        cursor.execute(f"EXPLAIN {compiled}", {**values, "lease_until": None, "token": None})
        plans.extend(row[0] for row in cursor.fetchall())

    await store.write(work)
    plan = "\n".join(plans)
    assert "ix_states_claimable" in plan
    assert "Seq Scan on states" not in plan
