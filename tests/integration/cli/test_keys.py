from __future__ import annotations

from pathlib import Path

import pytest

from exospherehost.server.storage.opening import open_store
from tests._support.api_keys import command, id_of, make_key
from tests._support.command import Command


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "a.db"
    open_store(path).close()
    return path


def test_a_key_is_printed_alone_on_standard_output_and_never_again(database: Path) -> None:
    done = command("keys", "create", "--database", database, "--namespace", "b", "--namespace", "a", "--name", "team")
    key = done.stdout.strip()
    assert done.stderr == f"Key {id_of(key)}, for a, b. It is not shown again:\n"
    listed = command("keys", "list", "--database", database)
    assert listed.exit_code == 0
    assert key.split("_", 2)[2] not in listed.output
    for part in (id_of(key), "team", "a, b", "never", "works"):
        assert part in listed.output


def test_the_list_tells_how_each_stands(database: Path) -> None:
    revoked = make_key(database, "--name", "first")
    make_key(database, "--name", "second", "--expires", "90d")
    command("keys", "revoke", "--database", database, id_of(revoked))
    first, second = [
        line for line in command("keys", "list", "--database", database).output.splitlines() if "all" in line
    ]
    assert "first" in first
    assert "revoked 2" in first
    assert "second" in second
    assert "works" in second


def test_only_a_key_that_works_can_be_revoked(database: Path) -> None:
    key_id = id_of(make_key(database))
    assert command("keys", "revoke", "--database", database, key_id).exit_code == 0
    for other, named in ((key_id, f"the id {key_id}"), ("no-such-id", "that id (an id has ten hexadecimal digits)")):
        done = command("keys", "revoke", "--database", database, other)
        assert done.exit_code == 1
        assert f"there is no key with {named} that works" in done.output


def test_a_whole_key_can_be_given_to_revoke_it_and_is_not_repeated(database: Path) -> None:
    key = make_key(database)
    for exit_code, shown in ((0, f"Key {id_of(key)} is revoked"), (1, f"no key with the id {id_of(key)}")):
        done = command("keys", "revoke", "--database", database, key)
        assert done.exit_code == exit_code
        assert shown in done.output
        assert key not in done.output
    mistyped = f"{key}x"
    done = command("keys", "revoke", "--database", database, mistyped)
    assert done.exit_code == 1
    assert key not in done.output


@pytest.mark.parametrize("duration", ["soon", "0d", "-1h", "5", "1y", "1.5h"])
def test_what_is_no_duration_is_refused(database: Path, duration: str) -> None:
    done = command("keys", "create", "--database", database, f"--expires={duration}")
    assert done.exit_code == 2
    assert "such as 30d" in done.output
    assert "exk_" not in command("keys", "list", "--database", database).output


@pytest.mark.parametrize("namespace", ["", "a/b"])
def test_what_is_no_namespace_is_refused(database: Path, namespace: str) -> None:
    done = command("keys", "create", "--database", database, "--namespace", namespace)
    assert done.exit_code == 2
    assert "namespace" in done.output


@pytest.mark.parametrize(
    "words", [["keys", "create"], ["keys", "list"], ["keys", "revoke", "x"], ["db", "backup", "b.db"]]
)
def test_a_mistyped_database_is_not_made(tmp_path: Path, words: list[str]) -> None:
    done = command(*words, "--database", tmp_path / "mistyped.db")
    assert done.exit_code == 1
    assert "there is no database" in done.output
    assert list(tmp_path.iterdir()) == []


def test_it_all_works_as_a_person_would_type_it_while_a_server_runs(tmp_path: Path) -> None:
    with Command("serve", "--port", "0", folder=tmp_path) as server:
        server.exports()
        with Command("keys", "create", "--namespace", "a", folder=tmp_path) as made:
            assert made.wait() == 0
            key = made.output.strip()
        with server.connect(key) as http:
            assert http.get("/v0/namespace/a/nodes/").status_code == 200
            assert http.get("/v0/namespace/b/nodes/").status_code == 403
        assert server.interrupt() == 0
        assert key not in server.output + server.errors
