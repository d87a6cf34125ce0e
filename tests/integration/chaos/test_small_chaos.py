"""A small chaos run: kill -9 of the one server and of runtimes, and a database in which nothing is lost or doubled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.run import ChaosRun, Settings


@pytest.fixture
def small(tmp_path: Path) -> Settings:
    return Settings(
        folder=tmp_path,
        states=1_500,
        seed=7,
        server_kills=2,
        runtime_kills=4,
        lease=2.0,
        # What nobody knows of any more is waited for no longer than this after a start of the server.
        spare_ms=3_000,
        gives_up_after=90.0,
    )


async def test_nothing_is_lost_when_the_server_on_a_file_is_killed(small: Settings) -> None:
    await holds(small)


async def test_nothing_is_lost_when_two_of_three_servers_on_postgresql_are_killed(small: Settings) -> None:
    postgres = pytest.importorskip("tests._support.postgres")
    with postgres.PostgresServer(postgres.binaries_or_skip()) as server:
        await holds(replace(small, servers=3, database=server.empty()))


async def holds(settings: Settings) -> None:
    verdict = await ChaosRun(settings, print).run()
    print(verdict.text())
    assert verdict.holds, verdict.text()
    assert verdict.figures.server_kills >= settings.server_kills
    assert verdict.figures.runtime_kills >= settings.runtime_kills
    assert len(verdict.evidence.contents.states) >= settings.states
