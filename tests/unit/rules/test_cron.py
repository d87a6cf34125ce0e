"""Cron expressions: which are read, and when they come due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exospherehost._rules.cron import next_after, validate

MONDAY = datetime(2026, 11, 23, 0, 10, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "due"),
    [
        ("* * * * *", "2026-11-23 00:11"),
        ("*/20 * * * *", "2026-11-23 00:20"),
        ("5,7 1 * * *", "2026-11-23 01:05"),
        ("0 0 * * tue-fri", "2026-11-24 00:00"),
        ("0 0 1 JAN,feb *", "2027-01-01 00:00"),
        ("0 0 * * 5-1", "2026-11-27 00:00"),
        ("50-10 * * * *", "2026-11-23 00:50"),
        ("0 0 ? * *", "2026-11-24 00:00"),
        ("0 0 L * *", "2026-11-30 00:00"),
        ("0 0 1W * *", "2026-12-01 00:00"),
        ("0 0 * * 1#2", "2026-12-14 00:00"),
        ("0 0 * * 7", "2026-11-29 00:00"),
        ("@hourly", "2026-11-23 01:00"),
        ("@daily", "2026-11-24 00:00"),
        ("@midnight", "2026-11-24 00:00"),
        ("@weekly", "2026-11-29 00:00"),
        ("@monthly", "2026-12-01 00:00"),
        ("@yearly", "2027-01-01 00:00"),
        ("@annually", "2027-01-01 00:00"),
        ("* * * * * */20", "2026-11-23 00:10:20"),
        ("0 9 * * * 30", "2026-11-23 09:00:30"),
        ("0 0 1 1 * 0 2030", "2030-01-01 00:00"),
        ("  0   5  * * * ", "2026-11-23 05:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
    ],
)
def test_is_read_and_comes_due(expression: str, due: str) -> None:
    assert validate(expression) is None
    assert next_after(expression, MONDAY) == at(due)


@pytest.mark.parametrize("expression", ["R * * * *", "R R * * *", "R(0-9) * * * *"])
def test_a_random_field_comes_due_at_some_time(expression: str) -> None:
    assert validate(expression) is None
    due = next_after(expression, MONDAY)
    assert due is not None
    assert MONDAY < due <= MONDAY + timedelta(days=2)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "   ",
        "* * * *",
        "* * * * * * * *",
        "nonsense",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 8",
        "* * * * * 60",
        "-1 * * * *",
        "*/0 * * * *",
        "H * * * *",
        "H(0-9) * * * *",
        "0 0 * * 5L",
        "@reboot",
        "@every 5m",
        "@never",
        "CRON_TZ=Europe/Berlin 0 9 * * *",
        "TZ=UTC 0 9 * * *",
        "a * * * *",
    ],
)
def test_is_refused_with_a_reason(expression: str) -> None:
    problem = validate(expression)
    assert problem is not None
    assert "cron expression" in problem
    with pytest.raises(ValueError, match="cannot be read"):
        next_after(expression, MONDAY)


@pytest.mark.parametrize("expression", ["0 0 31 2 *", "0 0 31 4,6 *", "0 0 1 1 * 0 2020"])
def test_what_never_comes_due_is_no_exception(expression: str) -> None:
    assert validate(expression) is None
    assert next_after(expression, MONDAY) is None


def test_the_next_time_is_strictly_later() -> None:
    assert next_after("10 0 * * *", MONDAY) == MONDAY + timedelta(days=1)
    assert next_after("11 0 * * *", MONDAY + timedelta(milliseconds=500)) == at("2026-11-23 00:11")
    assert next_after("* * * * * *", MONDAY + timedelta(milliseconds=500)) == at("2026-11-23 00:10:01")


def test_times_are_utc_whatever_the_zone_asked_in() -> None:
    new_york = timezone(timedelta(hours=-5))
    due = next_after("0 9 * * *", MONDAY.astimezone(new_york))
    assert due == at("2026-11-23 09:00")
    assert due is not None
    assert due.utcoffset() == timedelta(0)


def test_missed_occurrences_make_one() -> None:
    back_after = MONDAY + timedelta(hours=5, seconds=12)
    assert next_after("* * * * *", back_after) == at("2026-11-23 05:11")


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        next_after("* * * * *", MONDAY.replace(tzinfo=None))


FIELD = st.text("0123456789*/-,#LWRHrh?@ajnmo ", min_size=1, max_size=6)


@given(st.text(max_size=30) | st.lists(FIELD, min_size=5, max_size=7).map(" ".join))
def test_any_text_is_either_refused_or_usable(expression: str) -> None:
    if validate(expression) is None:
        due = next_after(expression, MONDAY)
        assert due is None or due > MONDAY
