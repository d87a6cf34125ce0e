"""A pooler between the server and PostgreSQL: one that keeps sessions is as good as none, any other is refused."""

from __future__ import annotations

import pytest

from exospherehost.server import ServerSettings, ServerThread, StartupError
from exospherehost.server.domain.errors import StoreError
from exospherehost.server.storage.opening import open_store
from tests._support.databases import Database
from tests._support.pgbouncer import PgBouncer, program_or_skip
from tests._support.postgres import PASSWORD, PostgresServer
from tests._support.service import Api, connect


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pooler_that_keeps_no_sessions_is_refused_with_the_remedy(
    postgres: PostgresServer, shared: Database, mode: str
) -> None:
    with PgBouncer(program_or_skip(), postgres, mode) as pooler:
        for _ in range(3):
            with pytest.raises(StoreError, match="pool_mode=session") as refused:
                open_store(pooler.url(shared.setting))
            assert PASSWORD not in str(refused.value)
        with pytest.raises((StoreError, StartupError), match="its connections are no sessions"):
            ServerThread(
                ServerSettings(api_key="k", database=pooler.url(shared.setting), secrets_key=bytes(32))
            ).start()


def test_a_pooler_that_keeps_sessions_serves_replicas_that_hear_of_one_another(
    postgres: PostgresServer, shared: Database
) -> None:
    with PgBouncer(program_or_skip(), postgres, "session") as pooler:
        settings = {**shared.settings, "database": pooler.url(shared.setting), "api_key": "k", "port": 0}
        with (
            ServerThread(ServerSettings(**settings)) as first,
            ServerThread(ServerSettings(**settings)) as second,
            connect(first) as one,
            connect(second) as other,
        ):
            api, there = Api(one), Api(other)
            there.namespace = api.namespace
            api.steps()
            api.graph("g", api.node("a"))
            for _ in range(12):
                assert api.trigger("g")
                assert len(there.claim("Step", size=1)) == 1
