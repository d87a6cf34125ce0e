"""What waits is counted in the partial indexes, whatever has finished."""

from __future__ import annotations

import pytest
from sqlalchemy import Select, create_engine, text

from exospherehost.server.storage.sql import backlog
from exospherehost.server.storage.sql.store import SqlStore
from tests._support.databases import Database

pytestmark = pytest.mark.sqlite


@pytest.mark.parametrize(("name", "index"), [("_DUE", "ix_states_claimable"), ("_LEASED", "ix_states_leased")])
def test_the_count_walks_an_index_that_holds_nothing_finished(
    store: SqlStore, database: Database, name: str, index: str
) -> None:
    assert store.writes_waiting == 0
    engine = create_engine(f"sqlite:///{database.setting}")
    statement: Select[tuple[object, ...]] = getattr(backlog, name)
    compiled = statement.compile(dialect=engine.dialect)
    with engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", (0,) if compiled.positiontup else ())
        steps = [row[3] for row in plan]
    engine.dispose()
    assert any(index in step for step in steps), steps


async def test_the_revision_is_that_of_the_schema(store: SqlStore, database: Database) -> None:
    engine = create_engine(f"sqlite:///{database.setting}")
    with engine.connect() as connection:
        written = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    engine.dispose()
    assert await store.read(lambda reader: reader.schema_revision()) == written
