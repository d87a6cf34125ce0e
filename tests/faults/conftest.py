"""Two services behind a proxy that spoils requests, and a table of what became of the states."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exospherehost.server import ServerSettings, ServerThread
from tests._support.fault_nodes import EXECUTIONS_VARIABLE
from tests._support.fault_place import Place, Row
from tests._support.fault_proxy import FaultProxy
from tests._support.runtimes import KEY

# What the services of part A lack that a runtime uses.
EXTENSIONS = frozenset({"wait", "lease", "context", "batch-report", "idempotency"})

_rows = pytest.StashKey[list[Row]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-table", default=None, metavar="FILE", help="write the table of faults to FILE")


def pytest_configure(config: pytest.Config) -> None:
    config.stash.setdefault(_rows, [])


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    rows = config.stash.get(_rows, [])
    file = config.getoption("--fault-table", default=None)
    if not rows or file is None:
        return
    lines = [
        "| fault | service | states | ended | not ended | executions | verdict |",
        "|---|---|---|---|---|---|---|",
        *(row.cells() for row in sorted(rows, key=lambda row: (row.fault, row.service))),
    ]
    Path(file).write_text("\n".join(lines) + "\n")
    terminalreporter.write_line(f"{len(rows)} lines of the fault table are in {file}")


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[ServerThread, Path]]]:
    """The embedded server as it is, and one that has nothing that part A has not."""
    folder = tmp_path_factory.mktemp("faults")
    databases = {"exact": folder / "exact.db", "plain": folder / "plain.db"}
    exact = ServerSettings(api_key=KEY, database=databases["exact"], port=0)
    plain = ServerSettings(api_key=KEY, database=databases["plain"], port=0, without=EXTENSIONS)
    with ServerThread(exact) as first, ServerThread(plain) as second:
        yield {"exact": (first, databases["exact"]), "plain": (second, databases["plain"])}


@pytest.fixture(params=["exact", "plain"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the services."""
    return str(request.param)


@pytest.fixture
def executions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that nodes write their executions to."""
    path = tmp_path / "executions"
    monkeypatch.setenv(EXECUTIONS_VARIABLE, str(path))
    return path


@pytest.fixture
async def place(
    kind: str,
    servers: dict[str, tuple[ServerThread, Path]],
    executions: Path,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> AsyncIterator[Place]:
    """A namespace on the service, with graphs, and a proxy before it."""

    def record(row: Row) -> None:
        request.config.stash.setdefault(_rows, []).append(row)
        for name, value in vars(row).items():
            record_property(name, value)

    server, database = servers[kind]
    async with FaultProxy(server.url) as proxy:
        place = Place(kind, server, database, proxy, executions, record)
        yield place
        place.close()
