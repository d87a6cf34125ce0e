"""What all tests share: an environment without our variables, and a state manager to speak to."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests._support.databases import KINDS, Database, NewDatabase
from tests._support.fake_state_manager import FakeStateManager
from tests._support.fuzz_counts import FuzzCounts
from tests._support.postgres import PostgresServer, binaries_or_skip

# httpx takes proxies from these, and every service of the tests is on this machine.
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", choices=KINDS, default=KINDS[0], help="what the tests' servers keep their data in")
    parser.addoption(
        "--adverse-repeats", type=int, default=1, help="how many processes tests/adverse tries each order of use in"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about SQLite where another database is asked for."""
    if config.getoption("--database") != KINDS[0]:
        for item in items:
            if item.get_closest_marker("sqlite"):
                item.add_marker(pytest.mark.skip(reason="is about SQLite"))


def pytest_configure(config: pytest.Config) -> None:
    """Let SIGINT through: what a shell starts in the background has that signal ignored, with all below it."""
    config.pluginmanager.register(FuzzCounts())
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take what would configure the SDK out of the environment."""
    for name in list(os.environ):
        if name.startswith("EXOSPHERE_") or name.lower() in _PROXY_VARIABLES:
            monkeypatch.delenv(name)


@pytest.fixture(params=["httpx", "pyreqwest"])
def carrier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What carries the requests of runtimes and state managers; the test runs with each of them."""
    name: str = request.param
    if name == "httpx":
        monkeypatch.setitem(sys.modules, "exospherehost._transport.pyreqwest_carrier", None)
    return name


@pytest.fixture
def service() -> Iterator[FakeStateManager]:
    """A state manager without rules, on a real socket."""
    with FakeStateManager() as fake:
        yield fake


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server."""
    with PostgresServer(binaries_or_skip()) as server:
        yield server


@pytest.fixture(scope="session")
def new_database(request: pytest.FixtureRequest) -> NewDatabase:
    """Makes databases of the kind that the run asks for."""
    if request.config.getoption("--database") == KINDS[0]:
        return lambda folder: Database(str(folder / "exosphere.db"))
    server: PostgresServer = request.getfixturevalue("postgres")
    return lambda _folder: Database(server.fresh())


@pytest.fixture
def database(new_database: NewDatabase, tmp_path: Path) -> Database:
    """The test's own database."""
    return new_database(tmp_path)
