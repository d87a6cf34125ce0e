"""The SDK against the embedded state manager, over real sockets."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from exospherehost import BaseNode, Runtime, StateManager
from exospherehost.server import ServerSettings, ServerThread
from tests._support.databases import NewDatabase
from tests._support.runtimes import KEY

MakeRuntime = Callable[..., Runtime]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[ServerThread]:
    database = new_database(tmp_path_factory.mktemp("server"))
    with ServerThread(ServerSettings(api_key=KEY, **database.settings, port=0)) as running:
        yield running


@pytest.fixture(scope="session")
def plain_server(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[ServerThread]:
    """A server that offers no extension, as the hosted one."""
    database = new_database(tmp_path_factory.mktemp("plain-server"))
    settings = ServerSettings(api_key=KEY, **database.settings, port=0, without=frozenset({"trigger-states"}))
    with ServerThread(settings) as running:
        yield running


@pytest.fixture
def namespace() -> str:
    """A namespace of the test's own, with what can stand in a name."""
    return f"Test space {next(_numbers)} ü%.."


@pytest.fixture
def environment(server: ServerThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the service is, in the variables."""
    monkeypatch.setenv("EXOSPHERE_STATE_MANAGER_URI", server.url)
    monkeypatch.setenv("EXOSPHERE_API_KEY", server.api_key)


@pytest.fixture
def manager(server: ServerThread, namespace: str) -> StateManager:
    return StateManager(namespace, server.url, server.api_key)


@pytest.fixture
def make_runtime(server: ServerThread, namespace: str) -> MakeRuntime:
    def make(*nodes: type[BaseNode], **options: Any) -> Runtime:
        arguments: dict[str, Any] = {"poll_interval": 0.05, "grace_period": 5, **options}
        return Runtime(namespace, "runtime", list(nodes), server.url, server.api_key, **arguments)

    return make
