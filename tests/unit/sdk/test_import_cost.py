"""Importing the SDK loads what it needs and no more."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import builtins, sys

class Absent:
    # As in an environment without the extra: httpx loads these two for its own command where it finds them.
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("click", "rich"):
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Absent())
import exospherehost
print(" ".join(sorted({name.partition(".")[0] for name in sys.modules})))
print(" ".join(name for name in sys.modules if name.startswith("exospherehost.") and "._" not in name))
"""


def test_import_pulls_neither_server_nor_cli() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    packages, parts = done.stdout.split("\n")[:2]
    assert {"exospherehost", "exospherehost_client", "httpx", "pydantic"} <= set(packages.split())
    for heavy in ("alembic", "click", "croniter", "cryptography", "rich", "sqlalchemy", "starlette", "uvicorn"):
        assert heavy not in packages.split()
    assert parts == ""
