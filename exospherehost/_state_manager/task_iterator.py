"""An async iterator that may be left at any point, with nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Generic, Self, TypeVar

T = TypeVar("T")

READ_AHEAD = 64
"""Items that wait to be taken at the most."""


class TaskIterator(AsyncIterator[T], Generic[T]):
    """Iterates over what an async generator yields, which runs in a task of its own from the first item on.

    A generator that holds connections and is left in the middle of a loop is closed by the event loop together
    with those that it iterates over, in no order, and fails to. A task is cancelled and unwinds from the inside.
    For the same reason an `anext` that is cancelled, by a time-out for instance, loses nothing: the next one goes on.

    Args:
        items: not begun yet.
    """

    def __init__(self, items: AsyncGenerator[T, None]) -> None:
        self._items = items
        # An item in a tuple, or how it ended.
        self._queue: asyncio.Queue[tuple[T] | Exception | None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_over = False
        self._is_released = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._is_over:
            raise StopAsyncIteration
        if self._queue is None:
            self._queue = asyncio.Queue(READ_AHEAD)
            self._task = asyncio.create_task(_pump(self._items, self._queue))
        found = await self._queue.get()
        if isinstance(found, tuple):
            return found[0]
        self._is_over = True
        raise StopAsyncIteration if found is None else found

    async def aclose(self) -> None:
        """Give back at once what the iteration holds; it is over."""
        self.release()
        if self._task is not None:
            await asyncio.wait((self._task,))

    def release(self) -> None:
        """End the iteration soon, from any thread."""
        self._is_over = True
        task = self._task
        # Once: a second cancellation would break off what the first one has it give back.
        if task is not None and not self._is_released:
            self._is_released = True
            # The loop may be closed already, and all its tasks with it.
            with contextlib.suppress(RuntimeError):
                task.get_loop().call_soon_threadsafe(task.cancel)

    def __del__(self) -> None:
        self.release()


async def _pump(items: AsyncGenerator[T, None], queue: asyncio.Queue[tuple[T] | Exception | None]) -> None:
    end: Exception | None = None
    try:
        async with aclosing(items):
            async for item in items:
                await queue.put((item,))
    except asyncio.CancelledError:
        # Who waits for an item meanwhile finds the queue empty.
        with contextlib.suppress(asyncio.QueueFull):
            queue.put_nowait(None)
        raise
    except Exception as error:  # noqa: BLE001 - raised where the items are taken
        end = error
    await queue.put(end)
