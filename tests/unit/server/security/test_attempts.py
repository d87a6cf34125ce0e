from __future__ import annotations

import pytest

from exospherehost.server.security.wrong_key_limits import BURST, SECONDS_PER_ATTEMPT, WrongKeyLimits, address_of


def exhausted(host: str = "10.0.0.1", now: float = 0.0) -> WrongKeyLimits:
    attempts = WrongKeyLimits()
    for _ in range(BURST):
        assert attempts.fail(host, now) == 0
    return attempts


def test_after_a_burst_an_address_is_held_off_until_the_time_that_it_is_told() -> None:
    attempts = exhausted()
    wait = attempts.fail("10.0.0.1", 0.0)
    assert wait == SECONDS_PER_ATTEMPT
    assert attempts.fail("10.0.0.1", wait - 1.1) > 0
    assert attempts.fail("10.0.0.1", wait) == 0
    assert attempts.fail("10.0.0.1", wait) > 0


def test_others_are_not_concerned() -> None:
    attempts = exhausted()
    assert attempts.held_off("10.0.0.2", 0.0) == 0


def test_memory_is_bounded() -> None:
    attempts = exhausted()
    for number in range(30_000):
        attempts.fail(f"host-{number}", 0.0)
    assert len(attempts._buckets) <= 10_000


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1%eth0", "2001:db8:1:2::/64"),
        ("", ""),
        ("a name", "a name"),
    ],
)
def test_an_ipv6_network_counts_as_one_address(host: str, address: str) -> None:
    assert address_of(host) == address
