"""README and docs: their blocks run, and what they name is there."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import exospherehost
from exospherehost import GraphNodeModel, SyncStateManager, _config
from exospherehost.cli.app import cli
from exospherehost.server import ServerSettings, ServerThread
from exospherehost_client.api.nodes import list_nodes, register_nodes
from exospherehost_client.client import AuthenticatedClient
from exospherehost_client.models import NodeRegistration, RegisterNodesRequest
from tests._support.command import Command
from tests._support.eventually import eventually_sync
from tests._support.runtimes import KEY
from tests.docs.markdown import Block, blocks, commands, local_links, variables

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCS = {path: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
PYTHON = [
    *blocks(README, "python"),
    *(block for path, text in DOCS.items() for block in blocks(text, "python", path.stem)),
]
PACKAGE = Path(exospherehost.__file__).parent

# What a block's functions are called with.
ARGUMENTS = {"graph_name": "digest"}
# The nodes that the graphs of the blocks are made of, which in life some runtime has registered.
NODES = {
    "Start": ([], []),
    "List": ([], ["path"]),
    "Read": (["path", "language"], ["text"]),
    "Report": ([], []),
    "Greet": (["name"], []),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerThread]:
    with ServerThread(ServerSettings(api_key=KEY, database=tmp_path / "exosphere.db", port=0)) as running:
        with AuthenticatedClient(running.url, KEY) as client:
            register_nodes.sync("demo", client=client, body=_registration())
        yield running


def _registration() -> RegisterNodesRequest:
    def schema(fields: list[str]) -> dict[str, object]:
        return {"type": "object", "properties": {field: {"type": "string"} for field in fields}, "required": fields}

    nodes = [
        NodeRegistration(name=name, inputs_schema=schema(inputs), outputs_schema=schema(outputs), secrets=[])
        for name, (inputs, outputs) in NODES.items()
    ]
    return RegisterNodesRequest(runtime_name="readme", nodes=nodes)


def run(server: ServerThread, block: Block, folder: Path) -> subprocess.Popen[str]:
    """Start a block as the script that a reader would make of it, calling what it only defines."""
    script = folder / "block.py"
    calls = [
        f"asyncio.run({name}({', '.join(repr(ARGUMENTS[parameter]) for parameter in parameters)}))"
        for name, parameters in block.uncalled
    ]
    script.write_text("\n".join([block.text, *(["import asyncio"] if calls else []), *calls]))
    variables = {"EXOSPHERE_STATE_MANAGER_URI": server.url, "EXOSPHERE_API_KEY": KEY}
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(script)],
        cwd=folder,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: f"{block.page} {block.line}")
def test_python_block_runs(server: ServerThread, block: Block, tmp_path: Path) -> None:
    process = run(server, block, tmp_path)
    try:
        if block.blocks_for_ever:
            (name,) = re.findall(r'Runtime\(namespace="demo", name="(\w+)"', block.text)
            with AuthenticatedClient(server.url, KEY) as client:
                eventually_sync(
                    lambda: (
                        process.poll() is not None
                        or name in {node.runtime_name for node in list_nodes.sync("demo", client=client).nodes}
                    ),
                    within=30,
                )
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()

    assert process.returncode == 0, err
    assert "Traceback" not in err
    # A block that catches errors prints what it caught.
    assert "failed:" not in out
    assert "refused:" not in out


def test_there_are_blocks_and_each_does_something() -> None:
    assert len(PYTHON) >= 7
    for block in PYTHON:
        tree = ast.parse(block.text)
        assert any(not isinstance(node, ast.Import | ast.ImportFrom) for node in tree.body)


def test_quick_start_says_hello_under_dev(tmp_path: Path) -> None:
    script = tmp_path / "hello.py"
    script.write_text(PYTHON[0].text)

    done = subprocess.run(
        [sys.executable, "-m", "exospherehost.cli", "dev", "hello.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "Hello, Ada!" in done.stdout


def test_the_same_file_serves_its_runtime_under_run(server: ServerThread, tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(PYTHON[0].text)
    environment = {"EXOSPHERE_STATE_MANAGER_URI": server.url, "EXOSPHERE_API_KEY": KEY}

    with Command("run", "hello:runtime", folder=tmp_path, environment=environment) as command:
        command.wait_for("event=runtime_started")
        with SyncStateManager("demo", server.url, KEY) as manager:
            greet = GraphNodeModel(node_name="Greet", namespace="demo", identifier="greet", inputs={"name": "Ada"})
            manager.upsert_graph("greetings", graph_nodes=[greet], secrets={})
            manager.wait(manager.trigger("greetings", inputs={})["run_id"]).raise_for_status()
        command.process.send_signal(signal.SIGINT)
        assert command.wait() == 0
        assert "Hello, Ada!" in command.output


def test_the_quick_start_is_short_before_its_first_result() -> None:
    assert len([line for line in PYTHON[0].text.splitlines() if line.strip()]) < 25


def test_the_page_is_short() -> None:
    assert 150 <= len(README.splitlines()) <= 250


@pytest.mark.parametrize("tool", ["mypy", "pyright"])
def test_python_blocks_have_no_type_errors(tool: str, tmp_path: Path) -> None:
    files = []
    for block in PYTHON:
        files.append(tmp_path / f"{block.page}_{block.line}.py")
        files[-1].write_text(block.text)
    if tool == "mypy":
        pytest.importorskip("mypy", reason="mypy is not installed")
        cache = str(ROOT / ".mypy_cache" / "tests-readme")
        command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--cache-dir", cache]
    else:
        program = ROOT / "node_modules" / ".bin" / "pyright"
        if not program.exists():
            pytest.skip("pyright is installed by scripts/check.sh")
        command = [str(program), "--pythonpath", sys.executable]
    done = subprocess.run(
        [*command, *map(str, files)],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": f"{ROOT}:{ROOT / 'generated_client'}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def _sources() -> str:
    return "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))


def test_every_variable_that_it_names_is_read() -> None:
    read = set(re.findall(r'"((?:EXOSPHERE_[A-Z_]+|CORS_ORIGINS))"', _sources()))

    assert variables(README)
    # The rest of such a name is a user's, as of a secret.
    beginnings = tuple(name for name in read if name.endswith("_"))
    named = variables("\n".join([README, *DOCS.values()])) - read
    assert {name for name in named if not name.startswith(beginnings)} == set()


def test_every_variable_of_the_sdk_is_named() -> None:
    ours = {value for name, value in vars(_config).items() if name.endswith("_VARIABLE")}

    assert len(ours) == 4
    assert ours - variables(README) == set()


COMMANDS = [words for words in commands(README) if words[0] == "exospherehost"]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_that_it_names_is_there(words: list[str]) -> None:
    command = cli.get_command(click.Context(cli), words[1])
    assert command is not None
    options = {option for parameter in command.params for option in parameter.opts}
    # What follows the script belongs to the script.
    own = words[2:] if words[1] != "dev" else words[2 : next(n for n, word in enumerate(words) if word.endswith(".py"))]

    assert {word.partition("=")[0] for word in own if word.startswith("--")} <= options


def test_commands_are_named() -> None:
    assert {words[1] for words in COMMANDS} >= {"serve", "dev", "run"}


def test_every_option_that_it_names_is_there() -> None:
    context = click.Context(cli)
    found = [cli.get_command(context, name) for name in cli.list_commands(context)]
    known = {option for command in found if command for parameter in command.params for option in parameter.opts}
    scripts = "\n".join(path.read_text() for path in (ROOT / "scripts").iterdir() if path.is_file())

    for option in set(re.findall(r"`[^`\n]*?(--[a-z-]+)", README)):
        assert option in known or option in scripts, option


def test_every_script_that_it_names_is_there_and_runs() -> None:
    named = {word for words in commands(README) for word in words if word.startswith("scripts/")}
    named |= set(re.findall(r"`(scripts/[\w.]+)", README))

    assert named >= {"scripts/demo.sh", "scripts/test.sh", "scripts/generate.sh"}
    for script in named:
        assert os.access(ROOT / script, os.X_OK), script


def test_every_link_into_the_repository_leads_somewhere() -> None:
    links = [ROOT / link for link in local_links(README)]
    links += [path.parent / link for path, text in DOCS.items() for link in local_links(text)]

    assert links
    assert [link for link in links if not link.exists()] == []


def test_every_public_name_that_it_uses_is_there() -> None:
    imports = [
        (node.module, alias.name)
        for block in PYTHON
        for node in ast.walk(ast.parse(block.text))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]

    used = {name for module, name in imports if module == "exospherehost"}
    assert used
    assert used <= set(exospherehost.__all__)
