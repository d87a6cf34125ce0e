"""How many requests the fuzz tests sent and how they were answered, told in pytest's last lines."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import hypothesis
import pytest

PROFILE = os.environ.get("FUZZ", "short")
"""`short` for seconds, the same at every run; `long` for as long as FUZZ_EXAMPLES says, different each time."""

COUNTS: Counter[str] = Counter()
_FROM_WORKERS = "fuzz_counts"


def fuzz_settings(short: int) -> hypothesis.settings:
    """Return how much a fuzz test is to try.

    Args:
        short: How many examples in the short profile.
    """
    is_long = PROFILE == "long"
    return hypothesis.settings(
        max_examples=int(os.environ.get("FUZZ_EXAMPLES", "5000")) if is_long else short,
        derandomize=not is_long,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


def count(kind: str, status: int | str) -> None:
    """Count a request by what it tried and what it was answered."""
    COUNTS[f"{kind} {status}"] += 1


class FuzzCounts:
    """The pytest plugin that adds up what workers counted and shows it."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        COUNTS.update(getattr(node, "workeroutput", {}).get(_FROM_WORKERS, {}))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_FROM_WORKERS] = dict(COUNTS)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if COUNTS:
            kinds: dict[str, list[str]] = {}
            for name, number in sorted(COUNTS.items()):
                kind, _, status = name.rpartition(" ")
                kinds.setdefault(kind, []).append(f"{status}: {number:,}")
            total = sum(COUNTS.values())
            terminalreporter.write_line(f"fuzz ({PROFILE}): {total:,} requests")
            for kind, statuses in kinds.items():
                terminalreporter.write_line(f"  {kind}: {', '.join(statuses)}")
