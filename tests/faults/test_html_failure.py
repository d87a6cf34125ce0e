"""A 500 with a page of HTML, as something before the service gives it: tried again until it passes."""

from __future__ import annotations

import pytest

from tests._support.fault_place import Place
from tests._support.fault_proxy import HTML_FAILURE, Answer
from tests._support.runtimes import running

UNKNOWN_ERROR = Answer(520, HTML_FAILURE.body, HTML_FAILURE.headers)


@pytest.mark.parametrize("page", [HTML_FAILURE, UNKNOWN_ERROR], ids=["500", "520"])
async def test_failure_with_a_page(place: Place, page: Answer) -> None:
    rule = place.proxy.add(page, every=3)
    await place.trigger(single=20, chain=10, fan=6, secret=6)

    async with running(place.runtime(batch_size=4)):
        await place.ends_exactly_once(f"every 3rd request answered {page.status} with HTML")

    assert rule.hits >= 5
