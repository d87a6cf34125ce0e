"""Whether a join may start, asked of one uniter: the test's view beside the rules' own."""

from __future__ import annotations

from collections.abc import Iterable

from exospherehost._rules.joins import counts_of
from exospherehost._rules.model import Status, UniteStrategy


def join_ready(strategy: UniteStrategy, statuses: Iterable[Status]) -> bool:
    """Tell whether a uniter with that strategy may start on the statuses under the united one."""
    counts = counts_of(statuses)
    return not counts.pending and (strategy is UniteStrategy.ALL_DONE or not counts.failed)
