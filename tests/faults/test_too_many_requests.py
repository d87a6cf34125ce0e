"""A 429 with Retry-After: whatever was refused comes again, and not before."""

from __future__ import annotations

from tests._support.fault_place import Place
from tests._support.fault_proxy import REPORTS, on, too_many
from tests._support.runtimes import running

SECONDS = 1


async def test_too_many_requests(place: Place) -> None:
    refusal = too_many(str(SECONDS))
    rules = [
        place.proxy.add(refusal, on("register"), times=1),
        place.proxy.add(refusal, on("document"), times=1),
        place.proxy.add(refusal, on("claim"), every=3, times=3),
        place.proxy.add(refusal, on(*REPORTS), every=3, times=3),
        place.proxy.add(refusal, on("secrets"), times=1),
    ]
    await place.trigger(single=20, chain=10, fan=6, secret=6)

    async with running(place.runtime(batch_size=4)):
        await place.ends_exactly_once("429 with Retry-After")

    assert all(rule.hits for rule in rules)
    exchanges = place.proxy.exchanges
    for position, exchange in enumerate(exchanges):
        if exchange.action != refusal:
            continue
        again = next((later for later in exchanges[position + 1 :] if later.path == exchange.path), None)
        if again is None:
            # A report may come again together with others, and the document is asked for again later.
            assert exchange.operation in {*REPORTS, "document"}, exchange.operation
            continue
        # The timer's resolution is in it.
        assert again.came_at - exchange.came_at > SECONDS - 0.05, f"{exchange.operation} was pressed"
