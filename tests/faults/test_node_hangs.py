"""Nodes that hang, on the loop, in a thread and in a process: each is reported, and the others go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests._support.fault_ledger import check_children
from tests._support.fault_nodes import HANGING, NODES, RELEASE, WorksInProcess
from tests._support.fault_place import Place
from tests._support.runtimes import running

WORKERS = 4


@pytest.fixture
def release() -> Iterator[None]:
    """Let threads go at the end that still hang."""
    yield
    RELEASE.set()


@pytest.mark.usefixtures("release")
async def test_node_hangs(place: Place) -> None:
    RELEASE.clear()
    place.put_graphs(*HANGING, WorksInProcess)
    # As many as there are workers, so that none is left if one that hangs keeps its place.
    await place.trigger(**{node.__name__: WORKERS for node in HANGING})
    runtime = place.runtime(*NODES, *HANGING, WorksInProcess, workers=WORKERS, lease=60)

    async with running(runtime):
        states = await place.ended()
        assert {state.status for state in states} == {"ERRORED"}
        for state in states:
            assert state.error is not None
            assert state.error.startswith("TimeoutError: "), state.error
            assert state.graph in state.error, state.error

        await place.trigger(single=8, chain=4, fan=2, WorksInProcess=2)
        states = await place.ended()
        RELEASE.set()

    check_children(states)
    assert Counter(state.status for state in states) == {"ERRORED": 3 * WORKERS, "SUCCESS": 8 + 2 * 4 + 6 * 2 + 2}
    assert set(Counter(place.executions()).values()) == {1}
    place.record("node that hangs, with a timeout (loop, thread, process)", "exactly once")
