"""Findings: what is wrong, and how to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding.

    Attributes:
        level: How bad it is.
        check: The check that found it.
        problem: What is the case.
        remedy: What to do about it; empty for a note that needs nothing.
    """

    level: Level
    check: str
    problem: str
    remedy: str = ""


def error(check: str, problem: str, remedy: str) -> Finding:
    """Return something that keeps work from being done."""
    return Finding(Level.ERROR, check, problem, remedy)


def warning(check: str, problem: str, remedy: str) -> Finding:
    """Return something that may keep work from being done."""
    return Finding(Level.WARNING, check, problem, remedy)


def note(check: str, problem: str, remedy: str = "") -> Finding:
    """Return something to know."""
    return Finding(Level.NOTE, check, problem, remedy)
