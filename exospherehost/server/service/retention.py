"""Deleting runs that ended long ago, in steps so small that nobody else waits for them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar

from exospherehost.server.domain.clock import Clock
from exospherehost.server.domain.records import OldRun
from exospherehost.server.domain.store import Reader, Store, UnitOfWork

logger = logging.getLogger(__name__)
T = TypeVar("T")

_RUNS_AT_ONCE = 50
_ROWS_AT_ONCE = 250
_KEYS_AT_ONCE = 250
_LONGEST_PAUSE_MS = 600_000
_SHORTEST_PAUSE_MS = 1_000
_LOOKS_PER_AGE = 10


@dataclass(frozen=True, slots=True)
class DeletedRuns:
    """How much was, or would be, deleted."""

    runs: int = 0
    states: int = 0

    def __add__(self, other: DeletedRuns) -> DeletedRuns:
        return DeletedRuns(self.runs + other.runs, self.states + other.states)


def next_look_ms(now_ms: int, older_than: timedelta) -> int:
    """Return when to look for old runs again, in epoch milliseconds."""
    pause_ms = int(older_than / timedelta(milliseconds=1)) // _LOOKS_PER_AGE
    return now_ms + min(max(pause_ms, _SHORTEST_PAUSE_MS), _LONGEST_PAUSE_MS)


async def delete_old_runs(store: Store, clock: Clock, older_than: timedelta) -> DeletedRuns:
    """Delete the runs that have ended and of which nothing has changed for so long.

    A run is gone for all from one moment to the next; what it leaves is deleted in parts. Ended in the middle of that,
    by a crash for one, it is completed by the next call. Graph versions that only such runs used go with them, and so
    do the expired idempotency keys of triggers.

    Args:
        store: Where they are.
        clock: The time.
        older_than: How long ago the last change of a run must be.
    """
    total = await _delete_hidden(store)
    async for some in _old_runs(store, clock, older_than):
        if await _in_turn(store, partial(_hide, runs=some)):
            total += await _delete_hidden(store)
    while await _in_turn(store, lambda unit: unit.drop_trigger_keys(clock.now_ms(), limit=_KEYS_AT_ONCE)):
        pass
    if total.runs:
        logger.info(
            "event=runs_deleted runs=%d states=%d older_than_s=%d", total.runs, total.states, older_than.total_seconds()
        )
    return total


async def count_old_runs(store: Store, clock: Clock, older_than: timedelta) -> DeletedRuns:
    """Return how much :func:`delete_old_runs` would delete."""
    total = DeletedRuns()
    async for some in _old_runs(store, clock, older_than):
        total += DeletedRuns(len(some), sum(run.counts.total for run in some))
    return total


async def _old_runs(store: Store, clock: Clock, older_than: timedelta) -> AsyncGenerator[list[OldRun]]:
    """Walk from the first run on, as far as runs are old enough, and yield those that are to go."""
    before_ms = clock.now_ms() - int(older_than / timedelta(milliseconds=1))
    after_key = 0
    while True:
        runs, old = await store.read(partial(_look, after_key=after_key, before_ms=before_ms))
        if old:
            yield old
        # Keys ascend with time: behind a stretch of young runs there is no old one.
        if len(runs) < _RUNS_AT_ONCE or all(run.created_at >= before_ms for run in runs):
            return
        after_key = runs[-1].key


def _look(reader: Reader, *, after_key: int, before_ms: int) -> tuple[list[OldRun], list[OldRun]]:
    runs = reader.list_first_runs(after_key, limit=_RUNS_AT_ONCE)
    ended = (run for run in runs if run.created_at < before_ms and not run.counts.pending)
    return runs, [run for run in ended if _last_change(reader, run) < before_ms]


def _last_change(reader: Reader, run: OldRun) -> int:
    changed_at = reader.find_last_change(run.key) if run.counts.total else None
    return run.created_at if changed_at is None else changed_at


def _hide(unit: UnitOfWork, *, runs: list[OldRun]) -> int:
    return sum(unit.hide_run(run) for run in runs)


async def _delete_hidden(store: Store) -> DeletedRuns:
    total = DeletedRuns()
    while True:
        some, done = await _in_turn(store, _delete_some)
        total += some
        if done:
            return total


def _delete_some(unit: UnitOfWork) -> tuple[DeletedRuns, bool]:
    """Delete a bounded part of what is hidden, and tell whether that was all."""
    left = _ROWS_AT_ONCE
    runs = states = 0
    hidden = unit.list_hidden_runs(limit=_RUNS_AT_ONCE)
    for key, version_id in hidden:
        dropped = unit.drop_states(key, limit=left)
        states += dropped
        left -= dropped
        left -= unit.drop_events(key, limit=left)
        if not left:
            break
        unit.drop_run(key, version_id)
        runs += 1
    return DeletedRuns(runs, states), runs == len(hidden) < _RUNS_AT_ONCE


async def _in_turn(store: Store, work: Callable[[UnitOfWork], T]) -> T:
    """Run a unit, then leave the database to others for as long as that took."""
    began = time.monotonic()
    result = await store.write(work)
    await asyncio.sleep(time.monotonic() - began)
    return result
