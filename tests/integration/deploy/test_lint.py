"""The lint of deploy/ passes, and finds what is broken."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.deploy.manifests import DEPLOY, ROOT

BESIDE = Path(sys.executable).parent
DCLINT = ROOT / "node_modules" / ".bin" / "dclint"

LINTS = {
    "hadolint": ("Dockerfile", [BESIDE / "hadolint"]),
    "kubernetes-validate": ("kubernetes/server.yaml", [BESIDE / "kubernetes-validate", "--strict", "--quiet"]),
    "yamllint": (
        "kubernetes/server.yaml",
        [sys.executable, "-m", "yamllint", "--strict", "-c", DEPLOY / ".yamllint.yaml"],
    ),
    "dclint": ("compose.yaml", [DCLINT, "--config", DEPLOY / ".dclintrc.yaml", "--max-warnings", "0"]),
}
BREAKS = {
    "a base without a version": ("hadolint", "python:3.13.9-slim-trixie AS", "python AS"),
    "a shell form that takes no signals": ("hadolint", 'ENTRYPOINT ["exospherehost"]', "ENTRYPOINT exospherehost"),
    "a field that is misspelled": ("kubernetes-validate", "readinessProbe:", "readynessProbe:"),
    "a number that is a text": ("kubernetes-validate", "replicas: 2", 'replicas: "2"'),
    "a key that is there twice": ("yamllint", "  replicas: 2", "  replicas: 2\n  replicas: 3"),
    "a service's key that there is not": ("dclint", "shm_size:", "shm_sice:"),
    "a condition that there is not": ("dclint", "condition: service_healthy", "condition: service_fine"),
}


def lint(name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    file, command = LINTS[name]
    if not Path(command[0]).exists():
        pytest.skip(f"{name} is installed by scripts/check.sh")
    return subprocess.run([*map(str, command), str(folder / file)], capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(DEPLOY, tmp_path / "deploy")


@pytest.mark.parametrize("name", LINTS)
def test_what_is_checked_in_passes(name: str, copy: Path) -> None:
    done = lint(name, copy)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("what", BREAKS)
def test_what_is_broken_is_found(what: str, copy: Path) -> None:
    name, right, wrong = BREAKS[what]
    path = copy / LINTS[name][0]
    text = path.read_text(encoding="utf-8")
    assert right in text
    path.write_text(text.replace(right, wrong), encoding="utf-8")
    done = lint(name, copy)
    assert done.returncode != 0, done.stdout + done.stderr
