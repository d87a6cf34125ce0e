"""Where `serve` and `dev` say that the dashboard is: a link that signs in, for a terminal's eyes only."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests._support.command import COMMAND, Command

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
LINK = re.compile(r"(http://127\.0\.0\.1:\d+)/ui/#link=([\w-]+)")
SCRIPT = "import sys; sys.stdin.read()"


@contextmanager
def on_a_terminal(*arguments: str, folder: Path) -> Iterator[int]:
    """A command whose outputs are a terminal, and the other end of that."""
    pid, terminal = os.forkpty()
    if pid == 0:
        os.chdir(folder)
        os.execv(COMMAND[0], [*COMMAND, *arguments])  # noqa: S606 - in the child, where nothing else may run
    try:
        yield terminal
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(terminal)


def read_until(terminal: int, pattern: re.Pattern[str]) -> re.Match[str]:
    text = ""
    while True:
        text += os.read(terminal, 4_096).decode()
        if match := pattern.search(text):
            return match


def sign_in(match: re.Match[str]) -> int:
    return httpx.post(f"{match[1]}/ui/session", json={"link": match[2]}).status_code


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_serve_prints_a_link_that_signs_in_once_on_a_terminal(tmp_path: Path) -> None:
    with on_a_terminal("serve", "--port", "0", folder=tmp_path) as terminal:
        match = read_until(terminal, re.compile(LINK.pattern + r"\s"))
        assert [sign_in(match), sign_in(match)] == [200, 401]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_dev_prints_a_link_on_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    with on_a_terminal("dev", "script.py", folder=tmp_path) as terminal:
        assert sign_in(read_until(terminal, re.compile(LINK.pattern + r"\s"))) == 200


def test_serve_prints_the_address_alone_where_nobody_reads(tmp_path: Path) -> None:
    with Command("serve", "--port", "0", folder=tmp_path) as command:
        url = command.exports()["EXOSPHERE_STATE_MANAGER_URI"]
        command.wait_for(f"Dashboard: {url}/ui/ (sign in with the API key)\n")
        assert httpx.get(f"{url}/ui/").status_code == 200
        command.interrupt()
        assert "link=" not in command.output + command.errors


@pytest.mark.parametrize("access_log", ["json", "text"])
def test_the_access_log_holds_no_token(tmp_path: Path, access_log: str) -> None:
    with Command("serve", "--port", "0", "--access-log", access_log, folder=tmp_path) as command:
        url = command.exports()["EXOSPHERE_STATE_MANAGER_URI"]
        key = command.exports()["EXOSPHERE_API_KEY"]
        session = httpx.post(f"{url}/ui/session", headers={"x-api-key": key}).json()["session"]
        httpx.get(f"{url}/v0/namespaces", headers={"x-exosphere-session": session})
        command.interrupt()
        assert "/ui/session" in command.output
        assert session not in command.output + command.errors


def test_no_ui_means_none(tmp_path: Path) -> None:
    with Command("serve", "--port", "0", "--no-ui", folder=tmp_path) as command:
        url = command.exports()["EXOSPHERE_STATE_MANAGER_URI"]
        assert httpx.get(f"{url}/ui/").status_code == 404
        command.interrupt()
        assert "Dashboard" not in command.output + command.errors


@pytest.mark.parametrize("status", [0, 3])
def test_dev_keeps_the_state_manager_once_the_script_has_ended(tmp_path: Path, status: int) -> None:
    (tmp_path / "script.py").write_text(f"import sys; sys.exit({status})", encoding="utf-8")
    with Command("dev", "--keep", "script.py", folder=tmp_path) as command:
        command.wait_for("The script has ended")
        url = command.exports()["EXOSPHERE_STATE_MANAGER_URI"]
        assert httpx.get(f"{url}/ui/").status_code == 200
        assert command.interrupt() == status


def test_dev_keeps_nothing_after_a_script_that_a_signal_ended(tmp_path: Path) -> None:
    script = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    with Command("dev", "--keep", "script.py", folder=tmp_path) as command:
        assert command.wait() == 128 + 15
