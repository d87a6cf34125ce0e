"""Claims that wait: who waits for which nodes, and who is woken when states become due."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field

from exospherehost.server.domain.clock import Clock
from exospherehost.server.domain.records import ClaimedRecord, WaitingState
from exospherehost.server.domain.store import Store

Line = tuple[str, str]
"""A namespace and a node's name: where claims stand in line."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a claim may wait.

    Attributes:
        wait_ms: The longest wait, in milliseconds.
        gone: Returns when the client has gone away.
    """

    wait_ms: int
    gone: Callable[[], Awaitable[None]]


@dataclass(eq=False, slots=True)
class Claimer:
    """A claim that waits.

    Attributes:
        lines: Where it stands.
        size: How many states it takes.
        woken: Whether it has been told of a state since it last looked.
        gone: Whether its client has gone away; read by the thread that claims for it.
        stir: Set when it is to look up.
    """

    lines: Sequence[Line]
    size: int
    woken: bool = False
    gone: bool = False
    stir: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a claim got; if nothing, when states will be due, in epoch milliseconds by line."""

    states: Sequence[ClaimedRecord]
    due_later: Sequence[tuple[Line, int]] = ()


class WaitingRoom:
    """Wakes as many claims as there are states for, those first that have waited longest.

    A claim that is woken leaves its lines, looks, and goes back to their heads if it came in vain. One that took all
    that it may, or went away without looking, wakes those next in its lines, for there may be more: so no state is
    due while a claim that would take it sleeps.

    All but the claiming itself happens on one event loop.

    Args:
        store: What tells how many states are due.
        clock: The time to go by.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._lines: dict[Line, OrderedDict[Claimer, None]] = {}
        # When states will be due for which somebody waits: a heap, and the earliest entry of each line.
        self._alarms: list[tuple[int, Line]] = []
        self._alarm_of: dict[Line, int] = {}
        self._wake_by: Callable[[int], None] = lambda _at_ms: None
        self._closed = False

    def when_alarms_change(self, notify: Callable[[int], None]) -> None:
        """Have ``notify`` called with a time (epoch milliseconds) at which :meth:`ring` is to be called."""
        self._wake_by = notify

    def close(self) -> None:
        """Let all who wait look up and go, and nobody wait any more."""
        self._closed = True
        for line in self._lines.values():
            for claimer in line:
                claimer.stir.set()

    @property
    def claimers(self) -> int:
        """How many claims stand in line."""
        return len({claimer for line in self._lines.values() for claimer in line})

    def is_occupied(self) -> bool:
        """Tell whether anybody waits.

        Any thread may ask, after a commit: who comes later sees in the database what was committed.
        """
        return bool(self._lines)

    def announce(self, waiting: Sequence[WaitingState]) -> None:
        """Wake those whom new states concern, or see to it that they are woken when those are due."""
        now_ms = self._clock.now_ms()
        due: Counter[Line] = Counter()
        for namespace, node_name, enqueue_after in waiting:
            line = (namespace, node_name)
            if line not in self._lines:
                continue
            if enqueue_after <= now_ms:
                due[line] += 1
            else:
                self._set_alarm(line, enqueue_after)
        for line, states in due.items():
            self._wake(line, states)

    def look_again(self) -> None:
        """Look what is due for all who wait, of whom somebody may not have been told."""
        now_ms = self._clock.now_ms()
        for line in self._lines:
            self._set_alarm(line, now_ms)

    async def ring(self) -> int | None:
        """Wake those for whom states are due by now, and return when to do so next (epoch milliseconds)."""
        now_ms = self._clock.now_ms()
        while self._alarms and self._alarms[0][0] <= now_ms:
            at_ms, line = heapq.heappop(self._alarms)
            if self._alarm_of.get(line) != at_ms:
                continue
            del self._alarm_of[line]
            claimers = self._lines.get(line)
            if claimers is None:
                continue
            wanted = sum(claimer.size for claimer in claimers)
            states, next_at = await self._look(line, now_ms, wanted)
            self._wake(line, states)
            if next_at is not None:
                self._set_alarm(line, next_at)
        return self._alarms[0][0] if self._alarms else None

    async def claim(
        self,
        namespace: str,
        node_names: Collection[str],
        size: int,
        patience: Patience,
        attempt: Callable[[Claimer], Awaitable[Attempt]],
    ) -> Sequence[ClaimedRecord]:
        """Claim, and while nothing is due wait for something, until the client's patience or presence ends.

        Args:
            namespace: The states' namespace.
            node_names: Their nodes.
            size: The most states to take.
            patience: How long to wait.
            attempt: Claims once, and takes nothing for a client that is gone.
        """
        until_ms = self._clock.now_ms() + patience.wait_ms
        claimer = Claimer([(namespace, name) for name in dict.fromkeys(node_names)], size)
        watcher: asyncio.Task[None] | None = None
        may_be_more = False
        try:
            while True:
                # In line before looking: what is committed while it looks must reach it.
                self._enter(claimer)
                may_be_more = True
                found = await attempt(claimer)
                may_be_more = len(found.states) == size
                if found.states or self._is_over(claimer, until_ms):
                    return found.states
                for line, at_ms in found.due_later:
                    self._set_alarm(line, at_ms)
                if watcher is None:
                    watcher = asyncio.create_task(_watch(claimer, patience.gone))
                await self._clock.wait(claimer.stir, until_ms)
                if not claimer.woken or self._is_over(claimer, None):
                    return ()
        finally:
            if watcher is not None:
                watcher.cancel()
            self._leave(claimer)
            if claimer.woken or may_be_more:
                for line in claimer.lines:
                    self._wake(line, 1)

    async def _look(self, line: Line, now_ms: int, limit: int) -> tuple[int, int | None]:
        return await self._store.read(lambda reader: reader.find_waiting(*line, now_ms=now_ms, limit=limit))

    def _is_over(self, claimer: Claimer, until_ms: int | None) -> bool:
        return claimer.gone or self._closed or (until_ms is not None and self._clock.now_ms() >= until_ms)

    def _enter(self, claimer: Claimer) -> None:
        has_waited = claimer.woken
        claimer.woken = False
        claimer.stir.clear()
        for line in claimer.lines:
            claimers = self._lines.setdefault(line, OrderedDict())
            claimers[claimer] = None
            if has_waited:
                claimers.move_to_end(claimer, last=False)

    def _leave(self, claimer: Claimer) -> None:
        for line in claimer.lines:
            claimers = self._lines.get(line)
            if claimers is not None:
                claimers.pop(claimer, None)
                if not claimers:
                    del self._lines[line]

    def _wake(self, line: Line, states: int) -> None:
        while states > 0 and (claimers := self._lines.get(line)):
            claimer = next(iter(claimers))
            states -= claimer.size
            self._leave(claimer)
            claimer.woken = True
            claimer.stir.set()

    def _set_alarm(self, line: Line, at_ms: int) -> None:
        known = self._alarm_of.get(line)
        if known is None or at_ms < known:
            self._alarm_of[line] = at_ms
            heapq.heappush(self._alarms, (at_ms, line))
            self._wake_by(at_ms)


async def _watch(claimer: Claimer, gone: Callable[[], Awaitable[None]]) -> None:
    await gone()
    claimer.gone = True
    claimer.stir.set()
