"""One server at a time uses a SQLite file, and a second one says who does."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import httpx
import pytest

from exospherehost.server import ServerSettings, ServerThread, StartupError
from exospherehost.server.database_lock import hold_database
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


def test_another_name_of_the_file_is_the_same_file(tmp_path: Path) -> None:
    database, other_name = tmp_path / "a.db", tmp_path / "link.db"
    other_name.symlink_to(database)
    with ServerThread(settings(database)), pytest.raises(StartupError, match="in use by a server: the process"):
        ServerThread(settings(other_name)).start()


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


def test_what_cannot_be_locked_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.db.lock").mkdir()
    with pytest.raises(StartupError, match="cannot lock the file"), hold_database(tmp_path / "a.db"):
        pytest.fail("it was locked")


def test_a_database_that_is_shared_needs_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with hold_database("postgresql://user@host/name"), hold_database("postgresql://user@host/name"):
        assert not list(tmp_path.iterdir())
