"""Claims work: when to ask the service for states, and how long to leave it alone."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence

from exospherehost._errors import APIError, APIStatusError
from exospherehost._retry import Backoff
from exospherehost._session import Session
from exospherehost_client.models import ClaimedState

logger = logging.getLogger(__name__)

FIRST_IDLE_WAIT = 0.01
"""Seconds to wait after the first claim that found nothing; doubled up to the poll interval."""

_FAULTS = Backoff(initial=0.25, maximum=30.0)


class Poller:
    """Claims states, backing off when there are none and, with a counter of its own, when the service fails.

    Args:
        session: carries the claims.
        nodes: names of the nodes to claim for.
        batch_size: the most states in one claim.
        poll_interval: the longest wait between two claims when idle, seconds.
    """

    def __init__(self, session: Session, nodes: Sequence[str], batch_size: int, poll_interval: float) -> None:
        self._session = session
        self._nodes = list(nodes)
        self._batch_size = batch_size
        self._poll_interval = poll_interval
        self._idle_claims = 0
        self._faults = 0
        self._retry_after: float | None = None
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """Claim again at once: a report may just have made a next state due, or a worker is free."""
        self._hurry.set()

    async def claim(self, room: int) -> list[ClaimedState]:
        """Claim once, up to `room` states; a failure counts as nothing claimed."""
        self._hurry.clear()
        wanted = min(room, self._batch_size)
        try:
            states = await self._session.claim(self._nodes, wanted)
        except APIError as error:
            self._faults += 1
            self._retry_after = error.retry_after if isinstance(error, APIStatusError) else None
            if self._faults == 1:
                logger.warning("event=claim_failing reason=%s", error)
            return []
        if self._faults:
            logger.info("event=claim_recovered failures=%d", self._faults)
        self._faults = 0
        self._idle_claims = 0 if states else self._idle_claims + 1
        if len(states) == wanted:
            self.hurry()
        return states

    async def rest(self) -> None:
        """Wait until it is time for the next claim."""
        if self._faults:
            # A report that goes through is no reason to press a service that refuses claims.
            await asyncio.sleep(min(self._retry_after or _FAULTS.wait(self._faults), _FAULTS.maximum))
            return
        try:
            await asyncio.wait_for(self._hurry.wait(), self._idle_wait())
        except TimeoutError:
            return

    def _idle_wait(self) -> float:
        doubled = FIRST_IDLE_WAIT * 2.0 ** min(self._idle_claims, 32)
        # Jitter only upwards: at rest this asks no more often than the interval says.
        return min(doubled, self._poll_interval) * random.uniform(1.0, 1.2)  # noqa: S311 - no secret
