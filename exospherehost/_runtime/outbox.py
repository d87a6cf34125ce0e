"""The outbox: the way of every outcome to the service."""

from __future__ import annotations

from typing import Protocol

from exospherehost._runtime.outcomes import Outcome


class Outbox(Protocol):
    """Where finished outcomes go."""

    async def submit(self, outcome: Outcome) -> None:
        """Take an outcome; may wait."""
        ...

    def submit_now(self, outcome: Outcome) -> None:
        """Take an outcome at once."""
        ...
