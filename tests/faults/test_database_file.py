"""What happens to a server's SQLite file under it: nothing is answered from a file that is gone, or not written."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from exospherehost.server import ServerSettings, ServerThread
from tests._support.command import Command
from tests._support.eventually import eventually_sync
from tests._support.service import Api, connect

OTHERS_MAY = stat.S_IRWXG | stat.S_IRWXO


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "data" / "a.db"


@pytest.fixture
def api(database: Path) -> Iterator[Api]:
    with ServerThread(ServerSettings(api_key="k", database=database, port=0)) as server, connect(server) as http:
        api = Api(http)
        api.steps()
        api.graph("g", api.node("a"))
        api.trigger("g")
        yield api


def trigger(api: Api) -> httpx.Response:
    return api.http.post(f"/v0/namespace/{api.namespace}/graph/g/trigger", json={"store": {}, "inputs": {}})


def reason(api: Api) -> str:
    answer = api.http.get("/ready")
    return "" if answer.status_code == 200 else str(answer.json()["reason"])


def assert_stopped(api: Api, text: str) -> None:
    for _ in range(3):
        answer = trigger(api)
        assert answer.status_code == 503, answer.text
        assert answer.json() == {"detail": f"{text[:1].upper()}{text[1:]}"}
    assert reason(api) == f"database: {text}"
    assert api.http.get("/health").status_code == 200


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_a_file_that_is_deleted_stops_all_and_none_is_made_anew(api: Api, database: Path, suffix: str) -> None:
    file = database.with_name(database.name + suffix)
    file.unlink()
    assert_stopped(api, f"the file {file.name} is gone (No such file or directory)")
    # Nothing is read from what no longer has a name either.
    assert api.http.get(f"/v0/namespace/{api.namespace}/runs/1/10").status_code == 503
    assert not file.exists()


def test_the_log_says_once_what_is_wrong_and_once_that_it_is_over(
    api: Api, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="exospherehost.server.storage")
    away = database.with_name("away.db")
    database.rename(away)
    assert [trigger(api).status_code for _ in range(5)] == [503] * 5
    away.rename(database)
    assert trigger(api).status_code == 200
    assert [message.partition(" ")[0] for message in caplog.messages] == [
        "event=database_unavailable",
        "event=database_back",
    ]
    assert "a.db is gone" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_file_that_comes_back_is_served_again(api: Api, database: Path) -> None:
    away = database.with_name("away.db")
    database.rename(away)
    assert_stopped(api, "the file a.db is gone (No such file or directory)")
    away.rename(database)
    assert trigger(api).status_code == 200
    assert reason(api) == ""


def test_a_file_that_is_replaced_is_not_taken_for_the_other(api: Api, database: Path) -> None:
    copy = database.with_name("copy.db")
    shutil.copy(database, copy)
    before = copy.read_bytes()
    copy.replace(database)
    assert_stopped(api, "the file a.db is another than was opened")
    assert database.read_bytes() == before


def test_a_file_that_is_cut_short_stops_all(api: Api, database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(FULL)").fetchall()
    assert trigger(api).status_code == 200
    os.truncate(database, 4096)
    assert_stopped(api, "the file a.db was cut short")


def test_a_database_that_was_made_smaller_by_its_owner_is_whole(api: Api, database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE more AS SELECT zeroblob(1000000) AS it").fetchall()
        connection.execute("PRAGMA wal_checkpoint(FULL)").fetchall()
        assert trigger(api).status_code == 200
        large = database.stat().st_size
        connection.execute("DROP TABLE more")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert database.stat().st_size < large
    assert trigger(api).status_code == 200
    assert reason(api) == ""


def test_all_files_are_their_owners_alone_whatever_the_umask_is(tmp_path: Path) -> None:
    database = tmp_path / "data" / "a.db"
    program = (
        "import os, sys; os.umask(0)\n"
        "from exospherehost.server import ServerSettings, ServerThread\n"
        "with ServerThread(ServerSettings(api_key='k', database=sys.argv[1], port=0)):\n"
        "    entries = os.scandir(os.path.dirname(sys.argv[1]))\n"
        "    print(*(f'{entry.name}={entry.stat().st_mode & 0o777:o}' for entry in entries))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(database)], capture_output=True, text=True, check=True, timeout=60
    )
    modes = dict(part.split("=") for part in done.stdout.split())
    assert {"a.db", "a.db-wal", "a.db-shm"} <= modes.keys()
    assert {mode for name, mode in modes.items() if name.startswith("a.db")} == {"600"}


def test_a_link_to_a_file_that_is_missing_makes_it_for_its_owner_alone(tmp_path: Path) -> None:
    link, real = tmp_path / "link.db", tmp_path / "elsewhere" / "real.db"
    link.symlink_to(real)
    with ServerThread(ServerSettings(api_key="k", database=link, port=0)):
        assert not real.stat().st_mode & OTHERS_MAY


@pytest.mark.skipif(sys.platform != "linux", reason="another process's limits are set on Linux only")
def test_a_file_that_can_grow_no_more_makes_the_server_unready_before_and_after_a_write(tmp_path: Path) -> None:
    with Command("serve", "--port", "0", folder=tmp_path) as serving, serving.connect() as http:
        api = prepared(http)
        limit = resource.prlimit(serving.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(serving.process.pid, resource.RLIMIT_FSIZE, (1, limit[1]))
        # Nobody has written yet: it finds out by itself.
        eventually_sync(lambda: reason(api) == "database: the disk that holds the database fails", 20)
        assert_stopped(api, "the disk that holds the database fails")
        resource.prlimit(serving.process.pid, resource.RLIMIT_FSIZE, limit)
        eventually_sync(lambda: reason(api) == "", 20)
        assert trigger(api).status_code == 200
        assert len(api.get("/runs/1/10").json()["runs"]) == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    done = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, check=False
    )
    if not done or done.returncode:
        pytest.skip("a disk of its own cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run([str(shutil.which("umount")), "-l", folder], check=True)


def test_a_full_disk_makes_the_server_unready_until_there_is_room(small_disk: Path) -> None:
    database = small_disk / "a.db"
    with ServerThread(ServerSettings(api_key="k", database=database, port=0)) as server, connect(server) as http:
        api = prepared(http)
        ballast = small_disk / "ballast"
        with pytest.raises(OSError, match="No space left"):
            ballast.write_bytes(bytes(8 << 20))
        eventually_sync(lambda: reason(api) == "database: the disk that holds the database is full", 20)
        assert_stopped(api, "the disk that holds the database is full")
        ballast.unlink()
        eventually_sync(lambda: reason(api) == "", 20)
        assert trigger(api).status_code == 200


def prepared(http: httpx.Client) -> Api:
    api = Api(http)
    api.steps()
    api.graph("g", api.node("a"))
    api.trigger("g")
    assert reason(api) == ""
    return api
