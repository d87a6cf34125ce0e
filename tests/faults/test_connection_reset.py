"""Connections that are reset, before the service has seen the request or after it has acted."""

from __future__ import annotations

from tests._support.fault_place import Place
from tests._support.fault_proxy import ResetAfter, ResetBefore
from tests._support.runtimes import running


async def test_connection_reset(place: Place) -> None:
    before = place.proxy.add(ResetBefore(), every=4)
    after = place.proxy.add(ResetAfter(), every=5)
    await place.trigger(single=20, chain=10, fan=6, secret=6)

    async with running(place.runtime(batch_size=4)):
        if place.is_exact:
            await place.ends_exactly_once("connection reset")
        else:
            await place.ends_but_for_lost_claims("connection reset")

    assert before.hits >= 3
    assert after.hits >= 3
