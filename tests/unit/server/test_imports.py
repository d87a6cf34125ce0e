"""Who may know whom inside the server, read from the imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import exospherehost.server

ROOT = Path(exospherehost.server.__file__).parent
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
PURE = [name for name in MODULES if name.startswith(("rules/", "service/"))]


def imported(module: str) -> Iterator[str]:
    """Yield the full names that a module imports, with those taken from them."""
    for node in ast.walk(ast.parse((ROOT / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_modules_are_found() -> None:
    assert {"app.py", "rules/joins.py", "service/reports.py"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_of_our_own_the_server_knows_itself_and_the_generated_schemas_only(module: str) -> None:
    for name in imported(module):
        if name.startswith("exospherehost"):
            assert name.startswith(("exospherehost.server", "exospherehost_client.models")), name


@pytest.mark.parametrize("module", PURE)
def test_rules_and_service_know_neither_transport_nor_database(module: str) -> None:
    foreign = ("sqlalchemy", "sqlite3", "alembic", "starlette", "uvicorn", "exospherehost_client", "httpx")
    for name in imported(module):
        assert not name.startswith(foreign), name
        assert not name.startswith(("exospherehost.server.sql", "exospherehost.server.storage.sql.tables")), name


@pytest.mark.parametrize("module", MODULES)
def test_only_one_module_knows_sqlite(module: str) -> None:
    if module != "sqlite.py":
        assert not any(name.split(".")[0] == "sqlite3" for name in imported(module))


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("rules/")])
def test_rules_ask_no_clock_no_chance_and_no_file(module: str) -> None:
    for name in imported(module):
        assert name.split(".")[0] not in {"time", "random", "secrets", "os", "pathlib", "threading", "asyncio"}, name
