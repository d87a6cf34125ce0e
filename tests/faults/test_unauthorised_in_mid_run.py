"""A 401 in mid-run, as while a key is exchanged: nothing is given up, and all goes on when the key is taken again."""

from __future__ import annotations

import pytest

from tests._support.eventually import eventually
from tests._support.fault_nodes import PAUSE_VARIABLE
from tests._support.fault_place import Place
from tests._support.fault_proxy import REPORTS, UNAUTHORISED, Exchange
from tests._support.runtimes import running


async def test_unauthorised_in_mid_run(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PAUSE_VARIABLE, "0.1")
    refusal = place.proxy.add(UNAUTHORISED, active=False)
    # States whose secrets are asked for just then, and one after the other.
    secrets = place.proxy.add(UNAUTHORISED, lambda exchange: exchange.operation == "secrets", every=3)
    await place.trigger(single=20, chain=10, fan=6, secret=9)

    def refused(exchange: Exchange) -> bool:
        return exchange.action is UNAUTHORISED

    async with running(place.runtime()):
        await eventually(lambda: len(place.executions()) >= 10)
        refusal.active = True
        await eventually(
            lambda: (
                sum(refused(exchange) and exchange.operation == "claim" for exchange in place.proxy.exchanges) >= 3
                and any(refused(exchange) and exchange.operation in REPORTS for exchange in place.proxy.exchanges)
            )
        )
        refusal.active = False
        await place.ends_exactly_once("401 in mid-run")

    assert secrets.hits >= 3
