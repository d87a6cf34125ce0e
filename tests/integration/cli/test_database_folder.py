"""A folder that `--database` names and that does not exist: commands that create it say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests._support.command import Command

COMMANDS = {
    "serve": ("serve", "--port", "0", "--database"),
    "dev": ("dev", "--database"),
    "upgrade": ("db", "upgrade", "--database"),
}


@pytest.fixture
def script(tmp_path: Path) -> Path:
    made = tmp_path / "script.py"
    made.write_text("print('nothing')", encoding="utf-8")
    return made


def run(name: str, database: str, script: Path) -> Command:
    return Command(*COMMANDS[name], database, *([script] if name == "dev" else []), folder=script.parent)


def end(command: Command, name: str) -> int:
    if name != "serve":
        return command.wait()
    command.exports()
    return command.interrupt()


@pytest.mark.parametrize("prefix", ["", "sqlite:///"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_that_is_created_is_named(script: Path, name: str, prefix: str) -> None:
    folder = script.parent / "new" / "deep"
    with run(name, f"{prefix}{folder / 'runs.db'}", script) as command:
        assert end(command, name) == 0
        assert command.errors.startswith(f"Created the folder {folder} for the database.\n")
        assert "Created" not in command.output
    assert (folder / "runs.db").is_file()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_that_exists_is_not_worth_a_word(script: Path, name: str) -> None:
    with run(name, "runs.db", script) as command:
        assert end(command, name) == 0
        assert "Created" not in command.output + command.errors


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_that_cannot_be_created_is_one_line_of_error(script: Path, name: str) -> None:
    (script.parent / "file").touch()
    with run(name, "file/deep/runs.db", script) as command:
        assert command.wait() == 1
        assert command.errors == "Error: cannot open the database file/deep/runs.db: Not a directory\n"


def test_options_that_are_refused_create_no_folder(script: Path) -> None:
    with Command("serve", "--host", "::", "--database", "new/runs.db", folder=script.parent) as command:
        assert command.wait() == 2
    assert not (script.parent / "new").exists()


def test_a_command_that_needs_a_database_creates_no_folder(script: Path) -> None:
    with Command("keys", "list", "--database", "new/runs.db", folder=script.parent) as command:
        assert command.wait() == 1
        assert "there is no database new/runs.db" in command.errors
    assert not (script.parent / "new").exists()
