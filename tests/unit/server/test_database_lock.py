"""One server at a time uses a SQLite file, and a second one says who does."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from exospherehost.server import ServerSettings, ServerThread, StartupError
from exospherehost.server.database_lock import hold_database
from exospherehost.server.storage.schema import open_schema
from tests._support.command import Command


def settings(database: Path) -> ServerSettings:
    return ServerSettings(api_key="key", database=database, port=0)


def test_a_second_server_is_refused_and_says_who_holds_the_file(tmp_path: Path) -> None:
    database = tmp_path / "a.db"
    with ServerThread(settings(database)) as first:
        with pytest.raises(StartupError) as refused:
            ServerThread(settings(database)).start()
        message = str(refused.value)
        assert message.startswith(f"the database {database} is in use by a server: the process {os.getpid()} on ")
        assert socket.gethostname() in message
        assert message.endswith("Stop that server, or give this one another database")
        assert httpx.get(f"{first.url}/ready").status_code == 200
    # What is over leaves nothing behind that a third would have to clear away.
    assert not (tmp_path / "a.db.lock").exists()
    with ServerThread(settings(database)):
        pass


def relative(database: Path) -> Path:
    return Path(os.path.relpath(database))


def symbolic(database: Path) -> Path:
    link = database.with_name("link.db")
    link.symlink_to(database)
    return link


def hard(database: Path) -> Path:
    folder = database.with_name("other")
    folder.mkdir()
    link = folder / "hard.db"
    link.hardlink_to(database)
    return link


OTHER_NAMES = [
    relative,
    symbolic,
    pytest.param(hard, marks=pytest.mark.skipif(sys.platform != "linux", reason="needs locks of open files")),
]


@pytest.mark.parametrize("other_name", OTHER_NAMES)
def test_another_name_of_the_file_is_the_same_file(tmp_path: Path, other_name: Callable[[Path], Path]) -> None:
    database = tmp_path / "a.db"
    with ServerThread(settings(database)) as first:
        named = other_name(database)
        for _ in range(2):
            with pytest.raises(StartupError, match=f"in use by a server: the process {os.getpid()}"):
                ServerThread(settings(named)).start()
        # Not even by those that were refused has the first lost its file.
        assert httpx.get(f"{first.url}/ready").status_code == 200
    with ServerThread(settings(named)):
        pass


@pytest.mark.parametrize("other_name", OTHER_NAMES)
def test_another_process_is_refused_by_any_name_until_the_first_is_killed(
    tmp_path: Path, other_name: Callable[[Path], Path]
) -> None:
    database = tmp_path / "a.db"
    with Command("serve", "--port", "0", "--database", database, folder=tmp_path) as first:
        first.exports()
        named = other_name(database).absolute()
        with Command("serve", "--port", "0", "--database", named, folder=tmp_path) as second:
            assert second.wait() == 1
            assert f"is in use by a server: the process {first.process.pid} on {socket.gethostname()}" in second.errors
            assert "Traceback" not in second.errors
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
    with Command("serve", "--port", "0", "--database", named, folder=tmp_path) as again:
        assert again.exports()


@pytest.mark.skipif(sys.platform != "linux", reason="needs locks of open files")
def test_commands_beside_a_server_do_not_let_go_of_its_lock(tmp_path: Path) -> None:
    database = tmp_path / "a.db"
    with ServerThread(settings(database)):
        for _ in range(2):
            with open_schema(database, must_exist=True) as schema:
                assert schema.version().is_current
            with closing(sqlite3.connect(database)) as connection:
                connection.execute("SELECT count(*) FROM runs").fetchall()
        with pytest.raises(StartupError, match="in use by a server"):
            ServerThread(settings(hard(database))).start()


def test_a_server_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    with Command("serve", "--port", "0", folder=tmp_path) as killed:
        killed.exports()
        with Command("serve", "--port", "0", folder=tmp_path) as second:
            assert second.wait() == 1
            assert f"is in use by a server: the process {killed.process.pid} on " in second.errors
            assert "Traceback" not in second.errors
        killed.process.send_signal(signal.SIGKILL)
        killed.process.wait()
    with Command("serve", "--port", "0", folder=tmp_path) as again:
        assert again.exports()


def test_a_new_file_is_not_taken_for_one_whose_secrets_key_was_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = tmp_path / "a.db"
    with ServerThread(settings(database)):
        assert "secrets_key_made" not in caplog.text
    database.with_name("a.db.secrets-key").unlink()
    with ServerThread(settings(database)):
        assert "event=secrets_key_made" in caplog.text


def test_what_cannot_be_locked_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.db.lock").mkdir()
    with pytest.raises(StartupError, match="cannot lock the file"), hold_database(tmp_path / "a.db"):
        pytest.fail("it was locked")


def test_a_database_that_is_shared_needs_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with hold_database("postgresql://user@host/name"), hold_database("postgresql://user@host/name"):
        assert not list(tmp_path.iterdir())
