"""The schema on PostgreSQL: made on command, once, and never by surprise."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from exospherehost.server import ServerSettings, ServerThread
from exospherehost.server.domain.errors import StartupError, StoreError
from exospherehost.server.storage.migrations import differences, downgrade, schema_version, upgrade
from exospherehost.server.storage.opening import open_store
from exospherehost.server.storage.postgresql.database import open_engine
from exospherehost.server.storage.sql.tables import metadata
from tests._support.databases import Database
from tests._support.postgres import PASSWORD, SECRETS_KEY, PostgresServer

DESCRIBED = """
SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default
FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version' ORDER BY 1, 2
"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1"
CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND conrelid::regclass::text <> 'alembic_version'
ORDER BY 1, 2
"""


@pytest.fixture
def empty(postgres: PostgresServer) -> Database:
    return Database(postgres.empty())


def engine_of(database: Database) -> Engine:
    return open_engine(make_url(database.setting).set(drivername="postgresql+psycopg"))


@pytest.fixture
def engine(empty: Database) -> Iterator[Engine]:
    opened = engine_of(empty)
    yield opened
    opened.dispose()


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "exospherehost.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_migrated_schema_is_the_fresh_one(shared: Database, empty: Database, engine: Engine) -> None:
    metadata.create_all(engine)
    for question in (DESCRIBED, INDEXES, CONSTRAINTS):
        fresh = empty.query(question)
        assert len(fresh) > 5
        assert shared.query(question) == fresh


def test_autogeneration_finds_nothing_to_change_and_would_find_it(shared: Database) -> None:
    migrated = engine_of(shared)
    try:
        assert differences(migrated) == []
        shared.query("ALTER TABLE nodes DROP COLUMN runtime_name")
        assert len(differences(migrated)) == 1
    finally:
        migrated.dispose()


def test_a_database_without_a_schema_is_refused_unless_one_is_to_be_made(empty: Database) -> None:
    with pytest.raises(StoreError, match="exospherehost db upgrade") as refused:
        open_store(empty.setting)
    assert PASSWORD not in str(refused.value)
    assert empty.query("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    open_store(empty.setting, migrate=True).close()
    open_store(empty.setting).close()


def test_an_older_schema_is_refused_and_upgraded_on_command_with_what_is_in_it(empty: Database, engine: Engine) -> None:
    upgrade(engine, "0001")
    empty.query("INSERT INTO nodes VALUES (1, 'i', 'space', 'n', 'r', 'space', '{}', '{}', '[]', 1, 1)")
    empty.query("INSERT INTO graphs VALUES (1, 'g', 'space', 'graph', 'v', 'v', 1, 1)")
    empty.query("INSERT INTO graph_versions VALUES ('v', 1, '{}', '{}', 1, '[]', 1)")
    empty.query("""INSERT INTO graph_versions VALUES ('w', 1, '{}', '{"a":"0f.Ab","b":"cd"}', 1, '[]', 1)""")
    # The last one is hidden, to be deleted.
    empty.query(
        "INSERT INTO runs SELECT number, CAST(number AS text), namespace, 'graph', 'v', '{}', 0, 1, 0, 0, 1 "
        "FROM (VALUES (1, 'space'), (2, 'space'), (3, 'other'), (4, '')) AS given(number, namespace)"
    )
    with pytest.raises(StoreError, match=r"0001.*exospherehost db upgrade"):
        open_store(empty.setting)
    assert cli("db", "check", "--database", empty.setting).returncode == 1
    done = cli("db", "upgrade", "--database", empty.setting)
    assert done.returncode == 0, done.stderr
    checked = cli("db", "check", "--database", empty.setting)
    assert checked.returncode == 0, checked.stdout
    told = cli("db", "current", "--database", empty.setting)
    assert schema_version(engine).wanted in told.stdout
    assert all(PASSWORD not in each.stdout + each.stderr for each in (done, checked, told))
    assert empty.query("SELECT name FROM nodes") == [("n",)]
    assert sorted(empty.query("SELECT id, sealed_with FROM graph_versions")) == [("v", None), ("w", ",0f")]
    assert sorted(empty.query("SELECT namespace, total FROM run_totals")) == [("other", 1), ("space", 2)]


def test_servers_that_start_together_upgrade_once(empty: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _number: open_store(empty.setting, migrate=True), range(4)))
    # One of them came first, and no more than one.
    assert [store.was_unattended for store in stores].count(True) <= 1
    for store in stores:
        store.close()
    assert len(empty.query("SELECT * FROM alembic_version")) == 1


def test_a_newer_schema_is_refused_also_by_upgrade_and_check(shared: Database) -> None:
    shared.query("UPDATE alembic_version SET version_num = '9999'")
    for migrate in (True, False):
        with pytest.raises(StoreError, match="newer"):
            open_store(shared.setting, migrate=migrate)
    for command in ("upgrade", "check"):
        done = cli("db", command, "--database", shared.setting)
        assert done.returncode == 1
        assert "newer" in done.stdout + done.stderr


def test_migrations_can_be_undone_on_a_copy(shared: Database) -> None:
    migrated = engine_of(shared)
    try:
        downgrade(migrated, "base")
    finally:
        migrated.dispose()
    assert shared.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [("alembic_version",)]


def test_the_password_stands_in_no_error(shared: Database) -> None:
    wrong = shared.setting.replace(PASSWORD, "not-this-one")
    with pytest.raises(StartupError) as refused:
        ServerThread(ServerSettings(api_key="k", database=wrong, secrets_key=SECRETS_KEY, port=0)).start()
    assert "not-this-one" not in str(refused.value)
    assert "***" in str(refused.value)
    assert "authentication" in str(refused.value)


def test_a_server_that_is_not_there_is_told(postgres: PostgresServer) -> None:
    url = postgres.url("nothing").replace(str(postgres.port), "1")
    with pytest.raises(StoreError, match="cannot use the database postgresql://postgres:") as refused:
        open_store(url)
    assert PASSWORD not in str(refused.value)


def test_a_database_in_another_encoding_is_refused(postgres: PostgresServer) -> None:
    with postgres.connect() as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(StoreError, match="UTF8"):
        open_store(postgres.url("latin"), migrate=True)


def test_secrets_and_api_keys_are_to_be_given(shared: Database) -> None:
    told = cli("serve", "--port", "0", "--database", shared.setting)
    assert (told.returncode, "EXOSPHERE_API_KEY" in told.stderr) == (2, True)
    told = cli("serve", "--port", "0", "--database", shared.setting, "--api-key", "k")
    assert (told.returncode, "EXOSPHERE_SECRETS_KEY" in told.stderr) == (1, True)
    assert PASSWORD not in told.stderr + told.stdout
