"""Counts in words."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 run" or "1,234 runs"; the noun takes an s in the plural."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
