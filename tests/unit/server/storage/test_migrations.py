from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, inspect, text

from exospherehost.server.domain.errors import StoreError
from exospherehost.server.storage.migrations import upgrade
from exospherehost.server.storage.opening import open_store
from exospherehost.server.storage.sql.tables import metadata
from exospherehost.server.storage.sqlite import engine as sqlite_engine


def described(engine: Engine) -> dict[str, Any]:
    """Return all that a database says of its schema."""
    inspector = inspect(engine)
    tables = [name for name in sorted(inspector.get_table_names()) if name != "alembic_version"]
    with engine.connect() as connection:
        sql = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name"
        indexes = [(row.name, " ".join(row.sql.split())) for row in connection.execute(text(sql))]
    return {
        "columns": {
            name: [(column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(name)]
            for name in tables
        },
        "keys": {name: inspector.get_pk_constraint(name) for name in tables},
        "foreign": {name: inspector.get_foreign_keys(name) for name in tables},
        "unique": {name: sorted(inspector.get_unique_constraints(name), key=str) for name in tables},
        "indexes": indexes,
    }


def test_the_migrated_schema_is_the_fresh_one(tmp_path: Path) -> None:
    open_store(tmp_path / "migrated.db").close()
    migrated = create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    fresh = create_engine(f"sqlite:///{tmp_path / 'fresh.db'}")
    try:
        metadata.create_all(fresh)
        assert described(migrated) == described(fresh)
        assert described(fresh)["columns"].keys() == metadata.tables.keys()
    finally:
        migrated.dispose()
        fresh.dispose()


def test_a_database_of_the_first_version_is_upgraded_with_all_that_is_in_it(tmp_path: Path) -> None:
    first = create_engine(f"sqlite:///{tmp_path / 'a.db'}")
    fresh = create_engine(f"sqlite:///{tmp_path / 'fresh.db'}")
    try:
        upgrade(first, "0001")
        assert "trigger_keys" not in described(first)["columns"]
        with first.begin() as connection:
            for statement in FILLED:
                connection.execute(text(statement))
        open_store(tmp_path / "a.db").close()
        metadata.create_all(fresh)
        assert described(first) == described(fresh)
        with first.connect() as connection:
            states = connection.execute(text("SELECT id, status, lease_expires_at FROM states")).fetchall()
            versions = connection.execute(text("SELECT id, sealed_with FROM graph_versions")).fetchall()
            totals = connection.execute(text("SELECT namespace, total FROM run_totals")).fetchall()
        assert [tuple(row) for row in states] == [("s", "QUEUED", None)]
        assert sorted(tuple(row) for row in versions) == [("v", None), ("w", "0f"), ("x", ",0f,1e")]
        assert sorted(tuple(row) for row in totals) == [("other", 1), ("space", 2)]
    finally:
        first.dispose()
        fresh.dispose()


FILLED = (
    "INSERT INTO graphs VALUES (1, 'g', 'space', 'graph', 'v', 'v', 1, 1)",
    "INSERT INTO graph_versions VALUES ('v', 1, '{}', '{}', 1, '[]', 1)",
    """INSERT INTO graph_versions VALUES ('w', 1, '{}', '{"a":"0f.Ab_-=","b":"0f.cd"}', 1, '[]', 1)""",
    # One of these secrets was sealed before keys had ids.
    """INSERT INTO graph_versions VALUES ('x', 1, '{}', '{"a":"1e.Ab","b":"cd","c":"0f.Ab"}', 1, '[]', 1)""",
    "INSERT INTO runs VALUES (1, 'r', 'space', 'graph', 'v', '{}', 1, 0, 0, 0, 1)",
    "INSERT INTO runs VALUES (2, 'q', 'space', 'graph', 'v', '{}', 0, 1, 0, 0, 1)",
    "INSERT INTO runs VALUES (3, 'p', 'other', 'graph', 'v', '{}', 0, 1, 0, 0, 1)",
    # Hidden, to be deleted.
    "INSERT INTO runs VALUES (4, '-4', '', 'graph', 'v', '{}', 0, 1, 0, 0, 1)",
    "INSERT INTO states VALUES (1, 's', 1, 'space', 'n', 'i', 'QUEUED', '{}', '{}', NULL, '{}', 0, NULL, 1, NULL, 1,1)",
)


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    database = tmp_path / "a.db"
    open_store(database).close()
    before = database.read_bytes()
    open_store(database).close()
    assert database.read_bytes() == before


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    database = tmp_path / "a.db"
    open_store(database).close()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(StoreError, match="newer"):
        open_store(database)


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    database = tmp_path / "a.db"
    with closing(sqlite3.connect(database)) as connection:
        # In the way of a table that is made late.
        connection.execute("CREATE TABLE states (x)")
        connection.commit()
    writer, reader = sqlite_engine.open_engines(database, readers=1)
    try:
        with pytest.raises(Exception, match="states"):
            upgrade(writer)
        assert inspect(reader).get_table_names() == ["states"]
    finally:
        writer.dispose()
        reader.dispose()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"this is not a database, but long enough to be taken for one" * 10)
    with pytest.raises(StoreError, match=r"a\.db"):
        open_store(tmp_path / "a.db")
    with pytest.raises(StoreError, match=r"cannot open the database"):
        open_store(tmp_path)


def test_a_database_is_made_for_its_owner_alone_folders_included(tmp_path: Path) -> None:
    database = tmp_path / "new" / "folder" / "a.db"
    open_store(database).close()
    assert stat.S_IMODE(database.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("mysql://host/name", "not supported"),
        ("postgresql+asyncpg://host/name", "not supported"),
        ("sqlite://", "must be a file"),
        ("sqlite:///:memory:", "must be a file"),
        ("://", "cannot be read"),
    ],
)
def test_a_database_that_cannot_be_used_is_refused_with_what_to_give(setting: str, problem: str) -> None:
    with pytest.raises(StoreError, match=problem):
        open_store(setting)


def test_a_url_of_a_file_is_as_good_as_its_path(tmp_path: Path) -> None:
    open_store(f"sqlite:///{tmp_path / 'a.db'}").close()
    assert (tmp_path / "a.db").exists()
