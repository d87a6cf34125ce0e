from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial

import pytest

from exospherehost.server import ServerThread
from exospherehost.server.domain.clock import as_epoch_ms
from exospherehost.testing.clock import ManualClock
from tests._support.eventually import eventually_sync
from tests._support.service import Api, connect, good

StartServer = Callable[..., ServerThread]


def at(hour: int, minute: int = 0, second: int = 0, day: int = 5) -> int:
    return as_epoch_ms(datetime(2026, 3, day, hour, minute, second, tzinfo=UTC))


def cron(*expressions: str) -> list[dict[str, object]]:
    return [{"type": "CRON", "value": {"expression": expression}} for expression in expressions]


def total(api: Api) -> int:
    return int(good(api.get("/runs/1/1"))["total"])


def advance(clock: ManualClock, api: Api, to: int, runs: int) -> None:
    """Move the clock, and wait until there are this many runs."""
    clock.advance_to(to)
    eventually_sync(lambda: total(api) >= runs)
    assert total(api) == runs


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(at(8))


@pytest.fixture
def timed(start_server: StartServer, clock: ManualClock) -> Iterator[Api]:
    with connect(start_server(clock=clock)) as http:
        api = Api(http)
        api.steps()
        yield api


def test_a_schedule_fires_in_utc_with_empty_inputs_and_store(timed: Api, clock: ManualClock) -> None:
    timed.graph("g", timed.node("a"), triggers=cron("0 9 * * *"))
    clock.advance_to(at(8, 59, 59))
    assert total(timed) == 0
    advance(clock, timed, at(9), 1)
    assert timed.claim_one()["inputs"] == {}
    advance(clock, timed, at(9, day=6), 2)


def test_what_was_missed_fires_once(timed: Api, clock: ManualClock) -> None:
    timed.graph("g", timed.node("a"), triggers=cron("* * * * *"))
    advance(clock, timed, at(20), 1)
    advance(clock, timed, at(20, 1), 2)


def test_each_distinct_expression_fires_for_itself(timed: Api, clock: ManualClock) -> None:
    timed.graph("g", timed.node("a"), triggers=cron("0 9 * * *", "0 9 * * *", "0 10 * * *"))
    advance(clock, timed, at(9), 1)
    advance(clock, timed, at(10), 2)


def test_a_new_schedule_wakes_a_scheduler_that_slept_for_a_later_one(timed: Api, clock: ManualClock) -> None:
    timed.graph("late", timed.node("a"), triggers=cron("0 23 * * *"))
    timed.graph("soon", timed.node("a"), triggers=cron("30 8 * * *"))
    advance(clock, timed, at(8, 30), 1)


def test_a_put_replaces_the_schedules_of_its_own_graph_only(timed: Api, clock: ManualClock) -> None:
    other = timed.in_namespace("another")
    other.steps()
    for api in (timed, other):
        api.graph("g", api.node("a"), triggers=cron("0 9 * * *"))
    timed.graph("g", timed.node("a"), triggers=cron("0 10 * * *"))
    timed.graph("g", timed.node("a"), triggers=cron("0 10 * * *"))
    advance(clock, other, at(9), 1)
    assert total(timed) == 0
    advance(clock, timed, at(10), 1)
    timed.graph("g", timed.node("a"))
    advance(clock, other, at(9, day=6), 2)
    advance(clock, other, at(11, day=6), 2)
    assert total(timed) == 1


def test_an_invalid_graph_has_no_schedules(timed: Api, clock: ManualClock) -> None:
    timed.graph("g", timed.node("a"), triggers=cron("0 9 * * *"))
    timed.graph("mark", timed.node("a"), triggers=cron("0 9 * * *"))
    assert timed.upsert("g", timed.node("a", node="No"), triggers=cron("0 9 * * *"))["validation_status"] == "INVALID"
    advance(clock, timed, at(9), 1)
    assert good(timed.get("/runs/1/5"))["runs"][0]["graph_name"] == "mark"


def test_a_firing_that_fails_is_logged_and_the_schedule_goes_on(
    timed: Api, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    timed.graph("g", timed.node("a"), triggers=cron("0 * * * *"), store_config={"required_keys": ["k"]})
    for hour, failures in ((9, 1), (10, 2)):
        clock.advance_to(at(hour))
        eventually_sync(partial(has_fired_in_vain, caplog, failures))
    assert total(timed) == 0


def has_fired_in_vain(caplog: pytest.LogCaptureFixture, times: int) -> bool:
    failed = [record for record in caplog.records if "event=cron_failed" in record.getMessage()]
    return len(failed) == times and all(record.levelno == logging.ERROR for record in failed)


def test_a_schedule_outlives_the_server_and_its_downtime_fires_once(
    start_server: StartServer, clock: ManualClock
) -> None:
    first = start_server(clock=clock)
    with connect(first) as http:
        api = Api(http)
        api.steps()
        api.graph("g", api.node("a"), triggers=cron("* * * * *"))
    first.stop()
    clock.advance_to(at(12, 0, 30))
    with connect(start_server(clock=clock)) as http:
        again = Api(http, api.namespace)
        eventually_sync(lambda: total(again) == 1)
        advance(clock, again, at(12, 1), 2)


@pytest.mark.parametrize("expression", ["", "* * * *", "61 * * * *", "@reboot", "H * * * *", "0 0 31 2 *"])
def test_a_schedule_that_makes_no_sense_is_refused(timed: Api, expression: str) -> None:
    answer = timed.put("/graph/g", {"secrets": {}, "nodes": [timed.node("a")], "triggers": cron(expression)})
    invalid = answer.status_code == 201 and answer.json()["validation_status"] == "INVALID"
    assert answer.status_code == 422 or invalid, answer.text
