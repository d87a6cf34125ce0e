"""Keeps the leases of claimed states alive, on a service that has leases."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from exospherehost._errors import APIError, APIStatusError
from exospherehost._transport.runtime_session import RuntimeSession
from exospherehost_client.extensions import LEASE
from exospherehost_client.limits import RENEWED_STATES_MAX

logger = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 3


class LeaseKeeper:
    """Renews leases until cancelled.

    Args:
        session: carries the renewals.
        lease: the length of a lease, seconds.
        held: gives the ids of the states that are held here, each with a token of that holding: the same
            state may have been given back and claimed again while a renewal was under way.
        lost: told of each holding whose lease has run out.
        claim_tokens: the tokens of the claims that hold them, by the states' ids. Default: they have none.
    """

    def __init__(
        self,
        session: RuntimeSession,
        lease: float,
        held: Callable[[], Mapping[str, object]],
        lost: Callable[[str, object], None],
        claim_tokens: Mapping[str, str] | None = None,
    ) -> None:
        self._session = session
        self._lease = lease
        self._held = held
        self._lost = lost
        self._claim_tokens: Mapping[str, str] = {} if claim_tokens is None else claim_tokens

    async def run(self) -> None:
        """Renew all leases several times in the length of one."""
        failing = False
        while True:
            await asyncio.sleep(self._lease / RENEWALS_PER_LEASE)
            held = self._held()
            if not held or not await self._session.offers(LEASE):
                continue
            try:
                lost = await self._renew(held)
            except APIError as error:
                if isinstance(error, APIStatusError) and error.status_code in (404, 405):
                    self._session.forget_extensions()
                if not failing:
                    logger.warning("event=renewal_failing states=%d reason=%s", len(held), error)
                failing = True
            else:
                if failing:
                    logger.info("event=renewal_recovered states=%d lost=%d", len(held) - lost, lost)
                failing = False

    async def _renew(self, held: Mapping[str, object]) -> int:
        """Renew leases, and return how many of them had run out."""
        lost = 0
        for asked in _parts(held):
            tokens = {key: self._claim_tokens[key] for key in asked if key in self._claim_tokens}
            still_held = await self._session.renew(asked, int(self._lease * 1000), tokens)
            for state_id in asked:
                if state_id not in still_held:
                    lost += 1
                    self._lost(state_id, held[state_id])
        return lost


def _parts(state_ids: Iterable[str]) -> Iterable[list[str]]:
    ordered = list(state_ids)
    most = RENEWED_STATES_MAX
    return (ordered[start : start + most] for start in range(0, len(ordered), most))
