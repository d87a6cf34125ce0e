"""Times such as 30d or 12h as options."""

from __future__ import annotations

import re
from datetime import timedelta

import click

_SPELLED = re.compile(r"([0-9]{1,9})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str) -> timedelta:
    """Read a whole number above 0 with a unit: seconds, minutes, hours, days or weeks, as in 90s, 15m, 12h, 30d, 4w.

    Raises:
        click.BadParameter: It is none.
    """
    found = _SPELLED.fullmatch(text.strip())
    if found is None or not int(found[1]):
        raise click.BadParameter(f"{text!r} is no time: give a whole number above 0 and s, m, h, d or w, as in 30d")
    try:
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError:
        raise click.BadParameter(f"{text!r} is longer than can be counted") from None
