"""Claiming: handing due states to runtimes, at once or after a wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exospherehost.server.domain.clock import Clock
from exospherehost.server.domain.records import ClaimedRecord
from exospherehost.server.domain.store import Store, UnitOfWork
from exospherehost.server.service.waiting_claims import Attempt, Claimer, Patience, WaitingRoom
from exospherehost_client.limits import BATCH_SIZE_MAX


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim asks for.

    Attributes:
        namespace: The namespace of the states.
        node_names: The nodes that the claimer runs.
        batch_size: The most states to hand out; the contract's :data:`BATCH_SIZE_MAX` bounds it.
        lease_ms: How long the states are held, in milliseconds; None for as long as it takes.
        token: Names the claim to those that report on its states; None for none.
    """

    namespace: str
    node_names: Sequence[str]
    batch_size: int
    lease_ms: int | None = None
    token: str | None = None

    @property
    def limit(self) -> int:
        """The most states to hand out."""
        return min(self.batch_size, BATCH_SIZE_MAX) if self.node_names else 0


class Claims:
    """Hands out states.

    Args:
        store: The store.
        clock: The clock.
        room: Where claims wait.
    """

    def __init__(self, store: Store, clock: Clock, room: WaitingRoom) -> None:
        self._store = store
        self._clock = clock
        self._room = room

    async def take(self, claim: Claim, patience: Patience | None = None) -> Sequence[ClaimedRecord]:
        """Hand out due states.

        Args:
            claim: What is asked for.
            patience: How long to wait while no state is due; None for not at all.
        """
        if claim.limit <= 0:
            return ()
        if patience is None:
            return await self._store.write(lambda unit: self._take(unit, claim))
        return await self._room.claim(
            claim.namespace, claim.node_names, claim.limit, patience, lambda claimer: self._attempt(claim, claimer)
        )

    async def _attempt(self, claim: Claim, claimer: Claimer) -> Attempt:
        def attempt(unit: UnitOfWork) -> Attempt:
            if claimer.gone:
                return Attempt(())
            if states := self._take(unit, claim):
                return Attempt(states)
            now_ms = self._clock.now_ms()
            later = [(line, unit.find_waiting(*line, now_ms=now_ms, limit=0)[1]) for line in claimer.lines]
            return Attempt((), [(line, at_ms) for line, at_ms in later if at_ms is not None])

        return await self._store.write(attempt)

    def _take(self, unit: UnitOfWork, claim: Claim) -> Sequence[ClaimedRecord]:
        now_ms = self._clock.now_ms()
        until = None if claim.lease_ms is None else now_ms + claim.lease_ms
        return unit.claim(
            claim.namespace, claim.node_names, limit=claim.limit, now_ms=now_ms, lease_until=until, token=claim.token
        )
