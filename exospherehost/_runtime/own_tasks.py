"""Tasks that end when the runtime ends them, and not with everything else on the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_abandoned: set[asyncio.Task[Any]] = set()


def start_own_task(work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """Start a task that `asyncio.all_tasks` does not list.

    At its end, after Ctrl-C for instance, `asyncio.run` cancels every listed task at once. Were the tasks of a runtime
    among them, its reports would be cut off before the states that are to be reported. Of a runtime, the task of
    `Runtime.run` is listed, which ends the others in their order when it is cancelled, and the workers are.

    Args:
        work: The task's coroutine.
        name: The task's name, behind `exospherehost-`.
    """
    task = asyncio.create_task(work, name=f"exospherehost-{name}")
    asyncio.tasks._unregister_task(task)  # noqa: SLF001 - documented for those who extend asyncio
    return task


def abandon(task: asyncio.Task[Any]) -> None:
    """Leave a task alone that goes on in spite of its cancellation: nobody waits for it, and its result is dropped."""
    asyncio.tasks._unregister_task(task)  # noqa: SLF001 - so that `asyncio.run` does not wait for it either
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - it has been told of
    # The event loop holds no task by itself.
    _abandoned.add(task)
    task.add_done_callback(_forget)


def _forget(task: asyncio.Task[Any]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        # Asked for, so that asyncio does not log it as never retrieved.
        task.exception()
