"""Fires the schedules of graphs when they are due."""

from __future__ import annotations

import asyncio
import logging

from exospherehost.server.clock import Clock
from exospherehost.server.service import Service

_log = logging.getLogger(__name__)
_PAUSE_AFTER_FAILURE_MS = 5_000


class Scheduler:
    """Sleeps until the next schedule is due; :meth:`wake` makes it look again.

    Args:
        service: What fires them.
        clock: The time to go by.
    """

    def __init__(self, service: Service, clock: Clock) -> None:
        self._service = service
        self._clock = clock
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Look again: schedules have changed."""
        self._changed.set()

    async def run(self) -> None:
        """Fire what is due, for ever."""
        while True:
            self._changed.clear()
            try:
                next_at = await self._service.fire_crons()
            except Exception:  # noqa: BLE001 (whatever went wrong, the schedules must go on)
                _log.exception("event=scheduler_failed retry_in_ms=%d", _PAUSE_AFTER_FAILURE_MS)
                next_at = self._clock.now_ms() + _PAUSE_AFTER_FAILURE_MS
            await self._clock.wait(self._changed, next_at)
