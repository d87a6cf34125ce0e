"""Waiting for a condition, in place of sleeping."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

TIMEOUT = 30.0
"""Seconds; long, because it is waited out only by a test that fails."""

_PAUSE = 0.005


async def eventually(condition: Callable[[], T], within: float = TIMEOUT) -> T:
    """Wait on the event loop until the condition is true, and return what it gave."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {condition}")
        await asyncio.sleep(_PAUSE)


def eventually_sync(condition: Callable[[], T], within: float = TIMEOUT) -> T:
    """Wait in a thread until the condition is true, and return what it gave."""
    deadline = time.monotonic() + within
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {condition}")
        pause.wait(_PAUSE)
