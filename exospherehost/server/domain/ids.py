"""Identifiers that the server hands out."""

from __future__ import annotations

import itertools
import os
import random
import re
import threading
import time
import uuid

from exospherehost_client.patterns import PATH_PATTERNS

_STATE_ID = re.compile(PATH_PATTERNS["state_id"])
_RUN_ID = re.compile(PATH_PATTERNS["run_id"])
_COUNTER_BITS = 24


class IdFactory:
    """Makes 24-hex-digit ids that ascend in time, so that an index grows at its end.

    Four bytes of epoch seconds, five random bytes of this factory, three bytes of a counter.
    """

    def __init__(self) -> None:
        self._origin = os.urandom(5).hex()
        self._counter = itertools.count(int.from_bytes(os.urandom(2), "big"))
        self._lock = threading.Lock()

    def new_id(self) -> str:
        """Return an id that this factory has not given before."""
        with self._lock:
            number = next(self._counter) % (1 << _COUNTER_BITS)
            seconds = int(time.time()) & 0xFFFF_FFFF
        return f"{seconds:08x}{self._origin}{number:06x}"


# Seeded by the system once: an id guards nothing, and asking the system each time took longer than all else.
_random = random.Random()  # noqa: S311


def new_uuid() -> str:
    """Return a hyphenated lower-case UUIDv4."""
    return str(uuid.UUID(int=_random.getrandbits(128), version=4))


def parse_state_id(text: str) -> str | None:
    """Return the canonical (lower-case) form of a state id, or None where it is malformed."""
    return text.lower() if _STATE_ID.fullmatch(text) else None


def parse_run_id(text: str) -> str | None:
    """Return the canonical (lower-case) form of a run id, or None where it is malformed."""
    return text.lower() if _RUN_ID.fullmatch(text) else None
