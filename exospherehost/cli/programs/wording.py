"""Counts, durations and times in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 run" or "1,234 runs"; the noun takes an s in the plural."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def ago(moment: datetime | None) -> str:
    """Return how long ago a moment was, such as "3 min ago"; a dash for None."""
    if moment is None:
        return "-"
    seconds = (datetime.now(UTC) - moment).total_seconds()
    if seconds < 0:
        return f"in {spelled(timedelta(seconds=-seconds))}"
    return f"{spelled(timedelta(seconds=seconds))} ago"


def spelled(duration: timedelta | None) -> str:
    """Return a duration in its two largest units, such as "2 h 5 min"; a dash for None."""
    if duration is None:
        return "-"
    seconds = duration.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = int(seconds)
    for size, unit, smaller, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit} {rest} {name}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"
