"""The policy of trying again, without any I/O."""

from __future__ import annotations

import pytest

from exospherehost import APIConnectionError, APIError, APIResponseError, APIStatusError, APITimeoutError
from exospherehost._transport.retry import Backoff, is_transient, never_reached_the_service


def status(code: int, retry_after: float | None = None) -> APIStatusError:
    return APIStatusError("m", status_code=code, detail="d", retry_after=retry_after)


def highest(_: float, upper: float) -> float:
    return upper


@pytest.mark.parametrize(
    ("error", "transient", "unreached"),
    [
        (APIConnectionError("m", sent=False), True, True),
        (APIConnectionError("m", sent=True), True, False),
        (APITimeoutError("m", sent=False), True, True),
        (APITimeoutError("m", sent=True), True, False),
        (status(408), True, False),
        (status(429), True, True),
        (status(500), True, False),
        (status(502), True, False),
        (status(503), True, False),
        (status(504), True, False),
        (status(400), False, False),
        (status(401), False, False),
        (status(404), False, False),
        (status(409), False, False),
        (status(422), False, False),
        (status(501), False, False),
        (APIResponseError("m"), False, False),
        (APIError("m"), False, False),
        (ValueError("m"), False, False),
    ],
)
def test_what_is_transient_and_what_never_arrived(error: Exception, transient: bool, unreached: bool) -> None:
    assert is_transient(error) is transient
    assert never_reached_the_service(error) is unreached


def test_upper_bounds_double_up_to_the_maximum() -> None:
    backoff = Backoff(attempts=100, initial=0.1, maximum=1.0)

    assert [backoff.delay(n, 0.0, status(500), highest) for n in range(1, 7)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_jitter_is_full() -> None:
    bounds: list[tuple[float, float]] = []

    def noted(lower: float, upper: float) -> float:
        bounds.append((lower, upper))
        return lower

    Backoff().delay(1, 0.0, status(500), noted)

    assert bounds == [(0, 0.1)]


def test_bounded_by_attempts() -> None:
    backoff = Backoff(attempts=3)

    assert [backoff.delay(n, 0.0, status(500)) is None for n in (1, 2, 3, 4)] == [False, False, True, True]


def test_bounded_by_elapsed_time() -> None:
    backoff = Backoff(attempts=100, max_elapsed=30)

    assert backoff.delay(1, 29.9, status(500)) is not None
    assert backoff.delay(1, 30.0, status(500)) is None


@pytest.mark.parametrize(("retry_after", "waits"), [(0.0, 0.0), (2.0, 2.0), (5.0, 5.0), (86_400.0, 5.0)])
def test_retry_after_is_honoured_up_to_a_cap(retry_after: float, waits: float) -> None:
    assert Backoff().delay(1, 0.0, status(503, retry_after), highest) == waits


def test_wait_for_any_attempt_is_bounded() -> None:
    assert Backoff(maximum=7.0).wait(1_000_000, highest) == 7.0
