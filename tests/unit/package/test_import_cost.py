"""Importing the SDK loads what it needs and no more."""

from __future__ import annotations

import subprocess
import sys

import pytest

ABSENT = """
import sys

class Absent:
    # As in an environment without the extra: httpx loads these two for its own command where it finds them.
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("click", "rich"):
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Absent())
"""
SHOW = """
print(" ".join(sorted({name.partition(".")[0] for name in sys.modules})))
print(" ".join(name for name in sys.modules if name.startswith("exospherehost.") and "._" not in name))
"""

OF_THE_SERVER = {"alembic", "click", "croniter", "cryptography", "rich", "sqlalchemy", "starlette", "uvicorn"}
WHAT_A_REQUEST_NEEDS = {"anyio", "certifi", "httpcore", "httpx", "httpx_sse", "pyreqwest", "urllib3"}


def packages_after(text: str) -> set[str]:
    """The packages that are loaded when these lines have run; asserts that no public part of ours is loaded."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ABSENT + text + SHOW], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    packages, parts = done.stdout.split("\n")[:2]
    assert parts == ""
    return set(packages.split())


def test_import_alone_loads_nothing_large() -> None:
    loaded = packages_after("import exospherehost")

    assert "exospherehost" in loaded
    assert loaded & (OF_THE_SERVER | WHAT_A_REQUEST_NEEDS | {"anyio", "asyncio", "pydantic", "sqlite3"}) == set()


@pytest.mark.parametrize("names", ["BaseNode", "Runtime", "StateManager, TriggerState", "SyncStateManager", "*"])
def test_names_load_nothing_that_only_a_request_needs(names: str) -> None:
    loaded = packages_after(f"from exospherehost import {names}")

    assert {"exospherehost", "pydantic"} <= loaded
    assert loaded & (OF_THE_SERVER | WHAT_A_REQUEST_NEEDS | {"sqlite3"}) == set()


def test_every_public_name_is_found_and_listed() -> None:
    assert "exospherehost" in packages_after(
        "import exospherehost\n"
        "for name in exospherehost.__all__: assert getattr(exospherehost, name) is not None\n"
        "assert set(exospherehost.__all__) <= set(dir(exospherehost))\n"
        "assert not hasattr(exospherehost, 'nothing')"
    )
