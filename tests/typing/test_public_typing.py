"""The public API as mypy and pyright see it: right use is clean, and each wrong use is an error."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FILES = ("right_use.py", "wrong_use.py")

Found = dict[str, dict[int, str]]
"""Messages by file and line."""


def _mypy() -> Found:
    pytest.importorskip("mypy", reason="mypy is not installed")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--output", "json"),
            *("--cache-dir", str(ROOT / ".mypy_cache" / "tests-typing")),
            *(str(HERE / name) for name in FILES),
        ],
        cwd=ROOT,
        env={"MYPYPATH": str(ROOT / "generated_client"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    found: Found = {}
    for line in done.stdout.splitlines():
        issue = json.loads(line)
        if issue["severity"] == "error":
            found.setdefault(Path(issue["file"]).name, {})[issue["line"]] = issue["message"]
    return found


def _pyright() -> Found:
    program = ROOT / "node_modules" / ".bin" / "pyright"
    if not program.exists() or shutil.which("node") is None:
        pytest.skip("pyright is installed by scripts/check.sh, which needs node")
    done = subprocess.run(
        [program, "--outputjson", "--pythonpath", sys.executable, *(str(HERE / name) for name in FILES)],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    found: Found = {}
    for issue in json.loads(done.stdout)["generalDiagnostics"]:
        if issue["severity"] == "error":
            found.setdefault(Path(issue["file"]).name, {})[issue["range"]["start"]["line"] + 1] = issue["message"]
    return found


@pytest.fixture(scope="module", params=[_mypy, _pyright], ids=["mypy", "pyright"])
def found(request: pytest.FixtureRequest) -> Found:
    check: Callable[[], Found] = request.param
    return check()


def test_right_use_is_clean(found: Found) -> None:
    assert found.get("right_use.py", {}) == {}


def test_every_wrong_use_is_an_error_and_nothing_else(found: Found) -> None:
    lines = (HERE / "wrong_use.py").read_text().splitlines()
    marked = {number for number, line in enumerate(lines, 1) if line.endswith("  # error")}
    reported = found.get("wrong_use.py", {})

    assert [lines[number - 1] for number in sorted(marked - reported.keys())] == []
    assert {number: reported[number] for number in sorted(reported.keys() - marked)} == {}


def test_package_says_that_it_is_typed() -> None:
    import exospherehost
    import exospherehost_client

    for package in (exospherehost, exospherehost_client):
        assert (Path(package.__file__).parent / "py.typed").exists()
