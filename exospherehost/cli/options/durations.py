"""Durations as options, such as 30d or 12h."""

from __future__ import annotations

import re
from datetime import timedelta

import click

_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration_option(_context: click.Context, _parameter: click.Parameter, value: str | None) -> timedelta | None:
    """Read the value of an option that takes a duration; the callback of the option."""
    return None if value is None else duration(value)


def duration(text: str) -> timedelta:
    """Read a whole number above 0 with a unit: seconds, minutes, hours, days or weeks, as in 90s, 15m, 12h, 30d, 4w.

    Raises:
        click.BadParameter: The text is not a duration.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None or not int(match[1]):
        raise click.BadParameter(
            f"{text!r} is not a duration: give a whole number above 0 and s, m, h, d or w, such as 30d"
        )
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError:
        raise click.BadParameter(f"{text!r} is too long: give at most 999999999d") from None
