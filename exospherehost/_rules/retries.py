"""When a failed state is tried again."""

from __future__ import annotations

from collections.abc import Callable

from exospherehost._rules.model import RetryPolicySpec, RetryStrategy

MAX_MILLISECONDS = 2**63 - 1
"""The largest delay or point in time that is stored: a signed 64-bit integer."""

# The end of the year 9999, after which no clock here tells the time.
_LAST_NOW = 253_402_300_799_999

_EXPONENTIAL = frozenset(
    {
        RetryStrategy.EXPONENTIAL,
        RetryStrategy.EXPONENTIAL_FULL_JITTER,
        RetryStrategy.EXPONENTIAL_EQUAL_JITTER,
    }
)
_LINEAR = frozenset(
    {
        RetryStrategy.LINEAR,
        RetryStrategy.LINEAR_FULL_JITTER,
        RetryStrategy.LINEAR_EQUAL_JITTER,
    }
)
_FULL_JITTER = frozenset(
    {
        RetryStrategy.EXPONENTIAL_FULL_JITTER,
        RetryStrategy.LINEAR_FULL_JITTER,
        RetryStrategy.FIXED_FULL_JITTER,
    }
)
_EQUAL_JITTER = frozenset(
    {
        RetryStrategy.EXPONENTIAL_EQUAL_JITTER,
        RetryStrategy.LINEAR_EQUAL_JITTER,
        RetryStrategy.FIXED_EQUAL_JITTER,
    }
)


def retries_left(policy: RetryPolicySpec, retry_count: int) -> bool:
    """Tell whether a state that was retried ``retry_count`` times may be tried again."""
    return retry_count < policy.max_retries


def delay_ms(policy: RetryPolicySpec, k: int, random: Callable[[], float]) -> int:
    """Return how long the k-th retry waits, in milliseconds.

    Args:
        policy: The graph's retry policy.
        k: Which retry it is; the first is 1.
        random: Returns a number from 0 up to, but not including, 1.

    Raises:
        ValueError: ``k`` is less than 1.
    """
    if k < 1:
        raise ValueError(f"the first retry is number 1, there is no number {k}")
    base = _base(policy, k)
    if policy.strategy in _FULL_JITTER:
        delay = min(int(random() * base), base)
    elif policy.strategy in _EQUAL_JITTER:
        # From 2**53 on a float is rounded, and may fall outside the bounds.
        delay = min(max(int(base / 2 + random() * (base / 2)), base // 2), base)
    else:
        delay = base
    # The cap comes after the jitter, so a capped delay is not spread any more.
    cap = MAX_MILLISECONDS if policy.max_delay is None else policy.max_delay
    return min(delay, cap, MAX_MILLISECONDS)


def may_overflow(policy: RetryPolicySpec) -> bool:
    """Tell whether, jitter and cap left aside, the last retry may be due at a time that is beyond 64 bits."""
    return _base(policy, policy.max_retries) > MAX_MILLISECONDS - _LAST_NOW


def due_at(now_ms: int, delay: int) -> int:
    """Return the point in time ``delay`` after ``now_ms`` (epoch milliseconds), within 64 bits."""
    return min(now_ms + delay, MAX_MILLISECONDS)


def _base(policy: RetryPolicySpec, k: int) -> int:
    if policy.strategy in _LINEAR:
        return min(policy.backoff_factor * k, MAX_MILLISECONDS)
    base = policy.backoff_factor
    if policy.strategy in _EXPONENTIAL and policy.exponent > 1:
        # Step by step, because the power itself may have millions of digits.
        for _ in range(k - 1):
            base *= policy.exponent
            if base >= MAX_MILLISECONDS:
                break
    return min(base, MAX_MILLISECONDS)
