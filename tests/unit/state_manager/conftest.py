"""What tests about runs share: a state manager with runs in it, and the client's face to it over each carrier."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from exospherehost import StateManager
from tests._support.fake_runs import FakeRuns
from tests._support.runtimes import KEY


@pytest.fixture
def runs() -> Iterator[FakeRuns]:
    with FakeRuns() as service:
        yield service


@pytest.fixture
def manager(runs: FakeRuns, carrier: str) -> StateManager:  # noqa: ARG001 - chosen before it is made
    return StateManager("ns", runs.uri, KEY)
