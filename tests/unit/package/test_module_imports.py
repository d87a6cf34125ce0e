"""The way that data flows, read from the imports of every module; nothing points back."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import exospherehost

ROOT = Path(exospherehost.__file__).parent
MODULES = sorted(path.relative_to(ROOT.parent) for path in ROOT.rglob("*.py"))

# What each module of the SDK may use of the SDK.
MAY_USE: dict[str, set[str]] = {
    "__init__": {
        "_config",
        "_errors",
        "_graph",
        "_node",
        "_runs",
        "_runtime",
        "_signals",
        "_state_manager",
        "_stats",
        "_sync_state_manager",
    },
    "_errors": set(),
    "_config": {"_errors"},
    "_logging": {"_config"},
    "_redaction": set(),
    "_retry": {"_errors"},
    "_signals": {"_errors"},
    "_graph": set(),
    "_node": {"_errors", "_redaction"},
    "_stats": set(),
    "_carrier": {"_config", "_httpx_carrier", "_pyreqwest_carrier"},
    "_httpx_carrier": {"_config", "_errors"},
    "_pyreqwest_carrier": {"_config", "_errors"},
    "_dual_carrier": {"_carrier", "_config", "_errors", "_httpx_carrier"},
    "_responses": {"_config", "_errors", "_redaction"},
    "_reports": {"_redaction"},
    "_session": {"_carrier", "_config", "_errors", "_redaction", "_reports", "_responses", "_retry"},
    "_journal": {"_errors", "_reports"},
    "_poller": {"_errors", "_retry", "_session", "_stats"},
    "_leases": {"_errors", "_session"},
    "_secrets": {"_session"},
    "_processes": {"_node", "_redaction", "_signals"},
    "_execution": {"_node", "_processes", "_signals"},
    "_executor": {
        "_errors",
        "_execution",
        "_node",
        "_processes",
        "_redaction",
        "_reports",
        "_secrets",
        "_session",
        "_signals",
    },
    "_reporter": {"_errors", "_redaction", "_reports", "_retry", "_session", "_stats"},
    "_workers": {"_executor", "_node", "_reports", "_stats"},
    "_crew": {
        "_executor",
        "_journal",
        "_leases",
        "_node",
        "_poller",
        "_reporter",
        "_reports",
        "_retry",
        "_session",
        "_stats",
        "_workers",
    },
    "_telemetry": {"_opentelemetry", "_stats", "_workers"},
    "_opentelemetry": {"_config", "_reports", "_stats", "_workers"},
    "_plan": {"_config", "_node"},
    "_run": {
        "_carrier",
        "_crew",
        "_errors",
        "_execution",
        "_executor",
        "_journal",
        "_node",
        "_plan",
        "_poller",
        "_retry",
        "_session",
        "_stats",
        "_telemetry",
    },
    "_liveness": {"_errors", "_stats"},
    "_runtime": {"_config", "_errors", "_liveness", "_logging", "_node", "_plan", "_run", "_stats"},
    "_runs": {"_errors"},
    "_following": {"_errors", "_retry", "_runs", "_session"},
    "_connected": {"_config", "_dual_carrier", "_errors", "_session"},
    "_triggering": {"_errors", "_graph", "_session"},
    "_run_manager": {"_config", "_connected", "_errors", "_following", "_runs", "_session", "_task_iterator"},
    "_state_manager": {
        "_config",
        "_errors",
        "_graph",
        "_redaction",
        "_run_manager",
        "_session",
        "_triggering",
    },
    "_loop_thread": set(),
    "_task_iterator": set(),
    "_sync_state_manager": {"_config", "_graph", "_loop_thread", "_runs", "_state_manager", "_task_iterator"},
}
# What a module may use of the generated client, beside the models.
GENERATED: dict[str, set[str]] = {
    "_session": {"exospherehost_client.api", "exospherehost_client.errors", "exospherehost_client.types"},
    "_responses": {"exospherehost_client.errors", "exospherehost_client.types"},
    "_carrier": {"exospherehost_client.types"},
    "_httpx_carrier": {"exospherehost_client.AuthenticatedClient", "exospherehost_client.types"},
    "_pyreqwest_carrier": {"exospherehost_client.types"},
    "_dual_carrier": {"exospherehost_client.AuthenticatedClient", "exospherehost_client.types"},
    "_connected": {"exospherehost_client.AuthenticatedClient"},
    "_run_manager": {"exospherehost_client.patterns"},
    "_state_manager": {"exospherehost_client.types"},
    "_sync_state_manager": {"exospherehost_client.AuthenticatedClient"},
}
HTTP = {"httpx", "httpx_sse", "httpcore", "pyreqwest", "aiohttp", "requests", "urllib3", "socket", "http"}


def imported(path: Path) -> Iterator[str]:
    """Every name that a module imports, written in full."""
    package = ".".join(path.with_suffix("").parts[:-1])
    for part in ast.walk(ast.parse((ROOT.parent / path).read_text())):
        if isinstance(part, ast.Import):
            yield from (alias.name for alias in part.names)
        elif isinstance(part, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - part.level + 1] if part.level else []
            origin = ".".join([*above, *([part.module] if part.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in part.names)


def within(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


SDK = [path for path in MODULES if len(path.parts) == 2]
SERVER = [path for path in MODULES if path.parts[1] == "server"]
NOT_CLI = [path for path in MODULES if path.parts[1] != "cli"]


def test_modules_of_every_room_are_found() -> None:
    assert {path.stem for path in SDK} == {*MAY_USE}
    assert SERVER


@pytest.mark.parametrize("path", SDK, ids=str)
def test_sdk_module_uses_only_what_stands_before_it(path: Path) -> None:
    ours = {name.split(".")[1] for name in imported(path) if name.startswith("exospherehost.")}
    submodules = {name for name in ours if (ROOT / f"{name}.py").exists() or (ROOT / name).is_dir()}

    assert submodules - MAY_USE[path.stem] == set()


@pytest.mark.parametrize("path", SDK, ids=str)
def test_only_the_session_uses_the_generated_operations(path: Path) -> None:
    generated = {name for name in imported(path) if within(name, {"exospherehost_client"})}
    allowed = {"exospherehost_client.models", "exospherehost_client.bodies", *GENERATED.get(path.stem, set())}

    assert {name for name in generated if not within(name, allowed)} == set()


@pytest.mark.parametrize("path", SDK, ids=str)
def test_only_carriers_and_the_liveness_endpoint_know_http(path: Path) -> None:
    if path.stem not in ("_httpx_carrier", "_pyreqwest_carrier", "_liveness"):
        assert [name for name in imported(path) if within(name, HTTP)] == []


@pytest.mark.parametrize("path", SDK, ids=str)
def test_only_the_configuration_reads_the_environment(path: Path) -> None:
    names = [name for name in imported(path) if within(name, {"os"})]

    assert names == (["os"] if path.stem == "_config" else [])


@pytest.mark.parametrize("path", NOT_CLI, ids=str)
def test_nothing_uses_the_cli(path: Path) -> None:
    assert [name for name in imported(path) if within(name, {"exospherehost.cli"})] == []


@pytest.mark.parametrize("path", SDK, ids=str)
def test_sdk_does_not_use_the_server(path: Path) -> None:
    heavy = {"exospherehost.server", "sqlalchemy", "starlette", "uvicorn", "click", "rich", "alembic", "cryptography"}

    assert [name for name in imported(path) if within(name, heavy)] == []


@pytest.mark.parametrize("path", SERVER, ids=str)
def test_server_uses_the_generated_schemas_and_nothing_of_the_client_side(path: Path) -> None:
    names = set(imported(path))
    generated = {name for name in names if within(name, {"exospherehost_client"})}
    ours = {name for name in names if within(name, {"exospherehost"})}

    assert {name for name in generated if not within(name, {"exospherehost_client.models"})} == set()
    assert {name for name in ours if not within(name, {"exospherehost.server"})} == set()


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_module_stays_under_500_lines(path: Path) -> None:
    assert len((ROOT.parent / path).read_text().splitlines()) < 500
