"""What the examples share: a runtime beside the program, and waiting for a run to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from exospherehost import BaseNode, Runtime, StateManager
from exospherehost_client import AuthenticatedClient
from exospherehost_client.api.runs import get_run_graph, get_state, list_runs
from exospherehost_client.models import RunGraphResponse, StateDetail

LOOK_EVERY = 0.05
"""Seconds between two looks at a run that is waited for."""


@asynccontextmanager
async def running(
    namespace: str, nodes: Sequence[type[BaseNode]], *, workers: int = 8
) -> AsyncGenerator[StateManager, None]:
    """Execute nodes in this process while the block runs, and give it a connected StateManager.

    In production the runtime is a program of its own, on as many machines as the work needs.
    """
    runtime = Runtime(
        namespace=namespace, name="example", nodes=nodes, workers=workers, poll_interval=0.2, grace_period=5
    )
    task = asyncio.ensure_future(runtime.run())
    try:
        # A graph is VALID only if its nodes are registered, so that comes first.
        await runtime.ready()
        async with StateManager(namespace) as manager:
            yield manager
    finally:
        runtime.stop()
        await task


async def finished(client: AuthenticatedClient, namespace: str, run_id: str) -> RunGraphResponse:
    """Wait until no state of a run is left to execute, and return all of them."""
    while True:
        run = await get_run_graph.asyncio(namespace, run_id, client=client)
        if run.nodes and not any(run.execution_summary.get(status) for status in ("CREATED", "QUEUED", "EXECUTED")):
            return run
        await asyncio.sleep(LOOK_EVERY)


async def details(
    client: AuthenticatedClient, namespace: str, run_id: str, run: RunGraphResponse, identifier: str
) -> list[StateDetail]:
    """Read the states of one node of a run in full, in the order of their creation, without retried ones."""
    return [
        await get_state.asyncio(namespace, run.graph_name, run_id, node.id, client=client)
        for node in run.nodes
        if node.identifier == identifier and node.status != "RETRY_CREATED"
    ]


async def duration(client: AuthenticatedClient, namespace: str, run_id: str, run: RunGraphResponse) -> timedelta:
    """Return the time from a run's creation to its last transition, by the service's clock."""
    newest = (await list_runs.asyncio(namespace, 1, 100, client=client)).runs
    created_at = next(summary.created_at for summary in newest if summary.run_id == run_id)
    # A state with a next state or a retry ended before that one was created, so the last end is among the others.
    followed = {edge.source for edge in run.edges}
    last = [node for node in run.nodes if node.id not in followed]
    ends = [await get_state.asyncio(namespace, run.graph_name, run_id, node.id, client=client) for node in last]
    return max(end.updated_at for end in ends) - created_at
