"""A service that is not there when the runtime starts, or that answers as a proxy before it does."""

from __future__ import annotations

import pytest

from tests._support.eventually import eventually
from tests._support.fault_place import Place
from tests._support.fault_proxy import HTML_FAILURE, Answer, on
from tests._support.runtimes import running

MAINTENANCE = Answer(200, b"<html><body>Back in a minute</body></html>", {"content-type": "text/html"})
ORIGIN_DOWN = Answer(521, b"<html><body>Web server is down</body></html>", {"content-type": "text/html"})


async def test_service_down_at_start(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    await place.trigger(single=10, chain=5, fan=3, secret=3)
    await place.proxy.refuse()
    runtime = place.runtime()

    async with running(runtime) as task:
        await eventually(lambda: "event=registration_failing" in caplog.text)
        pages = [place.proxy.add(page, on("register"), times=1) for page in (HTML_FAILURE, MAINTENANCE, ORIGIN_DOWN)]
        await place.proxy.accept()
        await eventually(lambda: task.done() or place.ledger.has_ended(), 30)
        assert not task.done(), task.exception()
        await place.ends_exactly_once("service down at start, then answering HTML")

    assert [page.hits for page in pages] == [1, 1, 1]
    # One line for it all.
    assert caplog.text.count("event=registration_failing") == 1
