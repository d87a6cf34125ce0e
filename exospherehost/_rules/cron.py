"""Cron expressions: five fields, six with seconds last, or seven with the year; always in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

# The library carries no type information.
from croniter import (  # type: ignore[import-untyped]
    CroniterBadDateError,
    CroniterError,
    croniter,
)

from exospherehost_client.limits import CRON_EXPRESSION_MAX_LENGTH

_FIELDS = (5, 6, 7)
_SHOWN_CHARACTERS = 40


def validate(expression: str) -> str | None:
    """Return why an expression is refused, or None if it is accepted.

    An accepted expression may still never come due: see :func:`next_after`.
    """
    if len(expression) > CRON_EXPRESSION_MAX_LENGTH:
        return (
            f"the cron expression '{expression[:_SHOWN_CHARACTERS]}…' has {len(expression)} characters: give at most "
            f"{CRON_EXPRESSION_MAX_LENGTH}"
        )
    stripped = expression.strip()
    if not stripped:
        return "the cron expression is empty: give five fields, such as '0 9 * * *'"
    fields = stripped.split()
    if not stripped.startswith("@") and len(fields) not in _FIELDS:
        return (
            f"the cron expression {expression!r} has {len(fields)} fields: give five (minute, hour, day of month, "
            "month, day of week), six with the seconds last, or seven with the year"
        )
    try:
        croniter.expand(expression)
    except CroniterError as error:
        return f"the cron expression {expression!r} cannot be read: {error}"
    return None


def next_after(expression: str, after: datetime) -> datetime | None:
    """Return the first time strictly after ``after`` at which the expression comes due.

    Args:
        expression: An expression that :func:`validate` accepts.
        after: A point in time with a zone.

    Returns:
        The time in UTC, or None if the expression never comes due again, as on 31 February or in a year that is over.

    Raises:
        ValueError: ``after`` has no zone, or the expression cannot be read.
    """
    if after.tzinfo is None:
        raise ValueError("the point in time needs a zone")
    try:
        found: datetime = croniter(expression, after.astimezone(UTC)).get_next(datetime)
    except CroniterBadDateError:
        return None
    except CroniterError as error:
        raise ValueError(f"the cron expression {expression!r} cannot be read: {error}") from error
    return found
