"""Follows a run to its end: by its events where the service has them, else by looking at its states again and again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from exospherehost._errors import APIError, APIResponseError, APIStatusError, NotFoundError
from exospherehost._state_manager.runs import Run, Transition, as_run
from exospherehost._state_manager.unclaimed_states import UnclaimedStates
from exospherehost._transport.manager_session import ManagerSession
from exospherehost._transport.retry import Backoff, is_transient
from exospherehost_client import models
from exospherehost_client.extensions import EVENTS

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 120.0
"""How long a service may be away while a run is followed; a restart takes less."""
STANDING_SECONDS = 10.0
"""How long a stream without an event must stand before it counts as one that works."""

SHORTEST_INTERVAL = 0.1
LONGEST_INTERVAL = 2.0
"""Seconds between two looks at a run. A twentieth of the time that it has been followed: an end is seen late by no more
than that, and a long run is not looked at more often than that is worth."""
COST_FACTOR = 10.0
"""And ten times what a look takes, so that a large run, of which each look brings all states, takes a tenth of a
connection at the most."""
LONGEST_COSTLY_INTERVAL = 30.0

LARGE_RUN = 500
"""States from which on the run's line in the list of runs is looked at first, which has no states in it."""
LINES_READ = 50

PATIENCE = Backoff(attempts=1_000, max_elapsed=PATIENCE_SECONDS)
"""How often a service that is away is tried by who follows a run."""


class RunWatcher:
    """Follows one run; one `transitions` or `ended` at a time.

    Args:
        session: where the run is.
        run_id: the run.
        last_event_id: begin after this event.

    Attributes:
        unclaimed: the states that nobody claims.
    """

    def __init__(self, session: ManagerSession, run_id: str, last_event_id: str | None = None) -> None:
        self._session = session
        self._run_id = run_id
        self._last_event_id = last_event_id
        self._statuses: dict[str, str] = {}
        self._event_ids: set[str] = set()
        self._has_ended = False
        self.unclaimed = UnclaimedStates(run_id)

    async def transitions(self) -> AsyncGenerator[Transition, None]:
        """Yield each transition once, until the run has ended.

        Raises:
            NotFoundError: there is no such run.
            APIError: the service refused, or was away for too long.
        """
        async with self.unclaimed.telling():
            while not self._has_ended:
                by_events = EVENTS in await self._session.extensions(PATIENCE)
                async with aclosing(self._streamed() if by_events else self._polled()) as found:
                    async for transition in found:
                        self.unclaimed.note(transition)
                        yield transition

    async def ended(self) -> Run:
        """Wait until the run has ended, and read it.

        Raises:
            NotFoundError: there is no such run.
            APIError: the service refused, or was away for too long.
        """
        pace = _Pace()
        while True:
            if EVENTS in await self._session.extensions(PATIENCE):
                run = await self._look()
                if run.is_finished:
                    return run
                self._has_ended = False
                async with aclosing(self.transitions()) as transitions:
                    async for _ in transitions:
                        pass
                run = await self._look()
                if run.is_finished:
                    return run
                # A state was retried by hand in between, so that the run goes on.
                await pace.wait(0.0)
            else:
                async with self.unclaimed.telling():
                    return await self._poll_until_ended()

    # ---- by events -----------------------------------------------------------------------------

    async def _streamed(self) -> AsyncGenerator[Transition, None]:
        """Yield transitions from the stream of events, opened again after each break, to the end of the run.

        It ends early, without the end of the run, where the service has no events after all.
        """
        breaks = _Breaks(self._run_id)
        while not self._has_ended:
            failure: APIError | None = None
            try:
                async with aclosing(self._stream_once(breaks)) as found:
                    async for transition in found:
                        yield transition
            except APIError as error:
                if await self._has_lost_events(error):
                    return
                failure = error
            if not self._has_ended:
                await asyncio.sleep(breaks.delay(failure))

    async def _stream_once(self, breaks: _Breaks) -> AsyncGenerator[Transition, None]:
        async with aclosing(self._session.run_events(self._run_id, self._last_event_id)) as events:
            async for event in events:
                if event is None:
                    breaks.opened()
                # One that was told already would come from a service that begins again after a break.
                elif event.event_id not in self._event_ids:
                    breaks.has_event()
                    self._event_ids.add(event.event_id)
                    self._last_event_id = event.event_id
                    if event.state_id is None:
                        self._has_ended = True
                        return
                    self._statuses[event.state_id] = event.status
                    yield _transition(event, event.state_id)

    async def _has_lost_events(self, error: APIError) -> bool:
        """Tell whether the service has no events after all; raises the error unless another try may help."""
        status = error.status_code if isinstance(error, APIStatusError) else None
        if status in (404, 405):
            # Either that, or the run is unknown.
            self._session.forget_extensions()
            if EVENTS in await self._session.extensions(PATIENCE):
                raise error
            return True
        if status is not None and not is_transient(error):
            raise error
        return False

    # ---- by looking ----------------------------------------------------------------------------

    async def _polled(self) -> AsyncGenerator[Transition, None]:
        pace = _Pace()
        is_finished = False
        while True:
            started = time.monotonic()
            run = await self._look()
            cost = time.monotonic() - started
            for node in run.nodes:
                if self._statuses.get(node.id) != node.status:
                    self._statuses[node.id] = node.status
                    is_finished = False
                    yield Transition(node.id, node.identifier, node.node_name, node.status)
            # Seen twice: the hosted service makes a join's state a moment after the last state before it has ended.
            if run.is_finished and is_finished:
                self._has_ended = True
                return
            is_finished = run.is_finished
            await pace.wait(cost)

    async def _poll_until_ended(self) -> Run:
        pace = _Pace()
        is_finished = False
        while True:
            started = time.monotonic()
            run = await self._look()
            cost = time.monotonic() - started
            if run.is_finished and is_finished:
                return run
            is_finished = run.is_finished
            await pace.wait(cost)
            while run.node_count >= LARGE_RUN and not is_finished and await self._is_listed_as_pending():
                await pace.wait(0.0)

    async def _is_listed_as_pending(self) -> bool:
        newest = (await self._session.list_runs(1, LINES_READ, PATIENCE)).runs
        return any(line.run_id == self._run_id and line.pending_count > 0 for line in newest)

    async def _look(self) -> Run:
        run = await read_run(self._session, self._run_id, PATIENCE)
        self.unclaimed.look(run.nodes)
        return run


