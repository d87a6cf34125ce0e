"""The runtime's clock jumping back by an hour in mid-run: leases, time-outs and waits go on as if it had not."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter

import pytest

from tests._support.eventually import eventually
from tests._support.fault_nodes import PAUSE_VARIABLE
from tests._support.fault_place import Place
from tests._support.fault_proxy import HTML_FAILURE, on


async def test_clock_steps_back(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    # Longer than a lease, so that only renewals keep a state from being given to another.
    monkeypatch.setenv(PAUSE_VARIABLE, "2.3")
    await place.trigger(single=8, chain=4, fan=2, secret=5)

    with place.program(clock_steps_back=3600, lease=2.0, workers=8) as program:
        await eventually(lambda: len(place.executions()) >= 6, 30)
        program.process.send_signal(signal.SIGUSR1)
        await asyncio.to_thread(program.wait_for, "the clock has stepped back")
        # A wait that begins now, with the clock behind.
        waits = place.proxy.add(HTML_FAILURE, on("claim"), times=2)
        await eventually(lambda: waits.hits == 2)
        states = await place.ends_exactly_once("clock jumping back by an hour")
        assert {state.status for state in states} == {"SUCCESS"}
        program.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(program.wait) == 0, program.errors

    assert set(Counter(place.executions()).values()) == {1}
