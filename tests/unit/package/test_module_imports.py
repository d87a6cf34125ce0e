"""The layout's rules, read from the imports of every module: a folder is a layer, and its name is a rule."""

from __future__ import annotations

import ast
import shutil
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import exospherehost

ROOT = Path(exospherehost.__file__).parent
LONGEST_FILE = 500

GROUND = {"_errors.py", "_redaction.py", "_config.py", "_logging.py"}
SDK = {"_nodes/", "_graphs/", "_transport/", "_runtime/", "_state_manager/"}

# What each folder may use of ours, beside itself. The longest row that fits a file holds for it.
MAY_USE: dict[str, set[str]] = {
    "__init__.py": set(),
    "_errors.py": set(),
    "_redaction.py": set(),
    "_config.py": {"_errors.py"},
    "_logging.py": {"_config.py"},
    "_nodes/": GROUND,
    "_rules/": set(),
    "_graphs/": {*GROUND, "_nodes/", "_rules/"},
    "_transport/": GROUND,
    "_runtime/": {*GROUND, "_nodes/", "_graphs/", "_transport/"},
    "_state_manager/": {*GROUND, "_graphs/", "_transport/"},
    "local.py": {*GROUND, "_nodes/", "_graphs/", "_runtime/", "_state_manager/", "server/"},
    "server/domain/": set(),
    "server/security/": {"server/domain/"},
    "server/storage/sql/": {"server/domain/", "server/security/"},
    "server/storage/migrations/": {"server/domain/", "server/storage/sql/"},
    "server/storage/sqlite/": {"server/domain/", "server/storage/sql/", "server/storage/migrations/"},
    "server/storage/postgresql/": {"server/domain/", "server/storage/sql/", "server/storage/migrations/"},
    "server/storage/": {"server/domain/"},
    "server/service/": {"server/domain/", "server/security/", "_rules/"},
    "server/observability/": {"server/domain/", "server/security/"},
    "server/http/": {
        "server/domain/",
        "server/security/",
        "server/service/",
        "server/observability/",
        "_rules/",
    },
    "server/": {"dashboard/"},
    "dashboard/": set(),
    "testing/": {*GROUND, *SDK, "_rules/", "local.py", "server/", "dashboard/"},
    "cli/commands/": {
        *GROUND,
        *SDK,
        "_rules/",
        "local.py",
        "server/",
        "dashboard/",
        "cli/options/",
        "cli/console/",
        "cli/programs/",
    },
    "cli/options/": {*GROUND, "server/"},
    "cli/console/": {*GROUND, "_runtime/", "_state_manager/", "server/", "cli/options/", "cli/programs/"},
    "cli/programs/": {*GROUND, *SDK, "_rules/", "server/", "cli/options/"},
    "cli/app.py": {"cli/commands/", "cli/console/"},
    "cli/": {"cli/app.py", "cli/console/"},
}
# What each folder may use of the generated client; the facts, any.
FACTS = {"extensions", "limits", "operations", "patterns"}
GENERATED: dict[str, set[str]] = {
    "_graphs/": {"models"},
    "_transport/": {"api", "errors", "models", "bodies", "types", "client", "AuthenticatedClient"},
    "_runtime/": {"models", "bodies"},
    "_state_manager/": {"models", "types", "AuthenticatedClient"},
    "server/http/": {"models"},
    "cli/": {"api", "errors", "models", "AuthenticatedClient"},
}
# Libraries, and the only places that may use them.
ONLY_IN: dict[str, set[str]] = {
    "httpx": {"_transport/", "cli/"},
    "httpx_sse": {"_transport/"},
    "httpcore": set(),
    "pyreqwest": {"_transport/"},
    "aiohttp": set(),
    "requests": set(),
    "http": {"_runtime/liveness.py", "server/"},
    "sqlite3": {"_runtime/journal.py", "server/storage/sqlite/", "cli/commands/db_backup.py"},
    "psycopg": {"server/storage/postgresql/"},
    "sqlalchemy": {"server/storage/", "cli/"},
    "alembic": {"server/storage/migrations/", "cli/"},
    "starlette": {"server/"},
    "uvicorn": {"server/", "cli/"},
    "cryptography": {"server/security/"},
    "click": {"cli/"},
    "rich": {"cli/"},
}
IMPURE = {"time", "random", "secrets", "os", "pathlib", "threading", "asyncio", "socket"}


