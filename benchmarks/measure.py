"""Figures: arms measured interleaved, and the ratios between them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Reading = dict[str, float]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Arm:
    """One of the things that are compared.

    Attributes:
        name: as it stands in the table.
        measure: measures it once, given the number of the round; what it returns has one figure for each metric.
    """

    name: str
    measure: Callable[[int], Reading]


@dataclass(frozen=True)
class Goal:
    """What a ratio should be.

    Attributes:
        value: the bound.
        at_most: whether it is an upper one.
    """

    value: float
    at_most: bool = False

    def met(self, ratio: float) -> bool:
        """Tell whether a ratio keeps to it."""
        return ratio <= self.value if self.at_most else ratio >= self.value

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.value:g}"


@dataclass(frozen=True)
class Ratio:
    """A row of a table: one arm's metric over another's.

    Attributes:
        name: what is compared.
        of: the arm above the line.
        to: the arm below it.
        metric: which figure of both.
        goal: what it should be; None where it is told for the record.
        to_metric: the figure of the arm below, where it is another one.
    """

    name: str
    of: str
    to: str
    metric: str
    goal: Goal | None = None
    to_metric: str | None = None


@dataclass(frozen=True)
class Row:
    """A ratio as it was measured; the lists have one value for each round."""

    benchmark: str
    row: str
    metric: str
    held_equal: str
    of: str
    values: list[float]
    median: float
    to: str
    to_values: list[float]
    to_median: float
    ratios: list[float]
    ratio: float
    goal: str | None
    met: bool | None


@dataclass
class Table:
    """What a benchmark found.

    Attributes:
        benchmark: its name.
        title: what it measures.
        held_equal: what the arms have in common.
        rows: the ratios.
        notes: what a reader must know besides.
        checks: counts that were held against each other.
    """

    benchmark: str
    title: str
    held_equal: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checks: dict[str, float] = field(default_factory=dict)


def measure(arms: Sequence[Arm], rounds: int, say: Say) -> dict[str, list[Reading]]:
    """Measure every arm once in each round: A B C A B C."""
    readings: dict[str, list[Reading]] = {arm.name: [] for arm in arms}
    for number in range(1, rounds + 1):
        for arm in arms:
            say(f"round {number} of {rounds}: {arm.name}")
            readings[arm.name].append(arm.measure(number))
    return readings


def fill(table: Table, ratios: Sequence[Ratio], readings: dict[str, list[Reading]]) -> Table:
    """Put ratios into a table; one whose arms were not measured is left out.

    Each is the median of the rounds' ratios: what slows down a round slows down both of its arms.
    """
    for ratio in ratios:
        if ratio.of not in readings or ratio.to not in readings:
            continue
        values = [reading[ratio.metric] for reading in readings[ratio.of]]
        to_values = [reading[ratio.to_metric or ratio.metric] for reading in readings[ratio.to]]
        each = [value / to if to else float("inf") for value, to in zip(values, to_values, strict=True)]
        median = statistics.median(each)
        table.rows.append(
            Row(
                benchmark=table.benchmark,
                row=ratio.name,
                metric=ratio.metric,
                held_equal=table.held_equal,
                of=ratio.of,
                values=values,
                median=statistics.median(values),
                to=ratio.to,
                to_values=to_values,
                to_median=statistics.median(to_values),
                ratios=each,
                ratio=median,
                goal=None if ratio.goal is None else str(ratio.goal),
                met=None if ratio.goal is None else ratio.goal.met(median),
            )
        )
    return table


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which a share of the values lies; of few values, the nearest one above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
