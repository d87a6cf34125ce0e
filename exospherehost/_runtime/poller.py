"""Claims work: when to ask the service for states, and how long to leave it alone."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from exospherehost._errors import APIError, APIStatusError
from exospherehost._runtime.stats import Counters
from exospherehost._transport.retry import Backoff
from exospherehost._transport.runtime_session import RuntimeSession
from exospherehost_client.extensions import LEASE, WAIT
from exospherehost_client.models import ClaimedState

logger = logging.getLogger(__name__)

FIRST_IDLE_WAIT = 0.01
"""Seconds to wait after the first claim that found nothing; doubled up to the poll interval."""

LONGEST_HOLD = 2
"""The most seconds that a service with the extension `wait` is asked to hold a claim.

A stop waits for a claim under way: what it takes would be lost, or stay away until its lease runs out. And a
service does not learn at once, nor from every HTTP client at all, that a claim has been broken off.
"""

_FAULTS = Backoff(initial=0.25, maximum=30.0)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim brought.

    Attributes:
        states: the states.
        leased: whether the claim asked for leases, so that they must be renewed.
        full: whether there may be more.
        unreadable: the ids of states that cannot be read, each with the reason.
    """

    states: Sequence[ClaimedState] = ()
    leased: bool = False
    full: bool = False
    unreadable: Mapping[str, str] = field(default_factory=dict[str, str])


class Poller:
    """Claims states, backing off when there are none and, with a counter of its own, when the service fails.

    Args:
        session: carries the claims.
        counters: where to count.
        batch_size: the most states in one claim.
        poll_interval: the longest wait between two claims when idle, seconds.
        lease: how long a claim holds on a service with leases, seconds; None to ask for none.
        read_timeout: the session's, seconds; a held claim must come back within it.
    """

    def __init__(
        self,
        session: RuntimeSession,
        counters: Counters,
        *,
        batch_size: int,
        poll_interval: float,
        lease: float | None,
        read_timeout: float,
    ) -> None:
        self._session = session
        self._counters = counters
        self._batch_size = batch_size
        self._poll_interval = poll_interval
        self._lease_ms = None if lease is None else int(lease * 1000)
        # A hold of less than a second cannot be asked for, and 0 asks for none.
        self._longest_hold = min(LONGEST_HOLD, int(read_timeout / 2))
        self._idle_claims = 0
        self._faults = 0
        self._came_back_full = False
        self._retry_after: float | None = None
        self._hurry = asyncio.Event()
        self._ended = False

    def end(self) -> None:
        """Send no claim any more; one that has been sent goes on."""
        self._ended = True

    def hurry(self) -> None:
        """Claim again at once: a report may just have made a next state due, or a worker is free."""
        self._hurry.set()

    async def claim(self, nodes: list[str], room: int, *, may_hold: bool) -> Claim:
        """Claim once; a failure counts as nothing claimed.

        Args:
            nodes: the names of the nodes.
            room: the most states.
            may_hold: whether the service may hold the claim until a state is due.
        """
        self._hurry.clear()
        wanted = min(room, self._batch_size)
        lease_ms = self._lease_ms if self._lease_ms is not None and await self._session.offers(LEASE) else None
        hold = 0
        if may_hold and await self._session.offers(WAIT):
            hold = self._longest_hold
        if self._ended:
            return Claim()
        unreadable: dict[str, str] = {}
        began = time.monotonic()
        try:
            states = await self._session.claim(
                nodes, wanted, lease_ms=lease_ms, wait=hold or None, on_unreadable=partial(_note, unreadable)
            )
        except APIError as error:
            self._failed(error)
            return Claim()
        took = time.monotonic() - began
        brought = len(states) + len(unreadable)
        self._count(brought, wanted, took, hold)
        if self._faults:
            logger.info("event=claim_recovered failures=%d", self._faults)
            self._faults = 0
        full = brought >= wanted
        if brought:
            self._idle_claims = 0
        elif hold == 0 or took < hold / 2:
            self._idle_claims += 1
        if full or (hold and took >= hold / 2):
            self.hurry()
        return Claim(states, lease_ms is not None, full, unreadable)

    async def rest(self) -> None:
        """Wait until it is time for the next claim."""
        if self._faults:
            # A report that goes through is no reason to press a service that refuses claims.
            await asyncio.sleep(self._retry_after or _FAULTS.wait(self._faults))
        elif not self._hurry.is_set():
            try:
                # Not wait_for, which in Python 3.11 can swallow a cancellation.
                async with asyncio.timeout(self._idle_wait()):
                    await self._hurry.wait()
            except TimeoutError:
                return

    def _count(self, brought: int, wanted: int, took: float, hold: int) -> None:
        counters = self._counters
        counters.claims += 1
        counters.claimed += brought
        counters.claims_failing = False
        was_full, self._came_back_full = self._came_back_full, brought == wanted
        # How long the service held a claim that brought something, nobody tells.
        if not hold or (was_full and self._came_back_full):
            counters.poll_latency = took
        elif not brought and took >= hold:
            counters.poll_latency = took - hold

    def _failed(self, error: APIError) -> None:
        self._counters.claim_failures += 1
        self._counters.claims_failing = True
        self._faults += 1
        self._retry_after = None
        if isinstance(error, APIStatusError) and error.retry_after is not None:
            self._retry_after = min(error.retry_after, _FAULTS.maximum)
        if self._faults == 1:
            logger.warning("event=claim_failing reason=%s", error)

    def _idle_wait(self) -> float:
        doubled = FIRST_IDLE_WAIT * 2.0 ** min(max(self._idle_claims - 1, 0), 32)
        # Jitter only upwards: at rest this asks no more often than the interval says.
        return min(doubled, self._poll_interval) * random.uniform(1.0, 1.2)  # noqa: S311 - no secret


def _note(unreadable: dict[str, str], item: object, problem: str) -> None:
    """Note a claimed state that cannot be read; without its id it can only wait for its lease to run out."""
    state_id = cast("dict[str, object]", item).get("state_id") if isinstance(item, dict) else None
    if isinstance(state_id, str) and state_id:
        unreadable[state_id] = problem
    else:
        logger.warning("event=claimed_state_nameless reason=%r", str(problem))
