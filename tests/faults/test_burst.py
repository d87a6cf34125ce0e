"""10,000 states that become due in one moment."""

from __future__ import annotations

from collections import Counter

from tests._support.eventually import eventually
from tests._support.fault_nodes import BURST, Burst, Leaf
from tests._support.fault_place import ENDS_WITHIN, Place
from tests._support.runtimes import running
from tests._support.service import registration


async def test_burst_of_ten_thousand_states(place: Place) -> None:
    place.api.register(registration("Burst", outputs=["text"]))
    leaf = place.api.node("leaf", {"text": "${{fan.outputs.text}}"}, node="Leaf")
    place.api.graph("burst", place.api.node("fan", node="Burst", next_nodes=["leaf"]), leaf)
    await place.trigger(burst=1)
    runtime = place.runtime(Burst, Leaf, workers=32, batch_size=128, lease=60)

    async with running(runtime):
        await eventually(lambda: runtime.stats().succeeded == BURST + 1, ENDS_WITHIN)
        await place.ends_exactly_once("10,000-state burst")

    assert set(Counter(place.executions()).values()) == {1}
    assert runtime.stats().claimed == BURST + 1