def modules(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.py"))


def imported(root: Path, module: str) -> Iterator[str]:
    """Every name that a module imports, written in full."""
    package = [root.name, *Path(module).parent.parts]
    for part in ast.walk(ast.parse((root / module).read_text(encoding="utf-8"))):
        if isinstance(part, ast.Import):
            yield from (alias.name for alias in part.names)
        elif isinstance(part, ast.ImportFrom):
            above = package[: len(package) - part.level + 1] if part.level else []
            origin = ".".join([*above, *([part.module] if part.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in part.names)


def file_of(root: Path, name: str) -> str:
    """The file of ours that an imported name stands in, as a path below the package."""
    parts = name.split(".")[1:]
    place = root
    for index, part in enumerate(parts):
        if (place / part).is_dir():
            place /= part
        elif (place / f"{part}.py").is_file():
            return "/".join([*parts[:index], f"{part}.py"])
        else:
            break
    return (place / "__init__.py").relative_to(root).as_posix()


def row_of(rows: dict[str, set[str]], module: str) -> str | None:
    """The longest row that fits a module: a file's own, or that of a folder that it is in."""
    fitting = [row for row in rows if module == row or (row.endswith("/") and module.startswith(row))]
    return max(fitting, key=len, default=None)


def among(module: str, places: set[str]) -> bool:
    return any(module == place or (place.endswith("/") and module.startswith(place)) for place in places)


def refused_imports(root: Path) -> list[str]:
    """Every import that no row allows, as text."""
    found: list[str] = []
    for module in modules(root):
        row = row_of(MAY_USE, module)
        if row is None:
            found.append(f"{module} has no row")
            continue
        # A file is in one folder: what is in a folder below has a row of its own, and is used only where that is named.
        below = {other for other in MAY_USE if other != row and other.startswith(row)}
        is_top = row in {"server/", "server/storage/"}
        for name in imported(root, module):
            if name.split(".")[0] != root.name:
                continue
            used = file_of(root, name)
            own = row_of(MAY_USE, used) == row or (among(used, below) and is_top)
            # One command is nothing to another.
            own = own and row != "cli/commands/"
            if not own and not among(used, MAY_USE[row]):
                found.append(f"{module} uses {used}")
    return found


def refused_libraries(root: Path) -> list[str]:
    found: list[str] = []
    for module in modules(root):
        generated = GENERATED.get(row_of(GENERATED, module) or "", set()) | FACTS
        for name in imported(root, module):
            library = name.split(".")[0]
            if library == "exospherehost_client" and name.split(".")[1] not in generated:
                found.append(f"{module} uses {name}")
            if library in ONLY_IN and not among(module, ONLY_IN[library]):
                found.append(f"{module} uses {name}")
            if library in IMPURE and module.startswith("_rules/"):
                found.append(f"{module} uses {name}")
            if library == "os" and name != "os.getpid" and among(module, {*GROUND, *SDK}) and module != "_config.py":
                found.append(f"{module} reads the environment")
    return found


def uses_of_folders(root: Path) -> dict[str, set[str]]:
    uses: dict[str, set[str]] = defaultdict(set)
    for module in modules(root):
        folder = row_of(MAY_USE, module) or module
        for name in imported(root, module):
            if name.split(".")[0] == root.name:
                uses[folder].add(row_of(MAY_USE, file_of(root, name)) or "")
    return {folder: used - {folder} for folder, used in uses.items()}


def circle(root: Path) -> list[str]:
    """Folders that use one another in a circle; empty where there are none."""
    try:
        [*TopologicalSorter(uses_of_folders(root)).static_order()]
    except CycleError as error:
        return list(error.args[1])
    return []


def long_files(root: Path) -> list[str]:
    return [name for name in modules(root) if len((root / name).read_text("utf-8").splitlines()) > LONGEST_FILE]


def test_every_folder_is_looked_at() -> None:
    rows = {row_of(MAY_USE, module) for module in modules(ROOT)}

    assert rows >= {*MAY_USE} - TO_COME


def test_folders_use_only_what_their_row_names() -> None:
    assert refused_imports(ROOT) == []


def test_libraries_are_used_only_where_they_belong() -> None:
    assert refused_libraries(ROOT) == []


def test_no_folders_use_one_another_in_a_circle() -> None:
    assert circle(ROOT) == []


def test_no_file_is_longer_than_500_lines() -> None:
    assert long_files(ROOT) == []


# Rows of folders that are not made yet.
TO_COME = {"local.py"}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT, tmp_path / ROOT.name, ignore=shutil.ignore_patterns("__pycache__")))


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("_nodes/node.py", "from exospherehost._transport.session import Session"),
        ("_rules/joins.py", "from exospherehost._graphs import models"),
        ("_graphs/models.py", "import exospherehost._runtime.runtime"),
        ("_transport/session.py", "from .._runtime import outcomes"),
        ("_runtime/runtime.py", "from exospherehost.server import ServerThread"),
        ("_state_manager/runs.py", "def late():\n    from exospherehost._runtime.runtime import Runtime"),
        ("server/http/routes.py", "from exospherehost.server.storage.opening import open_store"),
        ("server/service/graphs.py", "from exospherehost.server.http import responses"),
        ("server/service/graphs.py", "from exospherehost.server.storage.sql import tables"),
        ("server/storage/sql/runs.py", "from exospherehost.server.storage.sqlite import unit"),
        ("server/storage/sqlite/unit.py", "from exospherehost.server.storage.postgresql import unit"),
        ("server/domain/records.py", "from exospherehost.server.app import create_app"),
        ("server/app.py", "from exospherehost._nodes.node import BaseNode"),
        ("server/app.py", "from exospherehost.cli import main"),
        ("server/app.py", "import exospherehost.testing.clock"),
        ("_config.py", "from exospherehost import Runtime"),
        ("cli/commands/serve.py", "from exospherehost.cli.commands import dev"),
        ("cli/commands/serve.py", "from exospherehost.cli.app import cli"),
        ("cli/console/run_table.py", "import exospherehost.cli.commands.run"),
        ("cli/app.py", "from exospherehost.server import ServerThread"),
    ],
)
def test_a_forbidden_import_is_seen(copy: Path, module: str, line: str) -> None:
    with (copy / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")

    assert [problem for problem in refused_imports(copy) if problem.startswith(f"{module} uses ")]


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("_runtime/poller.py", "from exospherehost_client.api.states import enqueue_states"),
        ("server/service/graphs.py", "from exospherehost_client.models import GraphResponse"),
        ("_runtime/runtime.py", "import httpx"),
        ("server/storage/sql/store.py", "import sqlite3"),
        ("server/storage/sqlite/unit.py", "import psycopg.rows"),
        ("_rules/cron.py", "import time"),
        ("_runtime/runtime.py", "from os import environ"),
    ],
)
def test_a_library_in_the_wrong_place_is_seen(copy: Path, module: str, line: str) -> None:
    with (copy / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")

    assert [problem for problem in refused_libraries(copy) if problem.startswith(module)]


def test_a_circle_is_seen(copy: Path) -> None:
    with (copy / "_graphs/models.py").open("a", encoding="utf-8") as file:
        file.write("\nfrom exospherehost._runtime import runtime\n")
    with (copy / "_runtime/runtime.py").open("a", encoding="utf-8") as file:
        file.write("\nfrom exospherehost._graphs import models\n")

    assert {*circle(copy)} == {"_graphs/", "_runtime/"}


def test_a_file_without_a_row_is_seen(copy: Path) -> None:
    (copy / "utilities.py").write_text("", encoding="utf-8")

    assert "utilities.py has no row" in refused_imports(copy)


def test_a_long_file_is_seen(copy: Path) -> None:
    (copy / "_rules/long.py").write_text("# a line\n" * (LONGEST_FILE + 1), encoding="utf-8")

    assert long_files(copy) == ["_rules/long.py"]
