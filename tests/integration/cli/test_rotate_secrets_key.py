from __future__ import annotations

import asyncio
import base64
import os
import random
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from exospherehost.server import ServerSettings, ServerThread
from exospherehost.server.security.secret_box import SecretBox, read_keys, write_keys
from exospherehost.server.service import secret_rotation
from tests._support.api_keys import command
from tests._support.command import Command
from tests._support.service import Api, connect, good, registration

KEY = "the-key-of-the-rotation"


def start(database: Path, *keys: bytes) -> ServerThread:
    chosen = {"secrets_key": keys[0], "older_secrets_keys": keys[1:]} if keys else {}
    return ServerThread(ServerSettings(api_key=KEY, database=database, port=0, **chosen))  # type: ignore[arg-type]


def fill(api: Api, graphs: int = 3) -> list[str]:
    """Put graphs with secrets, and return a claimed state of each."""
    api.register(registration("Step", [], ["y"], ["token"]))
    states = []
    for number in range(graphs):
        api.graph(f"g{number}", api.node("a"), secrets={"token": f"value-{number}", "other": "x"})
        api.trigger(f"g{number}")
        states.append(api.claim_one()["state_id"])
    return states


def check(api: Api, states: list[str]) -> None:
    for number, state_id in enumerate(states):
        assert good(api.get(f"/state/{state_id}/secrets")) == {"secrets": {"token": f"value-{number}"}}


def sealed_by(database: Path) -> set[str]:
    """Return the ids of the keys that stored values are sealed under."""
    import json

    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT secrets, sealed_with FROM graph_versions").fetchall()
    found: set[str] = set()
    for text, sealed_with in rows:
        keys = {value.partition(".")[0] for value in json.loads(text).values()}
        assert sealed_with == (",".join(sorted(keys)) or None)
        found |= keys
    return found


def rotate(database: Path) -> str:
    done = command("db", "rotate-secrets-key", "--database", database)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_key_in_the_file_is_rotated_while_a_server_runs_and_puts_graphs(tmp_path: Path) -> None:
    database, file = tmp_path / "a.db", tmp_path / "a.db.secrets-key"
    stop = threading.Event()
    with start(database) as server, connect(server) as http:
        api = Api(http)
        states = fill(api)
        old = read_keys(file)

        def put() -> None:
            with connect(server) as own:
                number = 0
                while not stop.is_set():
                    number += 1
                    Api(own, api.namespace).graph(f"new-{number % 7}", api.node("a"), secrets={"token": f"n-{number}"})

        writer = threading.Thread(target=put)
        writer.start()
        try:
            for _ in range(5):
                rotate(database)
                check(api, states)
        finally:
            stop.set()
            writer.join()
        assert len(sealed_by(database)) == 1
        check(api, states)
    assert len(read_keys(file)) == 1
    assert read_keys(file) != old
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with start(database) as server, connect(server) as http:
        check(Api(http, api.namespace), states)
    with pytest.raises(AssertionError), start(database, *old) as server, connect(server) as http:
        check(Api(http, api.namespace), states)


@pytest.mark.parametrize("step", ["before the transaction", "in the transaction", "after the transaction"])
def test_broken_off_at_any_step_it_loses_nothing_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    database, file = tmp_path / "a.db", tmp_path / "a.db.secrets-key"
    with start(database) as server, connect(server) as http:
        api = Api(http)
        states = fill(api)
    calls = 0

    def break_off(*_: object) -> None:
        raise KeyboardInterrupt

    def write_once(path: Path, keys: list[bytes]) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        write_keys(path, keys)

    with monkeypatch.context() as patch:
        if step == "before the transaction":
            patch.setattr(secret_rotation, "reseal", break_off)
        elif step == "in the transaction":
            sealed = 0
            seal = SecretBox.seal

            def seal_some(box: SecretBox, text: str) -> str:
                nonlocal sealed
                sealed += 1
                # From then on: what fails after it has written is run once more.
                if sealed >= 3:
                    raise RuntimeError("broken off")
                return seal(box, text)

            patch.setattr(SecretBox, "seal", seal_some)
        else:
            patch.setattr(secret_rotation, "write_keys", write_once)
        assert command("db", "rotate-secrets-key", "--database", database).exit_code != 0
    assert len(read_keys(file)) == 2
    assert len(sealed_by(database)) == 1
    with start(database) as server, connect(server) as http:
        check(Api(http, api.namespace), states)
    rotate(database)
    assert len(read_keys(file)) == 1
    with start(database) as server, connect(server) as http:
        check(Api(http, api.namespace), states)


def test_killed_at_any_moment_it_loses_nothing(tmp_path: Path) -> None:
    database = tmp_path / "a.db"
    chance = random.Random(4)  # noqa: S311 (where to cut, not what to hide)
    with start(database) as server, connect(server) as http:
        api = Api(http)
        states = fill(api, 10)
        for _ in range(4):
            with Command("db", "rotate-secrets-key", "--database", database, folder=tmp_path) as running:
                threading.Event().wait(chance.uniform(0.3, 2.0))
                running.process.kill()
                running.wait()
            check(api, states)
    with start(database) as server, connect(server) as http:
        check(Api(http, api.namespace), states)
    rotate(database)
    assert len(read_keys(tmp_path / "a.db.secrets-key")) == 1


def spelled(*keys: bytes) -> str:
    return ",".join(base64.urlsafe_b64encode(key).decode() for key in keys)


