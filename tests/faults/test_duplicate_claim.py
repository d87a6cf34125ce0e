"""A claim that brings what an earlier one brought: each state still ends once, and no worker is lost."""

from __future__ import annotations

import pytest

from tests._support.eventually import eventually
from tests._support.fault_nodes import PAUSE_VARIABLE
from tests._support.fault_place import Place
from tests._support.fault_proxy import Repeat, on
from tests._support.runtimes import running


async def test_duplicate_claim(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    # Long enough that the second copy comes while the first is executed; two of four workers are free then.
    monkeypatch.setenv(PAUSE_VARIABLE, "0.2")
    rule = place.proxy.add(Repeat(), on("claim"), every=2, times=6)
    await place.trigger(single=12, chain=6, fan=4)
    runtime = place.runtime(workers=4, batch_size=2)

    async with running(runtime):
        await place.ends_exactly_once("duplicate claim")
        assert rule.hits == 6

        monkeypatch.setenv(PAUSE_VARIABLE, "1")
        await place.trigger(single=4)
        await eventually(lambda: runtime.stats().running == 4)
        await place.ended()
