"""An environment of its own for the published SDK."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MINIMUM = (3, 12)


def _version(python: str) -> tuple[int, int] | None:
    code = "import sys, ensurepip, venv; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    major, minor = done.stdout.split()
    return int(major), int(minor)


def _candidates() -> list[str]:
    named = os.environ.get("EXOSPHERE_INTEROP_PYTHON")
    on_path = [shutil.which(f"python3.{minor}") for minor in (14, 13, 12)]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    return [python for python in (named, sys.executable, *on_path, *map(str, pyenv.glob("3.*/bin/python"))) if python]


@pytest.fixture(scope="session")
def published_python() -> str:
    """The interpreter of an environment with the published SDK, made where it is missing."""
    base = next((python for python in _candidates() if (_version(python) or (0, 0)) >= MINIMUM), None)
    if base is None:
        reason = "the published SDK 0.0.3 needs Python 3.12 or newer, and there is none"
        if os.environ.get("EXOSPHERE_REQUIRE_INTEROP"):
            pytest.fail(reason)
        pytest.skip(reason)
    requirements = HERE / "requirements.txt"
    environment = HERE.parents[1] / ".venv-published-{}.{}".format(*(_version(base) or ()))
    python = environment / "bin" / "python"
    stamp = environment / "stamp"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != requirements.read_text(encoding="utf-8"):
        subprocess.run([base, "-m", "venv", "--clear", environment], check=True)
        pip = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "-r", requirements]
        subprocess.run(pip, check=True)
        stamp.write_text(requirements.read_text(encoding="utf-8"), encoding="utf-8")
    return str(python)
