"""Where the workers of a runtime leave outcomes, without a service."""

from __future__ import annotations

from exospherehost._runtime.outcomes import Outcome


class Outbox:
    """Keeps outcomes."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    async def submit(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        self.submit_now(outcome)

    def submit_now(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        self.outcomes.append(outcome)
