"""The command tree: what it says of commands that are not loaded, and what it leaves unloaded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from exospherehost.cli.app import LazyGroup, cli

HEAVY = {
    "sqlalchemy",
    "alembic",
    "starlette",
    "uvicorn",
    "pydantic",
    "cryptography",
    "prometheus_client",
    "httpx",
    "pyreqwest",
    "rich",
    "exospherehost.server",
    "exospherehost.cli.commands.serve",
    "exospherehost_client",
}
PROGRAM = """
import json, sys
from exospherehost.cli import main
try:
    main()
finally:
    print("\\n" + json.dumps(sorted(sys.modules)))
"""


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Group]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), group


LEAVES = dict(leaves(cli))


def loaded_by(*arguments: str) -> tuple[set[str], str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    output, _, modules = done.stdout.rstrip().rpartition("\n")
    return set(json.loads(modules)), output


def test_every_command_is_found() -> None:
    assert {*LEAVES} >= {("dev",), ("run",), ("serve",), ("db", "upgrade"), ("db", "prune"), ("keys", "list")}


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_a_command_says_the_same_of_itself_as_the_tree_does(path: tuple[str, ...]) -> None:
    group = LEAVES[path]
    assert isinstance(group, LazyGroup)
    command = group.get_command(click.Context(group), path[-1])

    assert command is not None
    assert command.name == path[-1]
    assert command.get_short_help_str(limit=200) == group.places[path[-1]].short_help


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_help_of_a_command_ends_with_an_example_of_it(path: tuple[str, ...]) -> None:
    group = LEAVES[path]
    command = group.get_command(click.Context(group), path[-1])

    assert command is not None
    assert command.epilog is not None
    assert command.epilog.startswith(f"Example: exospherehost {' '.join(path)} ")


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["-h"], ["db", "--help"], ["keys", "-h"]], ids=str)
def test_help_and_version_load_no_command(arguments: list[str]) -> None:
    modules, output = loaded_by(*arguments)

    assert "exospherehost" in output
    assert modules & HEAVY == set()
    assert "click" in modules


def test_a_command_loads_its_own_module_alone() -> None:
    modules, output = loaded_by("run", "--help")

    assert "MODULE:RUNTIME" in output
    commands = {name.rpartition(".")[2] for name in modules if name.startswith("exospherehost.cli.commands.")}
    assert commands == {"run"}
