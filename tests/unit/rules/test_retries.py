"""How long a retry waits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exospherehost._rules.model import RetryPolicySpec, RetryStrategy
from exospherehost._rules.retries import MAX_MILLISECONDS, delay_ms, due_at, retries_left

S = RetryStrategy


@pytest.mark.parametrize(
    ("strategy", "delays"),
    [
        (S.EXPONENTIAL, [1001, 3003, 9009]),
        (S.EXPONENTIAL_FULL_JITTER, [250, 750, 2252]),
        (S.EXPONENTIAL_EQUAL_JITTER, [625, 1876, 5630]),
        (S.LINEAR, [1001, 2002, 3003]),
        (S.LINEAR_FULL_JITTER, [250, 500, 750]),
        (S.LINEAR_EQUAL_JITTER, [625, 1251, 1876]),
        (S.FIXED, [1001, 1001, 1001]),
        (S.FIXED_FULL_JITTER, [250, 250, 250]),
        (S.FIXED_EQUAL_JITTER, [625, 625, 625]),
    ],
)
def test_delays_of_each_strategy(strategy: RetryStrategy, delays: list[int]) -> None:
    policy = RetryPolicySpec(strategy=strategy, backoff_factor=1001, exponent=3)
    assert [delay_ms(policy, k, lambda: 0.25) for k in (1, 2, 3)] == delays


def test_all_nine_strategies_are_known() -> None:
    assert len(S) == 9


def test_the_default_policy() -> None:
    policy = RetryPolicySpec()
    assert [delay_ms(policy, k, lambda: 0.9) for k in (1, 2, 3)] == [2000, 4000, 8000]
    assert [retries_left(policy, count) for count in (0, 2, 3, 4)] == [True, True, False, False]


def test_no_retries_at_all() -> None:
    assert not retries_left(RetryPolicySpec(max_retries=0), 0)


def test_the_cap_comes_after_the_jitter() -> None:
    policy = RetryPolicySpec(strategy=S.FIXED_FULL_JITTER, backoff_factor=10_000, max_delay=3_000)
    assert delay_ms(policy, 1, lambda: 0.1) == 1_000
    assert delay_ms(policy, 1, lambda: 0.5) == 3_000


@pytest.mark.parametrize("strategy", list(S))
@pytest.mark.parametrize("k", [1, 2, 63, 64, 5_000, 10**9])
def test_no_delay_exceeds_64_bits_and_none_takes_long(strategy: RetryStrategy, k: int) -> None:
    policy = RetryPolicySpec(strategy=strategy, backoff_factor=MAX_MILLISECONDS, exponent=MAX_MILLISECONDS)
    numbers = iter([0.0, 0.5, 1 - 2**-53])
    for _ in range(3):
        assert 0 <= delay_ms(policy, k, lambda: next(numbers, 0.0)) <= MAX_MILLISECONDS


def test_an_exponent_of_one_is_a_fixed_delay_however_many_retries() -> None:
    policy = RetryPolicySpec(backoff_factor=7, exponent=1)
    assert delay_ms(policy, 10**12, lambda: 0.0) == 7


def test_there_is_no_retry_number_zero() -> None:
    with pytest.raises(ValueError, match="first retry is number 1"):
        delay_ms(RetryPolicySpec(), 0, lambda: 0.0)


def test_due_times_stay_within_64_bits() -> None:
    assert due_at(1_000, 500) == 1_500
    assert due_at(1_000, MAX_MILLISECONDS) == MAX_MILLISECONDS


@given(
    st.sampled_from(list(S)),
    st.integers(1, 10**6),
    st.integers(1, 50),
    st.integers(1, 12),
    st.none() | st.integers(1, 10**7),
    st.floats(0, 1, exclude_max=True),
)
def test_jitter_stays_within_its_bounds(
    strategy: RetryStrategy,
    backoff: int,
    exponent: int,
    k: int,
    cap: int | None,
    number: float,
) -> None:
    def delay(of: RetryStrategy, max_delay: int | None = None) -> int:
        return delay_ms(RetryPolicySpec(3, of, backoff, exponent, max_delay), k, lambda: number)

    base = delay(RetryStrategy(strategy.value.split("_")[0]))
    uncapped = delay(strategy)
    if strategy.value.endswith("FULL_JITTER"):
        assert 0 <= uncapped <= base
    elif strategy.value.endswith("EQUAL_JITTER"):
        assert base // 2 <= uncapped <= base
    else:
        assert uncapped == base
    assert delay(strategy, cap) == (uncapped if cap is None else min(uncapped, cap))
