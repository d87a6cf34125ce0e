from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from exospherehost.server import ServerSettings, ServerThread
from exospherehost.testing.clock import ManualClock
from exospherehost_client.client import AuthenticatedClient
from tests._support.databases import Database, NewDatabase
from tests._support.service import Api, connect

KEY = "the-key-of-the-tests"
StartServer = Callable[..., ServerThread]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[ServerThread]:
    """One server for all tests that need no settings of their own; each has a namespace to itself."""
    database = new_database(tmp_path_factory.mktemp("server"))
    with ServerThread(ServerSettings(api_key=KEY, **database.settings, port=0)) as running:
        yield running


@pytest.fixture(scope="session")
def http(server: ServerThread) -> Iterator[httpx.Client]:
    with connect(server) as client:
        yield client


@pytest.fixture
def api(http: httpx.Client) -> Api:
    return Api(http)


@pytest.fixture
def client(server: ServerThread) -> Iterator[AuthenticatedClient]:
    """The generated client."""
    with AuthenticatedClient(server.url, KEY) as generated:
        yield generated


@pytest.fixture
def start_server(database: Database) -> Iterator[StartServer]:
    """Starts servers on one database; they stop with the test."""
    with ExitStack() as stack:

        def start(*, clock: ManualClock | None = None, **settings: Any) -> ServerThread:
            chosen = {"api_key": KEY, **database.settings, "port": 0, **settings}
            return stack.enter_context(ServerThread(ServerSettings(**chosen), clock=clock))

        yield start
