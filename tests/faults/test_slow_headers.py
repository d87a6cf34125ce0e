"""Responses that come later than the read timeout: to the runtime they are lost, and the service has acted."""

from __future__ import annotations

from exospherehost._config import Timeouts
from tests._support.fault_place import Place
from tests._support.fault_proxy import REPORTS, SlowHeaders, on
from tests._support.runtimes import running


async def test_slow_headers(place: Place) -> None:
    slow = SlowHeaders(1.5)
    rules = [
        place.proxy.add(slow, on("register"), times=1),
        place.proxy.add(slow, on("claim"), every=3, times=4),
        place.proxy.add(slow, on(*REPORTS), every=3, times=5),
        place.proxy.add(slow, on("secrets"), every=2, times=2),
    ]
    await place.trigger(single=15, chain=8, fan=5, secret=5)

    async with running(place.runtime(batch_size=4, timeouts=Timeouts(read=0.5))):
        if place.is_exact:
            await place.ends_exactly_once("slow headers, beyond the read timeout")
        else:
            await place.ends_but_for_lost_claims("slow headers, beyond the read timeout")

    assert all(rule.hits for rule in rules)
