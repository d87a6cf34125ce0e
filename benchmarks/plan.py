"""What a run of the benchmarks is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.measure import Say


@dataclass(frozen=True)
class Plan:
    """What a benchmark is given.

    Attributes:
        rounds: how often each arm is measured.
        quick: tiny counts, to see that all works; its figures mean nothing.
        published: the interpreter of the published SDK's environment; None to leave its arms out.
        say: tells the person what goes on.
    """

    rounds: int
    quick: bool
    published: str | None
    say: Say

    def of(self, usual: float, quick: float) -> float:
        """Choose a count or a length by whether it is to be quick."""
        return quick if self.quick else usual
