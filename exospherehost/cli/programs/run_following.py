"""Follows a run to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from datetime import timedelta

import click

from exospherehost._state_manager.runs import Run, Transition
from exospherehost._state_manager.state_manager import StateManager
from exospherehost.cli.programs.run_finding import whole_run_id


async def follow_run(
    manager: StateManager, run_id: str, seen: Callable[[Transition], None], limit: float | None = None
) -> Run:
    """Follow a run to its end, and read it.

    Args:
        manager: Where the run is.
        run_id: The run.
        seen: Gets each transition.
        limit: The most seconds. Default: without end.

    Raises:
        click.ClickException: The run has not ended in time; it goes on.
    """
    try:
        async with asyncio.timeout(limit):
            async with aclosing(manager.watch(run_id)) as transitions:
                async for transition in transitions:
                    seen(transition)
            return await manager.wait(run_id)
    except TimeoutError:
        if limit is None:
            raise
    message = f"run {run_id} has not ended within {limit:g} s and goes on: `exospherehost runs wait {run_id}`"
    raise click.ClickException(message)


async def followed(
    manager: StateManager, beginning: str, seen: Callable[[Transition], None], limit: timedelta | None
) -> Run:
    """Follow the run whose id begins so to its end, as :func:`follow_run` does."""
    run_id = await whole_run_id(manager, beginning)
    return await follow_run(manager, run_id, seen, None if limit is None else limit.total_seconds())
