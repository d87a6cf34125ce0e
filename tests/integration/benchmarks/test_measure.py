from __future__ import annotations

import pytest

from benchmarks.load import check
from benchmarks.measure import Arm, Goal, Ratio, Table, fill, measure, quantile
from benchmarks.processes import MeasurementError

COUNTS = {"claimed": 30, "reported": 25, "re-enqueue-after": 5, "duplicates": 0, "unknown": 0}


def test_arms_are_measured_in_turn_and_learn_the_round() -> None:
    asked: list[tuple[str, int]] = []

    def arm(name: str) -> Arm:
        def once(number: int) -> dict[str, float]:
            asked.append((name, number))
            return {"x": float(len(asked))}

        return Arm(name, once)

    readings = measure([arm("a"), arm("b")], 2, lambda _: None)
    assert asked == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert readings == {"a": [{"x": 1.0}, {"x": 3.0}], "b": [{"x": 2.0}, {"x": 4.0}]}


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    # A slow second round halves both arms, which moves the medians of each but no round's ratio much.
    readings = {"a": [{"x": 40.0}, {"x": 20.0}, {"x": 50.0}], "b": [{"x": 10.0}, {"x": 5.0}, {"x": 5.0}]}
    (row,) = fill(Table("t", "", "all"), [Ratio("a over b", "a", "b", "x", Goal(4))], readings).rows
    assert row.ratios == [4.0, 4.0, 10.0]
    assert row.ratio == 4.0
    assert (row.median, row.to_median) == (40.0, 5.0)
    assert (row.goal, row.met) == ("≥ 4", True)


def test_a_ratio_whose_arms_were_not_measured_is_left_out() -> None:
    assert not fill(Table("t", "", ""), [Ratio("a over b", "a", "b", "x")], {"a": [{"x": 1.0}]}).rows


@pytest.mark.parametrize(
    ("goal", "ratio", "met"),
    [
        (Goal(5), 5.0, True),
        (Goal(5), 4.99, False),
        (Goal(1.5, at_most=True), 1.5, True),
        (Goal(1.5, at_most=True), 1.51, False),
    ],
)
def test_a_goal_includes_its_bound(goal: Goal, ratio: float, met: bool) -> None:
    assert goal.met(ratio) is met


@pytest.mark.parametrize(
    ("share", "value"), [(0.5, 3.0), (0.99, 5.0), (0.0, 1.0)], ids=["median", "near the end", "least"]
)
def test_a_quantile_is_one_of_the_values(share: float, value: float) -> None:
    assert quantile([5.0, 1.0, 4.0, 2.0, 3.0], share) == value


def test_counts_that_agree_are_taken() -> None:
    check(COUNTS)


@pytest.mark.parametrize(
    "wrong", [{"reported": 24}, {"claimed": 38}, {"duplicates": 1}, {"unknown": 1}], ids=lambda wrong: next(iter(wrong))
)
def test_counts_that_disagree_void_a_measurement(wrong: dict[str, int]) -> None:
    with pytest.raises(MeasurementError, match="the counts disagree"):
        check({**COUNTS, **wrong})
