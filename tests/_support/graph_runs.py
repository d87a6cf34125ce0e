"""Following runs on a real state manager."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from exospherehost import StateManager
from exospherehost_client.api.runs import get_run_graph, get_state
from exospherehost_client.models import StateDetail

TIMEOUT = 60.0
PENDING = {"CREATED", "QUEUED", "EXECUTED"}


async def ended(manager: StateManager, namespace: str, run_id: str, *, within: float = TIMEOUT) -> list[StateDetail]:
    """Wait until no state of a run is pending, and return all of them in the order of their creation."""
    deadline = time.monotonic() + within
    async with manager.raw_client as client:
        while True:
            graph = await get_run_graph.asyncio(namespace, run_id, client=client)
            if graph.nodes and not any(str(node.status) in PENDING for node in graph.nodes):
                return [
                    await get_state.asyncio(namespace, graph.graph_name, run_id, node.id, client=client)
                    for node in graph.nodes
                ]
            if time.monotonic() > deadline:
                counts = Counter(f"{node.identifier} {node.status}" for node in graph.nodes)
                raise AssertionError(f"run {run_id} has not ended: {dict(counts)}")
            await asyncio.sleep(0.02)


def statuses(states: list[StateDetail]) -> Counter[tuple[str, str]]:
    """Count the states by identifier and status."""
    return Counter((state.identifier, str(state.status)) for state in states)


def outputs(states: list[StateDetail], identifier: str) -> list[dict[str, object]]:
    """The outputs of the states of one identifier."""
    return [dict(state.outputs) for state in states if state.identifier == identifier]
