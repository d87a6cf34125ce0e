"""Time as the server sees it, behind an interface that a test can drive."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where the server reads the time and how its scheduler waits."""

    def now_ms(self) -> int:
        """Return the time in milliseconds since the Unix epoch."""
        ...

    async def wait(self, wake: asyncio.Event, until_ms: int | None) -> None:
        """Return when ``wake`` is set or, if given, ``until_ms`` (epoch milliseconds) has come."""
        ...


class SystemClock:
    """The machine's wall clock."""

    # A wait is cut into pieces so that a change of the wall clock is noticed.
    _LONGEST_WAIT_MS = 30_000

    def now_ms(self) -> int:
        """Return the wall clock in epoch milliseconds."""
        return time.time_ns() // 1_000_000

    async def wait(self, wake: asyncio.Event, until_ms: int | None) -> None:
        """Wait for ``wake`` or for the wall clock to reach ``until_ms``."""
        while not wake.is_set():
            if until_ms is None:
                await wake.wait()
                return
            left = until_ms - self.now_ms()
            if left <= 0:
                return
            try:
                await asyncio.wait_for(wake.wait(), min(left, self._LONGEST_WAIT_MS) / 1_000)
            except TimeoutError:
                continue


def rfc3339(epoch_ms: int) -> str:
    """Return an instant given in epoch milliseconds as RFC 3339 text in UTC."""
    instant = datetime.fromtimestamp(epoch_ms // 1_000, UTC)
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{epoch_ms % 1_000:03d}Z"


def as_datetime(epoch_ms: int) -> datetime:
    """Return an instant given in epoch milliseconds as an aware datetime in UTC."""
    return datetime.fromtimestamp(epoch_ms // 1_000, UTC).replace(microsecond=epoch_ms % 1_000 * 1_000)


def as_epoch_ms(instant: datetime) -> int:
    """Return an aware datetime as epoch milliseconds, cutting off what is finer."""
    return int(instant.timestamp()) * 1_000 + instant.microsecond // 1_000
