from __future__ import annotations

from pathlib import Path

import pytest

from exospherehost.server import ServerSettings, StartupError
from exospherehost.server.storage.opening import open_store
from exospherehost.server.storage.sql.store import SqlStore
from exospherehost.server.storage.sqlite.database import SqliteDatabase
from exospherehost.server.storage.sqlite.engine import open_engines

# What SQLite calls them when asked.
LEVELS = {"full": 2, "normal": 1}


@pytest.mark.parametrize("synchronous", LEVELS)
def test_every_connection_is_as_durable_as_asked_for(tmp_path: Path, synchronous: str) -> None:
    engines = open_engines(tmp_path / "test.db", readers=1, synchronous=synchronous)
    for engine in engines:
        with engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == LEVELS[synchronous]
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        engine.dispose()


@pytest.mark.parametrize(("options", "level"), [({}, 2), ({"synchronous": "normal"}, 1)], ids=["default", "normal"])
def test_the_store_writes_as_durably_as_asked_for_and_fully_by_default(
    tmp_path: Path, options: dict[str, str], level: int
) -> None:
    store = open_store(tmp_path / "test.db", **options)  # type: ignore[arg-type]
    try:
        assert _level(store) == level
    finally:
        store.close()


def test_a_server_is_fully_durable_unless_told_otherwise() -> None:
    assert ServerSettings(api_key="k").synchronous == "full"


def test_what_is_no_level_is_refused_by_name_and_with_those_that_are() -> None:
    with pytest.raises(StartupError, match=r"'off'.*full, normal"):
        ServerSettings(api_key="k", synchronous="off")


def _level(store: SqlStore) -> int:
    assert isinstance(store._database, SqliteDatabase)
    with store._database._writer.connect() as connection:
        level: int = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
        return level
