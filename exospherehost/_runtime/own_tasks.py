"""Tasks that end when the runtime ends them, and not with everything else on the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


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
