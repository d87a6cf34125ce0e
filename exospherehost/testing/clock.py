"""A clock that a test drives."""

from __future__ import annotations

import asyncio


class ManualClock:
    """A clock that stands still until it is moved, for tests.

    It belongs to one event loop's scheduler, while ``advance_to`` may be called from any thread.
    """

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._sleepers: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def now_ms(self) -> int:
        """Return the time it was last set to, in epoch milliseconds."""
        return self._now_ms

    def advance_to(self, now_ms: int) -> None:
        """Set the time, in epoch milliseconds, and let every waiter look again."""
        self._now_ms = now_ms
        for loop, moved in list(self._sleepers):
            loop.call_soon_threadsafe(moved.set)

    async def wait(self, wake: asyncio.Event, until_ms: int | None) -> None:
        """Wait for ``wake`` or until the clock has been moved to ``until_ms`` or beyond."""
        moved = asyncio.Event()
        sleeper = (asyncio.get_running_loop(), moved)
        self._sleepers.add(sleeper)
        try:
            while not wake.is_set() and (until_ms is None or self._now_ms < until_ms):
                waits = {asyncio.ensure_future(event.wait()) for event in (wake, moved)}
                try:
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for waiting in waits:
                        waiting.cancel()
                moved.clear()
        finally:
            self._sleepers.discard(sleeper)
