"""The synchronous face is what the script writes, and a change of the asynchronous one shows."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "scripts" / "sync_face.py"

pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="scripts/ is not part of the wheel")


def check(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "scripts" / "sync_face.py"), "--check"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_it_is_as_the_script_writes_it() -> None:
    done = check(ROOT)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_new_method_of_the_asynchronous_one_is_missed(tmp_path: Path) -> None:
    for part in ("scripts/sync_face.py", "pyproject.toml", "exospherehost/_state_manager"):
        target = tmp_path / part
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / part).is_dir() else shutil.copy)(ROOT / part, target)
    source = tmp_path / "exospherehost/_state_manager/run_operations.py"
    text = source.read_text(encoding="utf-8")
    more = '\n    async def forget(self, run_id: str, *, soon: bool = True) -> Run:\n        """Forget a run."""\n'
    source.write_text(text.replace("\n    async def cancel(", f"{more}\n    async def cancel(", 1), encoding="utf-8")
    done = check(tmp_path)
    assert done.returncode == 1
    assert "+        return self._call(self._manager.forget(run_id, soon=soon))" in done.stdout
