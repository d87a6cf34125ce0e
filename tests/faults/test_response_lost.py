"""Answers that are lost after the service has acted: a report that arrived is not applied twice."""

from __future__ import annotations

from tests._support.fault_nodes import RequeuesOnce
from tests._support.fault_place import Place
from tests._support.fault_proxy import REPORTS, DropResponse, Exchange, on
from tests._support.runtimes import running


def has_a_requeue(exchange: Exchange) -> bool:
    """Match reports that give a state back, alone or with others."""
    return exchange.operation == "requeue" or (exchange.operation == "report" and b'"requeue"' in exchange.content)


async def test_every_third_response_is_lost_after_the_service_acted(place: Place) -> None:
    claims = place.proxy.add(DropResponse(), lambda exchange: bool(exchange.operation == "claim"), every=3)
    reports = place.proxy.add(DropResponse(), on(*REPORTS), every=3)
    others = place.proxy.add(DropResponse(), on("register", "document", "renew", "secrets"), every=3)
    await place.trigger(single=20, chain=10, fan=6, secret=6)

    async with running(place.runtime(batch_size=4)):
        if place.is_exact:
            await place.ends_exactly_once("every 3rd response lost after the service acted")
        else:
            await place.ends_but_for_lost_claims("every 3rd response lost after the service acted")

    assert min(claims.hits, reports.hits, others.hits) >= 2
    assert place.proxy.lost_claims()


async def test_response_to_a_requeue_is_lost(place: Place) -> None:
    place.put_graphs(RequeuesOnce)
    rule = place.proxy.add(DropResponse(), has_a_requeue, times=2)
    await place.trigger(RequeuesOnce=12)
    runtime = place.runtime(RequeuesOnce, workers=4, lease=60)

    async with running(runtime):
        states = await place.ended()
        # No worker was lost over states that came twice.
        place.record("response to a re-enqueue lost after the service acted", "ended once, executed at least once")

    assert rule.hits == 2
    assert [state.status for state in states] == ["SUCCESS"] * 12
