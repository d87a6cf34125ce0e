"""Outcomes over the limit: reported as an error that names the field, and nothing else is held up."""

from __future__ import annotations

from tests._support.fault_nodes import NODES, Large, PrunesWithTooMuch, TooLarge, TooLargeTogether
from tests._support.fault_place import Place
from tests._support.fault_proxy import REPORTS
from tests._support.runtimes import running

FIELD = {"TooLarge": "outputs[0].text", "TooLargeTogether": "outputs[1].text", "PrunesWithTooMuch": "data.page"}
LIMIT = "15,728,640"


async def test_payload_over_the_limit(place: Place) -> None:
    nodes = (Large, TooLarge, TooLargeTogether, PrunesWithTooMuch)
    place.put_graphs(*nodes)
    # Large ones together are more than the service takes in one request.
    await place.trigger(Large=5, TooLarge=2, TooLargeTogether=2, PrunesWithTooMuch=2, single=5, chain=3)

    async with running(place.runtime(*NODES, *nodes, workers=8, lease=60)):
        states = await place.ended()

    for state in states:
        if state.graph in FIELD:
            assert state.status == "ERRORED", state.graph
            assert state.error is not None
            assert FIELD[state.graph] in state.error
            assert LIMIT in state.error
        else:
            assert state.status == "SUCCESS", state
    assert len(place.executions()) == len(states)
    # It was found out here, not by the service.
    reports = [exchange for exchange in place.proxy.exchanges if exchange.operation in REPORTS]
    assert not {exchange.status for exchange in reports} & {413, 422}
    place.record("payload over the limit", "exactly once, as an error that names the field")