def test_keys_in_the_variable_are_rotated_in_steps_without_down_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "a.db"
    old, new = os.urandom(32), os.urandom(32)
    with start(database, old) as server, connect(server) as http:
        api = Api(http)
        states = fill(api)
    # Each replica knows the new key before the first one seals with it. (A file has one server; they take turns.)
    with start(database, old, new) as one, connect(one) as http:
        check(Api(http, api.namespace), states)
    with start(database, new, old) as two, connect(two) as http:
        Api(http, api.namespace).graph("g0", api.node("a"), secrets={"token": "value-0"})
    with start(database, old, new) as one, connect(one) as http:
        check(Api(http, api.namespace), states)
    assert len(sealed_by(database)) == 2
    monkeypatch.setenv("EXOSPHERE_SECRETS_KEY", spelled(new, old))
    with start(database, new, old) as server, connect(server) as http:
        assert "remove the others from EXOSPHERE_SECRETS_KEY" in rotate(database)
        check(Api(http, api.namespace), states)
    assert len(sealed_by(database)) == 1
    with start(database, new) as server, connect(server) as http:
        check(Api(http, api.namespace), states)
    assert rotate(database).startswith("0 secrets sealed anew")
    assert not (tmp_path / "a.db.secrets-key").exists()


def test_what_no_key_opens_is_told_and_kept_with_the_old_keys(tmp_path: Path) -> None:
    database, file = tmp_path / "a.db", tmp_path / "a.db.secrets-key"
    with start(database, os.urandom(32)) as server, connect(server) as http:
        api = Api(http)
        fill(api, 1)
    with start(database) as server, connect(server) as http:
        api.http = http
        api.graph("later", api.node("a"), secrets={"token": "v"})
    before = read_keys(file)
    done = command("db", "rotate-secrets-key", "--database", database)
    assert done.exit_code == 1
    assert f"{api.namespace}/g0" in done.output
    assert read_keys(file)[1:] == before


def test_what_was_sealed_before_keys_had_ids_still_opens() -> None:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key, nonce = os.urandom(32), os.urandom(12)
    old = base64.urlsafe_b64encode(nonce + AESGCM(key).encrypt(nonce, b"v", None)).decode()
    box = SecretBox(os.urandom(32), key)
    assert box.open(old) == "v"
    assert not box.is_current(old)


def is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.mark.skipif(not is_root(), reason="only root may give files away")
def test_the_new_key_file_belongs_to_the_owner_of_the_database_and_has_its_mode(tmp_path: Path) -> None:
    database, file = tmp_path / "a.db", tmp_path / "a.db.secrets-key"
    with start(database) as server, connect(server) as http:
        fill(Api(http))
    os.chown(database, 12_345, 23_456)
    database.chmod(0o644)
    rotate(database)
    found = file.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12_345, 23_456, 0o640)


def test_a_rotation_whose_key_the_owner_of_the_database_could_not_read_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, file = tmp_path / "a.db", tmp_path / "a.db.secrets-key"
    with start(database) as server, connect(server) as http:
        fill(Api(http))
    before, sealed = file.read_text(), sealed_by(database)
    owner = os.stat_result((0o100600, 1, 1, 1, 12_345, 23_456, 1, 0, 0, 0))
    stat_of = Path.stat

    def owned_by_another(path: Path, **options: bool) -> os.stat_result:
        return owner if path == database else stat_of(path, **options)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", owned_by_another)
        patch.setattr(os, "chown", refuse)
        done = command("db", "rotate-secrets-key", "--database", database)
    assert done.exit_code == 1
    assert f"it must belong to the owner of {database} (user 12345): run this as that user or as root" in done.output
    assert (file.read_text(), sealed_by(database)) == (before, sealed)


def test_a_server_that_cannot_read_the_new_key_seals_nothing_with_the_old_one(tmp_path: Path) -> None:
    database, file = tmp_path / "a.db", tmp_path / "a.db.secrets-key"
    with start(database) as server, connect(server) as http:
        api = Api(http)
        states = fill(api)
        kept = file.read_text()
        # As a file without read permission is to anybody but root.
        file.write_text("unreadable")
        body = {"secrets": {"token": "v"}, "nodes": [api.node("a")]}
        refused = api.put("/graph/later", body)
        assert refused.status_code == 503
        assert refused.json()["detail"].startswith("The server cannot read its secrets keys. Its log says why")
        assert api.get("/graph/later").status_code == 404
        # What needs no new secret goes on.
        check(api, states)
        assert api.put("/graph/plain", {"secrets": {}, "nodes": [api.node("a", node="No")]}).status_code == 201
        api.trigger("g0")
        file.write_text(kept)
        assert api.put("/graph/later", body).status_code == 201
    with start(database) as server, connect(server) as http:
        check(Api(http, api.namespace), states)


def test_two_rotations_at_once_exclude_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database, file = tmp_path / "a.db", tmp_path / "a.db.secrets-key"
    with start(database) as server, connect(server) as http:
        api = Api(http)
        states = fill(api)
    second: list[str] = []
    reseal = secret_rotation.reseal

    async def reseal_beside_another(*given: Any) -> Any:
        done = await asyncio.to_thread(command, "db", "rotate-secrets-key", "--database", database)
        assert done.exit_code == 1
        second.append(done.output)
        return await reseal(*given)

    with monkeypatch.context() as patch:
        patch.setattr(secret_rotation, "reseal", reseal_beside_another)
        rotate(database)
    assert f"another rotation of {file} is under way: the process {os.getpid()} on " in second[0]
    assert len(read_keys(file)) == 1
    assert sorted(path.name for path in tmp_path.glob("*key*")) == ["a.db.secrets-key"]
    with start(database) as server, connect(server) as http:
        check(Api(http, api.namespace), states)
