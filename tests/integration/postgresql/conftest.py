"""Servers on one PostgreSQL database, whatever kind the rest of the run uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from exospherehost.server import ServerSettings, ServerThread
from exospherehost.testing.clock import ManualClock
from tests._support.databases import Database
from tests._support.postgres import PostgresServer
from tests._support.service import Api, connect

KEY = "key-of-replicas"
StartReplica = Callable[..., Api]


@pytest.fixture
def shared(postgres: PostgresServer) -> Database:
    """A database with the schema in place."""
    return Database(postgres.fresh())


@pytest.fixture
def start_replica(shared: Database) -> Iterator[StartReplica]:
    """Starts servers on the database, and returns a namespace on each, by default the same."""
    with ExitStack() as stack:

        def start(*, clock: ManualClock | None = None, **settings: Any) -> Api:
            chosen = {"api_key": KEY, **shared.settings, "port": 0, **settings}
            server = stack.enter_context(ServerThread(ServerSettings(**chosen), clock=clock))
            return Api(stack.enter_context(connect(server)), "shared")

        yield start
