from __future__ import annotations

from pathlib import Path

import pytest

from exospherehost.server import ServerSettings
from exospherehost.server.domain.errors import StartupError, StoreError
from exospherehost.server.storage.sql.database_url import database_path, postgresql_url, shown

URL = "postgresql://user:s3cret@host:5433/name?sslmode=require&password=s3cret"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_url_of_postgresql_is_for_the_one_driver(scheme: str) -> None:
    url = postgresql_url(f"{scheme}://user:s3cret@host/name")
    assert url is not None
    assert (url.drivername, url.password, url.database) == ("postgresql+psycopg", "s3cret", "name")


@pytest.mark.parametrize("setting", ["a.db", "sqlite:///a.db", Path("a.db")])
def test_a_file_has_no_such_url(setting: str | Path) -> None:
    assert postgresql_url(setting) is None
    assert database_path(setting) == Path("a.db")


def test_no_password_is_shown() -> None:
    assert "s3cret" not in shown(URL)
    assert shown(URL).startswith("postgresql://user:***@host:5433/name?")
    assert "s3cret" not in shown("postgresql://user:s3cret@host:port/name")
    assert "s3cret" not in repr(ServerSettings(api_key="k", database=URL))
    with pytest.raises(StoreError) as refused:
        postgresql_url("postgresql://user:pa@s3cret@host/name")
    assert "s3cret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_what_is_kept_beside_a_file_is_not_kept_beside_postgresql() -> None:
    with pytest.raises(StoreError, match="is no file") as refused:
        database_path(URL)
    assert "s3cret" not in str(refused.value)
    with pytest.raises(StartupError, match="EXOSPHERE_SECRETS_KEY"):
        ServerSettings(api_key="k", database=URL).open_secret_box()


@pytest.mark.parametrize("writers", [0, 65])
def test_the_number_of_writers_has_bounds(writers: int) -> None:
    with pytest.raises(StartupError, match="1 to 64"):
        ServerSettings(api_key="k", writers=writers)
