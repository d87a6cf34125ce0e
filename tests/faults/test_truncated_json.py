"""Bodies cut in half: with the whole one's length the connection breaks, with their own length the JSON does."""

from __future__ import annotations

import pytest

from tests._support.fault_place import Place
from tests._support.fault_proxy import REPORTS, Truncate, on
from tests._support.runtimes import running


@pytest.mark.parametrize("keep_length", [True, False], ids=["connection", "json"])
async def test_truncated_json(place: Place, keep_length: bool) -> None:
    cut = Truncate(keep_length)
    rules = [
        place.proxy.add(cut, on("register"), times=1),
        place.proxy.add(cut, on("claim"), every=3),
        place.proxy.add(cut, on(*REPORTS), every=3),
        place.proxy.add(cut, on("secrets"), every=3),
    ]
    if keep_length:
        # A document that can be read to its end and makes no sense says that there are no extensions.
        rules.append(place.proxy.add(cut, on("document"), times=1))
    await place.trigger(single=20, chain=10, fan=6, secret=9)
    fault = "truncated JSON, " + ("Content-Length kept" if keep_length else "Content-Length fits")

    async with running(place.runtime(batch_size=4)):
        if place.is_exact:
            await place.ends_exactly_once(fault)
        else:
            await place.ends_but_for_lost_claims(fault)

    assert all(rule.hits for rule in rules)
