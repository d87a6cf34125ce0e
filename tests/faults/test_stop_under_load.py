"""SIGTERM under load: what runs is finished and reported, what has not started is handed back, and nothing is held."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter

import pytest

from tests._support.eventually import eventually
from tests._support.fault_nodes import PAUSE_VARIABLE
from tests._support.fault_place import Place
from tests._support.runtimes import running


async def test_sigterm_under_load(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PAUSE_VARIABLE, "0.02")
    await place.trigger(single=60, chain=20, fan=10, secret=5)

    # With a lease that nothing waits for: what is handed back is due at once.
    with place.program(workers=8, lease=60) as program:
        await eventually(lambda: len(place.executions()) >= 30, 30)
        program.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(program.wait) == 0, program.errors
        stats = json.loads(program.output)

    statuses = place.ledger.by_status()
    assert set(statuses) <= {"CREATED", "SUCCESS"}
    assert statuses["CREATED"] > 0, "all was over before the signal"
    assert stats["waiting"] == stats["running"] == stats["undelivered"] == 0
    # What was begun was finished.
    done = place.ledger.ids("SUCCESS")
    assert set(place.executions()) <= done

    async with running(place.runtime()):
        await place.ends_exactly_once("SIGTERM under load")
    assert set(Counter(place.executions()).values()) == {1}
