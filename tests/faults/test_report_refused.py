"""A report that the service refuses, because somebody has retried or re-enqueued the state meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests._support.eventually import eventually
from tests._support.fault_nodes import PAUSE_VARIABLE
from tests._support.fault_place import Place
from tests._support.runtimes import running
from tests._support.service import good


async def test_report_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PAUSE_VARIABLE, "0.4")
    await place.trigger(single=8, chain=4)
    # A long lease, so that it is the report which finds out.
    runtime = place.runtime(workers=6, lease=60)

    async with running(runtime):
        await eventually(lambda: len(place.executions()) >= 6)
        retried, requeued = place.executions()[:2], place.executions()[2:4]
        for state_id in retried:
            good(await asyncio.to_thread(place.api.report, state_id, "manual-retry", {"fanout_id": state_id}))
        for state_id in requeued:
            good(await asyncio.to_thread(place.api.report, state_id, "re-enqueue-after", {"enqueue_after": 1}))
        states = await place.ended()

    assert runtime.stats().refused >= len(retried)
    assert {state.state_id for state in states if state.status == "RETRY_CREATED"} == set(retried)
    ends = Counter((state.run_id, state.identifier) for state in states if state.status == "SUCCESS")
    assert set(ends.values()) == {1}
    assert len(ends) == 8 + 2 * 4
    place.record("report refused 400 (retried or re-enqueued by hand meanwhile)", "exactly once")
