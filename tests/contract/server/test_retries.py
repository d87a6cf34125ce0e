from __future__ import annotations

from collections.abc import Callable

import pytest

from exospherehost.server import ServerThread
from exospherehost.testing.clock import ManualClock
from tests._support.service import Api, connect

NOW = 1_800_000_000_000


@pytest.mark.parametrize(
    ("policy", "delays"),
    [
        ({"strategy": "EXPONENTIAL", "backoff_factor": 10, "exponent": 3}, [10, 30, 90]),
        ({"strategy": "LINEAR", "backoff_factor": 10}, [10, 20, 30]),
        ({"strategy": "FIXED", "backoff_factor": 10}, [10, 10, 10]),
        ({"strategy": "EXPONENTIAL", "backoff_factor": 10, "exponent": 3, "max_delay": 50}, [10, 30, 50]),
        ({"strategy": "EXPONENTIAL", "backoff_factor": 2**62, "exponent": 2**62}, [2**62]),
    ],
)
def test_a_retry_is_due_after_its_delay_and_not_before(
    start_server: Callable[..., ServerThread], policy: dict[str, object], delays: list[int]
) -> None:
    clock = ManualClock(NOW)
    with connect(start_server(clock=clock)) as http:
        api = Api(http)
        api.steps()
        api.graph("g", api.node("a"), retry_policy={"max_retries": len(delays), **policy})
        api.trigger("g")
        for delay in delays:
            assert api.errored(api.claim_one())["retry_created"] is True
            clock.advance_to(clock.now_ms() + delay - 1)
            assert api.claim() == []
            clock.advance_to(clock.now_ms() + 1)
        assert api.errored(api.claim_one())["retry_created"] is False


def test_the_policy_is_that_of_the_version_that_the_run_was_triggered_with(api: Api) -> None:
    api.steps()
    api.graph("g", api.node("a"), retry_policy={"max_retries": 0})
    api.trigger("g")
    api.graph("g", api.node("a"), retry_policy={"max_retries": 5})
    assert api.errored(api.claim_one())["retry_created"] is False
