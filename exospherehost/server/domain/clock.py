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