async def read_run(session: ManagerSession, run_id: str, backoff: Backoff | None = None) -> Run:
    """Read a run from its states.

    Raises:
        NotFoundError: there is no such run.
    """
    graph = await session.get_run_graph(run_id, backoff)
    if graph.node_count == 0 and not graph.graph_name:
        # The hosted service answers so; the embedded one with this status.
        detail = f"there is no run {run_id} in this namespace: correct run_id= or namespace="
        raise NotFoundError(detail, status_code=404, detail=detail)
    return as_run(run_id, graph)


class _Pace:
    """How long to wait between two looks."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    async def wait(self, cost: float) -> None:
        by_age = (time.monotonic() - self._began) / 20
        by_cost = min(cost * COST_FACTOR, LONGEST_COSTLY_INTERVAL)
        await asyncio.sleep(max(SHORTEST_INTERVAL, min(by_age, LONGEST_INTERVAL), by_cost))


class _Breaks:
    """Counts how often in a row the stream of events broke off, and says when to open it again."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._count = 0
        self._alive_at = time.monotonic()
        self._opened_at: float | None = None

    def opened(self) -> None:
        self._opened_at = time.monotonic()

    def has_event(self) -> None:
        self._count, self._alive_at = 0, time.monotonic()

    def delay(self, failure: APIError | None) -> float:
        """Return the seconds to wait before the next try; None is a stream that ended in good order, but too early.

        Raises:
            APIError: there has been no event, and no stream that stood for a while, for too long.
        """
        now = time.monotonic()
        opened_at, self._opened_at = self._opened_at, None
        if opened_at is not None and now - opened_at > STANDING_SECONDS:
            self._count, self._alive_at = 0, now
        if now - self._alive_at > PATIENCE_SECONDS:
            raise failure or APIResponseError(
                f"the service ends the events of run {self._run_id} again and again, before the run has ended"
            )
        self._count += 1
        delay = PATIENCE.wait(self._count) if failure is None else PATIENCE.delay_after(self._count, failure)
        reason = failure or "the stream ended"
        logger.debug("event=run_events_lost run_id=%s delay=%.3f reason=%s", self._run_id, delay, reason)
        return delay


def _transition(event: models.RunEvent, state_id: str) -> Transition:
    try:
        status: models.StateStatus | str = models.StateStatus(event.status)
    except ValueError:
        status = event.status
    return Transition(
        state_id, event.identifier or "", event.node_name or "", status, event.occurred_at, event.event_id
    )
