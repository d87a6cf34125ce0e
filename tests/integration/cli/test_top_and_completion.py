"""What runs now, and names that the shell completes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests._support.cli_service import Shell, work_off
from tests._support.command import COMMAND
from tests._support.service import Api


def test_what_runs_now_is_shown_once(api: Api, shell: Shell, failed_run: str) -> None:
    shell.run("trigger", "greetings", "-i", "name=Ada")
    output = shell.run("top", "--once").stdout
    assert "1 run going on  1 state pending  1 of the newest 2 failed" in output
    assert output.index("PENDING") < output.index(failed_run)
    work_off(api)
    assert "0 runs going on" in shell.run("top", "--once").stdout


def test_a_live_view_needs_a_terminal(shell: Shell, failed_run: str) -> None:
    assert failed_run
    assert "--once" in shell.run("top", exit_code=2).stderr


def completed(shell: Shell, folder: Path, words: str) -> list[str]:
    environment = {
        **shell.environment,
        "COMP_WORDS": f"exospherehost {words}",
        "COMP_CWORD": str(len(words.split(" "))),
        "_EXOSPHEREHOST_COMPLETE": "bash_complete",
        "PATH": str(Path(sys.executable).parent),
    }
    done = subprocess.run(COMMAND, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_names_of_the_service_are_completed(shell: Shell, tmp_path: Path, failed_run: str) -> None:
    assert completed(shell, tmp_path, "graphs show gr") == ["greetings"]
    assert completed(shell, tmp_path, "nodes show ") == ["Greet", "Shout"]
    assert completed(shell, tmp_path, f"runs show {failed_run[:4]}") == [failed_run]
    assert completed(shell, tmp_path, "graphs show x") == []
    assert "--status" in completed(shell, tmp_path, "runs list --st")


@pytest.mark.usefixtures("api")
def test_nothing_is_said_while_somebody_types(shell: Shell, tmp_path: Path) -> None:
    shell.environment["EXOSPHERE_STATE_MANAGER_URI"] = "http://127.0.0.1:9"
    assert completed(shell, tmp_path, "graphs show ") == []
    shell.environment.pop("EXOSPHERE_API_KEY")
    assert completed(shell, tmp_path, "graphs show ") == []


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell(shell: Shell, name: str) -> None:
    assert "_EXOSPHEREHOST_COMPLETE" in shell.run("completion", name).stdout
