"""Does what is due at points in time: fires schedules, ends leases, wakes those who wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from exospherehost.server.domain.clock import Clock

logger = logging.getLogger(__name__)
_PAUSE_AFTER_FAILURE_MS = 5_000


class Scheduler:
    """Does a piece of work, sleeps until it is due again, and so on; :meth:`wake` makes it look at once.

    Args:
        name: What the log calls it.
        work: Does what is due, and returns when to do it next (epoch milliseconds; None: once woken).
        clock: The time to go by.
        at_least_every_ms: How long to sleep at most, in milliseconds, where others may bring about what is to be done;
            None for as long as it takes.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[int | None]],
        clock: Clock,
        *,
        at_least_every_ms: int | None = None,
    ) -> None:
        self._at_least_every_ms = at_least_every_ms
        self._name = name
        self._work = work
        self._clock = clock
        self._changed = asyncio.Event()
        self._sleeps_until: int | None = None

    def wake(self) -> None:
        """Look again: what is due, or when, has changed."""
        self._changed.set()

    def wake_by(self, at_ms: int) -> None:
        """Look again not later than at a point in time (epoch milliseconds)."""
        if self._sleeps_until is None or at_ms < self._sleeps_until:
            self._changed.set()

    async def run(self) -> None:
        """Do what is due, for ever."""
        while True:
            self._changed.clear()
            # While it works, whatever comes up makes it look again.
            self._sleeps_until = None
            try:
                next_at = await self._work()
            except Exception:
                logger.exception("event=scheduler_failed name=%s retry_in_ms=%d", self._name, _PAUSE_AFTER_FAILURE_MS)
                next_at = self._clock.now_ms() + _PAUSE_AFTER_FAILURE_MS
            if self._at_least_every_ms is not None:
                latest = self._clock.now_ms() + self._at_least_every_ms
                next_at = latest if next_at is None else min(next_at, latest)
            self._sleeps_until = next_at
            await self._clock.wait(self._changed, next_at)
