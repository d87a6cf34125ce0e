from __future__ import annotations

import base64
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from exospherehost.server import ServerSettings, StartupError, load_or_create_api_key, read_environment
from exospherehost.server.security.secret_box import load_or_create_keys
from exospherehost.server.settings import DEFAULT_CORS_ORIGINS, beside, is_loopback

GOOD_KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()


def test_the_environment_is_read_and_blanks_in_origins_are_dropped() -> None:
    read = read_environment(
        {"EXOSPHERE_API_KEY": "k", "EXOSPHERE_SECRETS_KEY": GOOD_KEY, "CORS_ORIGINS": " http://a , ,http://b"}
    )
    assert (read.api_key, read.secrets_key, read.cors_origins) == ("k", bytes(range(32)), ("http://a", "http://b"))
    empty = read_environment({"EXOSPHERE_API_KEY": "", "CORS_ORIGINS": " , "})
    assert (empty.api_key, empty.secrets_key, empty.cors_origins) == (None, None, DEFAULT_CORS_ORIGINS)


@pytest.mark.parametrize("key", ["short", GOOD_KEY[:-4], GOOD_KEY + "AAAA", "!" * 44, "é" * 44])
def test_a_malformed_secrets_key_names_its_variable_and_not_itself(key: str) -> None:
    with pytest.raises(StartupError, match="EXOSPHERE_SECRETS_KEY") as caught:
        read_environment({"EXOSPHERE_SECRETS_KEY": key})
    assert key not in str(caught.value)


@pytest.mark.parametrize("key", ["", "  ", " k", "k ", "schlüssel", "a\nb"])
def test_an_api_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(StartupError, match="API key"):
        ServerSettings(api_key=key)


def test_no_key_is_in_a_repr() -> None:
    settings = ServerSettings(api_key="the-api-key", secrets_key=b"0123456789abcdef0123456789abcdef")
    read = read_environment({"EXOSPHERE_API_KEY": "the-api-key", "EXOSPHERE_SECRETS_KEY": GOOD_KEY})
    for text in (repr(settings), repr(read)):
        assert "the-api-key" not in text
        assert "0123456789abcdef" not in text


def test_a_secrets_key_of_another_length_is_refused() -> None:
    with pytest.raises(StartupError, match="secrets_key"):
        ServerSettings(api_key="k", secrets_key=b"short").open_secret_box()


@pytest.mark.parametrize("load", [load_or_create_api_key, load_or_create_keys])
def test_a_key_file_is_made_once_for_its_owner_alone(tmp_path: Path, load: Callable[[Path], object]) -> None:
    path = tmp_path / "new" / "key"
    first = load(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load(path) == first
    assert [file.name for file in path.parent.iterdir()] == ["key"]
    assert load(tmp_path / "other") != first


@pytest.mark.parametrize("load", [load_or_create_api_key, load_or_create_keys])
def test_of_many_that_make_a_key_file_at_once_all_read_the_same(tmp_path: Path, load: Callable[[Path], object]) -> None:
    with ThreadPoolExecutor(16) as pool:
        keys = list(pool.map(load, [tmp_path / "key"] * 16))
    assert len(set(keys)) == 1


def test_a_key_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    for path in (empty, tmp_path):
        with pytest.raises(StartupError, match=path.name):
            load_or_create_api_key(path)


def test_a_secrets_key_that_is_gone_while_the_database_is_not_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = ServerSettings(api_key="k", database=tmp_path / "state.db")
    settings.open_secret_box()
    assert not caplog.records

    # A new file is made empty, and then holds no secrets.
    (tmp_path / "state.db").write_bytes(b"SQLite format 3\0")
    settings.open_secret_box()
    assert not caplog.records

    (tmp_path / "state.db.secrets-key").unlink()
    settings.open_secret_box()
    assert "EXOSPHERE_SECRETS_KEY" in caplog.text


def test_an_api_key_can_travel_in_a_header(tmp_path: Path) -> None:
    key = load_or_create_api_key(tmp_path / "key")
    assert ServerSettings(api_key=key).api_key == key
    assert len(key) > 24


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 (only looked at)
        ("::", False),
        ("10.0.0.1", False),
        ("example.com", False),
        ("", False),
    ],
)
def test_a_loopback_address_is_known(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_files_beside_a_database_carry_its_name(tmp_path: Path) -> None:
    assert beside(tmp_path / "a.db", "api-key") == tmp_path / "a.db.api-key"
    assert beside(f"sqlite:///{tmp_path}/a.db", "api-key") == tmp_path / "a.db.api-key"
    assert os.fspath(beside("a.db", "api-key")) == "a.db.api-key"
