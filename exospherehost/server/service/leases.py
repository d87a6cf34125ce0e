"""Leases: renews those that are held and ends those that have run out."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from exospherehost._rules import transitions
from exospherehost.server.domain.store import Reader, Store, UnitOfWork
from exospherehost.server.service import state_reports
from exospherehost.server.service.context import Context

logger = logging.getLogger(__name__)

EXPIRED = "lease expired"
"""The error of a state whose lease ran out."""

SPARED_AFTER_START_MS = 30_000
"""How long every lease lasts at least after a start: a runtime looks for a service that was away every 10 s."""

_SWEPT_AT_ONCE = 128
_RENEWED_AT_ONCE = 500
_PAUSE_AFTER_FAILURE_MS = 5_000
_PAUSE_FOR_RENEWALS_MS = 100


@dataclass(frozen=True, slots=True)
class HeldLease:
    """A lease that is held until ``expires_at`` (epoch milliseconds)."""

    state_id: str
    expires_at: int


class Leases:
    """Renews leases and ends those that have run out.

    A renewal counts from when it arrived, however long it waits for a transaction, and until it is decided, its leases
    do not run out here.

    Args:
        store: The store.
        context: The server's context.
    """

    def __init__(self, store: Store, context: Context) -> None:
        self._store = store
        self._context = context
        self._renewing: Counter[str] = Counter()

    async def renew(
        self, namespace: str, state_ids: Sequence[str], lease_ms: int, claim_tokens: Mapping[str, str]
    ) -> list[HeldLease]:
        """Extend the leases that had not run out when this was called; return them, each once, in the order given.

        Args:
            namespace: The namespace of the states; a state of another namespace is not held.
            state_ids: The states.
            lease_ms: How long the leases are to last from now on, in milliseconds.
            claim_tokens: The claims that must hold the states, by the states' ids.
        """
        arrived_ms = self._context.clock.now_ms()
        wanted = list(dict.fromkeys(state_ids))
        self._renewing.update(wanted)
        held: list[HeldLease] = []
        try:
            # In parts: a long list does not keep others from writing.
            for start in range(0, len(wanted), _RENEWED_AT_ONCE):
                part = wanted[start : start + _RENEWED_AT_ONCE]
                held += await self._store.write(
                    partial(
                        self._renew,
                        namespace=namespace,
                        part=[(state_id, claim_tokens.get(state_id)) for state_id in part],
                        arrived_ms=arrived_ms,
                        lease_ms=lease_ms,
                    )
                )
        finally:
            self._renewing.subtract(wanted)
            self._renewing = +self._renewing
        return held

    def _renew(
        self,
        unit: UnitOfWork,
        *,
        namespace: str,
        part: Sequence[tuple[str, str | None]],
        arrived_ms: int,
        lease_ms: int,
    ) -> list[HeldLease]:
        until = self._context.clock.now_ms() + lease_ms
        return [
            HeldLease(state_id, until)
            for state_id, token in part
            if unit.renew_lease(namespace, state_id, now_ms=arrived_ms, until=until, token=token)
        ]

    async def spare_after_start(self) -> None:
        """Give every holder time to renew after a start: nobody could while the server was down."""
        until = self._context.clock.now_ms() + SPARED_AFTER_START_MS
        spared = await self._store.write(lambda unit: unit.prolong_leases(until))
        if spared:
            logger.info("event=leases_spared count=%d for_ms=%d", spared, SPARED_AFTER_START_MS)

    async def end_expired(self) -> int | None:
        """End the leases that have run out, and return when the next one does (epoch milliseconds).

        Each end is an error report in the worker's stead and a unit of its own: one that fails is tried again later and
        delays no other.
        """
        while True:
            now_ms = self._context.clock.now_ms()
            expired = await self._store.read(partial(_expired, now_ms=now_ms))
            ended = [state_id for state_id in expired if state_id not in self._renewing]
            await asyncio.gather(*(self._end(state_id) for state_id in ended))
            if len(expired) < _SWEPT_AT_ONCE or not ended:
                next_at = await self._store.read(lambda reader: reader.next_lease_expiry())
                waiting = len(ended) < len(expired)
                return max(next_at, now_ms + _PAUSE_FOR_RENEWALS_MS) if waiting and next_at is not None else next_at

    async def _end(self, state_id: str) -> None:
        try:
            retry = await self._store.write(lambda unit: self._expire(unit, state_id), concerns=state_id)
        except Exception:
            logger.exception("event=lease_end_failed state_id=%s retry_in_ms=%d", state_id, _PAUSE_AFTER_FAILURE_MS)
            later = self._context.clock.now_ms() + _PAUSE_AFTER_FAILURE_MS
            await self._store.write(lambda unit: unit.postpone_lease(state_id, later))
        else:
            if retry is not None:
                logger.warning("event=lease_expired state_id=%s retry_created=%s", state_id, retry)

    def _expire(self, unit: UnitOfWork, state_id: str) -> bool | None:
        """Report a state as failed, and return whether a retry was created; None if its lease holds after all."""
        expires_at = unit.find_lease(state_id)
        if expires_at is None or expires_at > self._context.clock.now_ms():
            return None
        state = unit.find_state(state_id)
        if state is None:
            raise LookupError(transitions.STATE_NOT_FOUND.detail)
        unit.note("lease_expired")
        target = state_reports.Target(state.namespace, state_id)
        return state_reports.errored(unit, self._context, target, EXPIRED)


def _expired(reader: Reader, now_ms: int) -> list[str]:
    return reader.expired_leases(now_ms, limit=_SWEPT_AT_ONCE)
