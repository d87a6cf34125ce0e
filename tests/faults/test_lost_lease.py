"""A lease that is lost while a node runs that ends in spite of its cancellation: no worker is lost with it."""

from __future__ import annotations

import asyncio

import pytest

from tests._support.eventually import eventually
from tests._support.fault_nodes import NODES, PAUSE_VARIABLE, EndsInSpiteOfCancellation
from tests._support.fault_place import Place
from tests._support.runtimes import running
from tests._support.service import good

WORKERS = 3


@pytest.mark.parametrize("kind", ["exact"], indirect=True)
async def test_lost_lease_of_a_node_that_ends_all_the_same(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PAUSE_VARIABLE, "3600")
    place.put_graphs(EndsInSpiteOfCancellation)
    await place.trigger(EndsInSpiteOfCancellation=WORKERS)
    runtime = place.runtime(*NODES, EndsInSpiteOfCancellation, workers=WORKERS, lease=1.0)

    async with running(runtime):
        await eventually(lambda: runtime.stats().running == WORKERS)
        monkeypatch.setenv(PAUSE_VARIABLE, "0.5")
        for state_id in place.executions():
            good(await asyncio.to_thread(place.api.report, state_id, "manual-retry", {"fanout_id": state_id}))
        await place.ended()
        assert runtime.stats().lost_leases == WORKERS
        # The state after the lost one is where a worker that took its cancellation for its own would end.
        for _ in range(2):
            await place.trigger(single=WORKERS)
            await eventually(lambda: runtime.stats().running == WORKERS)
            await place.ended()
        assert runtime.stats().errored == 0

    place.record("lease lost while a node ends in spite of its cancellation", "exactly once")
