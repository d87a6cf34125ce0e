"""Following runs: who waits for which run's transitions, and what each is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from exospherehost.server.domain.clock import Clock
from exospherehost.server.domain.records import EventCursor, EventPage, RunListing, RunRecord, TransitionRecord
from exospherehost.server.domain.store import Reader, Store
from exospherehost.server.service.reading import run_status

KEEP_ALIVE_MS = 15_000
"""How long a stream is silent at most, in milliseconds."""

_ROWS_AT_ONCE = 8
# A busy run commits many times a second; one who follows it is told of several commits together.
_PAUSE_SECONDS = 0.05
# How soon to look again for what is withheld, of which no commit tells when it no longer is.
_WITHHELD_MS = 100


@dataclass(frozen=True, slots=True)
class RunEnd:
    """The end of a run: none of its states is pending. A manual retry may revive it, and it then ends once more.

    Attributes:
        place: Where in the log it comes.
        status: The run's status.
        occurred_at: When it ended, in epoch milliseconds.
    """

    place: EventCursor
    status: str
    occurred_at: int


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing has happened for :data:`KEEP_ALIVE_MS`."""


RunUpdate = Sequence[TransitionRecord] | RunEnd | Silence


@dataclass(frozen=True, slots=True)
class _Look:
    run: RunListing | None
    page: EventPage
    last: TransitionRecord | None


class Followers:
    """Those who follow runs, on one event loop.

    Args:
        store: Where the logs are.
        clock: The time to go by.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._of_run: dict[int, set[asyncio.Event]] = {}
        self._closed = False

    def is_occupied(self) -> bool:
        """Tell whether anybody follows a run.

        Any thread may ask, after a commit: who comes later sees in the database what was committed.
        """
        return bool(self._of_run)

    def announce(self, runs: Collection[int]) -> None:
        """Have those look who follow one of these runs."""
        for run_key in self._of_run.keys() & set(runs):
            for stir in self._of_run[run_key]:
                stir.set()

    def look_again(self) -> None:
        """Have all look who follow a run, of whom somebody may not have been told."""
        self.announce(list(self._of_run))

    def close(self) -> None:
        """Let all who follow a run go, and nobody begin any more."""
        self._closed = True
        self.look_again()

    async def follow(self, run: RunRecord, after: EventCursor) -> AsyncGenerator[RunUpdate, None]:
        """Yield what happens in a run from a place in its log on, until the run or the server ends."""
        with self._entered(run.key) as stir:
            silent_until = self._clock.now_ms() + KEEP_ALIVE_MS
            while not self._closed:
                stir.clear()
                look = await self._store.read(partial(_look, run_key=run.key, after=after))
                page = look.page
                if page.transitions:
                    yield page.transitions
                after = page.following
                if page.full:
                    continue
                if look.run is None:
                    return
                if not look.run.counts.pending and not page.withheld:
                    yield _end(look.run, look.last)
                    return
                now_ms = self._clock.now_ms()
                if page.transitions:
                    silent_until = now_ms + KEEP_ALIVE_MS
                    await asyncio.sleep(_PAUSE_SECONDS)
                elif now_ms >= silent_until:
                    silent_until = now_ms + KEEP_ALIVE_MS
                    yield Silence()
                await self._clock.wait(
                    stir, min(silent_until, now_ms + _WITHHELD_MS) if page.withheld else silent_until
                )

    @contextmanager
    def _entered(self, run_key: int) -> Generator[asyncio.Event, None, None]:
        stir = asyncio.Event()
        followers = self._of_run.setdefault(run_key, set())
        followers.add(stir)
        try:
            yield stir
        finally:
            followers.discard(stir)
            if not followers:
                del self._of_run[run_key]


def _look(reader: Reader, run_key: int, after: EventCursor) -> _Look:
    # The run first: whatever led to how it stands is then in the log, also where each query has a view of its own.
    run = reader.find_listing(run_key)
    page = reader.read_events(run_key, after, rows=_ROWS_AT_ONCE)
    ended = run is not None and not run.counts.pending and not page.full
    return _Look(run, page, reader.last_event(run_key) if ended else None)


def _end(run: RunListing, last: TransitionRecord | None) -> RunEnd:
    status = run_status(run)
    if last is None:
        # It ran while no log was kept.
        return RunEnd(EventCursor(0, 0, 0), status, run.created_at)
    return RunEnd(last.place._replace(number=last.place.number + 1), status, last.occurred_at)
