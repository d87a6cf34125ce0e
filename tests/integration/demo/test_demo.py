from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests._support.command import Command

ROOT = Path(__file__).resolve().parents[3]
REPORT = ROOT / "examples" / "folder_report.py"
DEMO = ROOT / "scripts" / "demo.sh"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A few text files, among what is none."""
    made = tmp_path / "things"
    (made / "deep").mkdir(parents=True)
    (made / "alpha.py").write_text("# a remark\nzebra = 1\n\nzebra += zebra\n", encoding="utf-8")
    (made / "deep" / "beta.py").write_text("giraffe = 2  # TODO: feed it\n", encoding="utf-8")
    (made / "notes.md").write_text("# Notes\n\nThe zoo is for all of us. It is not far.\n", encoding="utf-8")
    (made / "picture.png").write_bytes(b"\x89PNG\0\0")
    (made / ".hidden").write_text("not looked at", encoding="utf-8")
    return made


def report(folder: Path, *arguments: str) -> Command:
    return Command("dev", REPORT, folder, *arguments, folder=ROOT)


def flat(command: Command) -> str:
    """Return the output without the line breaks of a narrow terminal."""
    return " ".join(command.output.split())


def rows(text: str) -> list[list[str]]:
    """Return the cells of all tables' lines."""
    lines = [line for line in text.splitlines() if line.startswith(("│", "┃"))]
    return [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in lines]


def test_the_report_tells_what_the_folder_holds_and_how_the_run_went(folder: Path) -> None:
    with report(folder) as command:
        assert command.wait() == 0
        cells = rows(command.output)
        assert ["Kind", "Files", "Lines", "Blank", "Comments", "Words"] in cells
        assert ["Python", "2", "5", "20%", "20%", "9"] in cells
        assert ["Markdown", "1", "3", "33%", "", "12"] in cells
        assert ["all", "3", "8", "25%", "20%", "21"] in cells
        assert ["alpha.py", "4", "zebra, remark"] in cells
        assert "Open points: 1 in 1 file, such as deep/beta.py" in command.output
        assert "Left out: 1 not text" in command.output
        assert "Signed: by the node with its secret, and verified: " in command.output
        assert ["Node", "SUCCESS", "RETRY_CREATED"] in cells
        assert ["list_files", "1", ""] in cells
        assert ["each_file", "3", ""] in cells
        assert ["read_text", "3", "1"] in cells
        assert ["analyse", "3", ""] in cells
        assert ["report", "1", ""] in cells
        assert ["all", "11", "1"] in cells
        assert "1 simulated failure of read_text was retried, such as SimulatedTimeoutError: alpha.py:" in flat(command)
        assert "1 minute to read" in command.output
        assert "demo/folder-report" in command.errors
        assert max(map(len, command.output.splitlines())) <= 80


def test_the_report_and_the_command_agree_on_how_long_the_run_lasted(folder: Path) -> None:
    with report(folder) as command:
        assert command.wait() == 0
        [seconds] = re.findall(r"^The run: 12 states in (\d+\.\d\d s)$", command.output, re.MULTILINE)
        [row] = [row for row in rows(command.errors) if row[0] == "demo/folder-report"]
        assert row[-1] == seconds


def test_a_state_that_fails_for_good_is_told_and_the_status_is_1(folder: Path) -> None:
    # Text as far as is looked at before it is read, and none behind that.
    (folder / "broken.txt").write_bytes(b"word " * 2000 + b"\xff")
    with report(folder) as command:
        assert command.wait() == 1
        assert ["read_text", "3", "3", "1"] in rows(command.output)
        assert "1 simulated failure of read_text was retried" in flat(command)
        assert "2 failures of read_text were retried, such as UnicodeDecodeError" in flat(command)
        assert "read_text failed for good: UnicodeDecodeError" in command.output
        assert "Without a result: broken.txt" in command.output
        assert ["Markdown", "1", "3", "33%", "", "12"] in rows(command.output)
        assert "States that failed for good:" in command.errors


def test_a_file_whose_name_is_not_utf8_is_left_out(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/odd\xff.txt")).write_text("some words\n", encoding="utf-8")
    with report(folder) as command:
        assert command.wait() == 0
        assert "1 named in something other than UTF-8" in " ".join(command.output.split())


def test_of_a_large_folder_only_as_many_files_as_the_limit_are_read(folder: Path) -> None:
    with report(folder, "--limit", "2") as command:
        assert command.wait() == 0
        assert ["all", "2", "7", "29%", "25%", "17"] in rows(command.output)
        assert "Left out: 1 not text; 1 beyond the limit of 2" in command.output


@pytest.mark.parametrize(
    ("name", "reason"), [("missing", "is not a folder"), ("picture.png", "is not a folder"), ("empty", "has no text")]
)
def test_a_folder_that_gives_nothing_to_do_is_refused(folder: Path, name: str, reason: str) -> None:
    (folder / "empty").mkdir()
    with report(folder / name) as command:
        assert command.wait() == 2
        assert f"{folder / name} {reason}" in command.errors
        assert command.output == ""


def demo(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([DEMO, *arguments], capture_output=True, text=True, check=False)


def test_the_command_takes_one_folder(tmp_path: Path) -> None:
    assert demo(tmp_path, tmp_path).returncode == 2
    assert demo("--help").stderr == "usage: scripts/demo.sh [FOLDER]\n"


def test_the_command_refuses_a_folder_that_is_missing(tmp_path: Path) -> None:
    refused = demo(tmp_path / "missing")
    assert refused.returncode == 2
    assert refused.stderr == f"scripts/demo.sh: {tmp_path / 'missing'} is not a folder\n"


@pytest.mark.skipif(
    Path(sys.prefix) != ROOT / f".venv-{sys.version_info.major}.{sys.version_info.minor}",
    reason="would make an environment: this is not the one of scripts/test.sh",
)
def test_the_command_runs_the_report(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON", sys.executable)
    ended = demo(folder)
    assert ended.returncode == 0, ended.stderr
    assert ["all", "3", "8", "25%", "20%", "21"] in rows(ended.stdout)
