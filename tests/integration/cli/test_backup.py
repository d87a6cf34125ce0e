from __future__ import annotations

import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from exospherehost.server import ServerSettings, ServerThread
from tests._support.api_keys import command
from tests._support.service import Api, connect, good, registration

KEY = "the-key-of-the-backup"


def start(database: Path) -> ServerThread:
    return ServerThread(ServerSettings(api_key=KEY, database=database, port=0))


def test_a_backup_under_write_load_is_whole_and_its_runs_can_be_completed(tmp_path: Path) -> None:
    source, copy = tmp_path / "live.db", tmp_path / "copy.db"
    stop = threading.Event()
    with start(source) as server, connect(server) as http:
        api = Api(http, "work")
        api.register(registration("Step", [], ["y"], ["token"]))
        api.graph("g", api.node("a", next_nodes=["b"]), api.node("b"), secrets={"token": "v"})
        before = [api.trigger("g") for _ in range(20)]

        def write() -> None:
            with connect(server) as own:
                mine = Api(own, "work")
                while not stop.is_set():
                    mine.trigger("g")
                    for state in mine.claim(size=2):
                        mine.executed(state, {"y": "x" * 1_000})

        writers = [threading.Thread(target=write) for _ in range(3)]
        for writer in writers:
            writer.start()
        try:
            made = [command("db", "backup", "--database", source, copy)]
            made += [command("db", "backup", "--database", source, tmp_path / f"more-{n}.db") for n in range(3)]
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        assert [done.exit_code for done in made] == [0] * 4, made[0].output
        assert "live.db.secrets-key" in made[0].output
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir() if "copy" in path.name) == ["copy.db"]
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []

    # Restored: with the key that was kept apart.
    (tmp_path / "copy.db.secrets-key").write_bytes((tmp_path / "live.db.secrets-key").read_bytes())
    with start(copy) as server, connect(server) as http:
        api = Api(http, "work")
        runs = [run["run_id"] for run in good(api.get("/runs/1/1000"))["runs"]]
        assert set(before) <= set(runs)
        # What was claimed when the copy was made is known to nobody now, as after any crash: an operator retries it.
        for run in runs:
            for state in api.states(run):
                if state["status"] == "QUEUED":
                    good(api.report(state["id"], "manual-retry", {"fanout_id": "restored"}))
        api.work_off()
        for run in runs:
            assert api.run(run)["status"] == "SUCCESS"
        api.trigger("g")
        state_id = api.claim_one()["state_id"]
        assert good(api.get(f"/state/{state_id}/secrets")) == {"secrets": {"token": "v"}}


def test_a_file_that_there_is_is_not_overwritten(tmp_path: Path) -> None:
    with start(tmp_path / "live.db"):
        (tmp_path / "taken").write_text("mine")
        done = command("db", "backup", "--database", tmp_path / "live.db", tmp_path / "taken")
    assert done.exit_code == 1
    assert "exists: give the name of a new file" in done.output
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_damaged_database_gives_no_backup(tmp_path: Path) -> None:
    database = tmp_path / "live.db"
    with start(database):
        pass
    damaged = bytearray(database.read_bytes())
    damaged[8_192:12_288] = b"\xff" * 4_096
    database.write_bytes(damaged)
    done = command("db", "backup", "--database", database, tmp_path / "copy.db")
    assert done.exit_code == 1
    assert not (tmp_path / "copy.db").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".copy")]


def test_a_folder_that_there_is_not_is_one_line_of_error(tmp_path: Path) -> None:
    with start(tmp_path / "live.db"):
        done = command("db", "backup", "--database", tmp_path / "live.db", tmp_path / "none" / "copy.db")
    assert done.exit_code == 1
    assert "cannot write" in done.output
    assert done.output.count("\n") == 1


@pytest.mark.parametrize("url", ["postgresql://u:the-password@h/d", "postgresql+psycopg://u:the-password@h/d"])
def test_postgresql_has_its_own_tool(tmp_path: Path, url: str) -> None:
    done = command("db", "backup", "--database", url, tmp_path / "copy.db")
    assert done.exit_code == 1
    assert "pg_dump" in done.output
    assert "the-password" not in done.output
