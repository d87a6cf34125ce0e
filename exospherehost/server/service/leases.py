"""Leases: renewing those that are held, ending those that have run out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from exospherehost._rules import transitions
from exospherehost.server.domain.store import Store, UnitOfWork
from exospherehost.server.service import state_reports
from exospherehost.server.service.context import Context

logger = logging.getLogger(__name__)

EXPIRED = "lease expired"
"""The error of a state whose lease ran out."""

SPARED_AFTER_START_MS = 30_000
"""How long every lease lasts at least after a start: a runtime looks for a service that was away within 10 s."""

_SWEPT_AT_ONCE = 128
_RENEWED_AT_ONCE = 500
_PAUSE_AFTER_FAILURE_MS = 5_000


@dataclass(frozen=True, slots=True)
class HeldLease:
    """A lease that is held, until ``expires_at`` (epoch milliseconds)."""

    state_id: str
    expires_at: int


async def renew(
    store: Store, context: Context, namespace: str, state_ids: Sequence[str], lease_ms: int
) -> list[HeldLease]:
    """Extend the leases that have not run out, and return those, each once, in the order asked for.

    Args:
        store: The store.
        context: The server's context.
        namespace: The states' namespace; those of another are not held.
        state_ids: The states.
        lease_ms: How long the leases are to last from now on, in milliseconds.
    """
    wanted = list(dict.fromkeys(state_ids))
    held: list[HeldLease] = []
    # In parts, so that a long list does not keep everybody else from writing.
    for start in range(0, len(wanted), _RENEWED_AT_ONCE):
        part = wanted[start : start + _RENEWED_AT_ONCE]
        held += await store.write(partial(_renew, context=context, namespace=namespace, part=part, lease_ms=lease_ms))
    return held


def _renew(
    unit: UnitOfWork, *, context: Context, namespace: str, part: Sequence[str], lease_ms: int
) -> list[HeldLease]:
    now_ms = context.clock.now_ms()
    until = now_ms + lease_ms
    return [
        HeldLease(state_id, until)
        for state_id in part
        if unit.renew_lease(namespace, state_id, now_ms=now_ms, until=until)
    ]


async def spare_after_start(store: Store, context: Context) -> None:
    """Give every holder time to renew after a start: while the server was down, nobody could."""
    until = context.clock.now_ms() + SPARED_AFTER_START_MS
    spared = await store.write(lambda unit: unit.prolong_leases(until))
    if spared:
        logger.info("event=leases_spared count=%d for_ms=%d", spared, SPARED_AFTER_START_MS)


async def end_expired(store: Store, context: Context) -> int | None:
    """End the leases that have run out, and return when the next one does (epoch milliseconds).

    Each end is an error report in the worker's stead and a unit of its own: one that fails is tried again later and
    holds up no other.
    """
    while True:
        expired = await store.read(lambda reader: reader.expired_leases(context.clock.now_ms(), limit=_SWEPT_AT_ONCE))
        await asyncio.gather(*(_end(store, context, state_id) for state_id in expired))
        if len(expired) < _SWEPT_AT_ONCE:
            return await store.read(lambda reader: reader.next_lease_expiry())


async def _end(store: Store, context: Context, state_id: str) -> None:
    try:
        retry = await store.write(lambda unit: _expire(unit, context, state_id), concerns=state_id)
    except Exception:
        logger.exception("event=lease_end_failed state_id=%s retry_in_ms=%d", state_id, _PAUSE_AFTER_FAILURE_MS)
        later = context.clock.now_ms() + _PAUSE_AFTER_FAILURE_MS
        await store.write(lambda unit: unit.postpone_lease(state_id, later))
    else:
        if retry is not None:
            logger.warning("event=lease_expired state_id=%s retry_created=%s", state_id, retry)


def _expire(unit: UnitOfWork, context: Context, state_id: str) -> bool | None:
    """Report a state as failed, and tell whether a retry was created; None if its lease holds after all."""
    expires_at = unit.find_lease(state_id)
    if expires_at is None or expires_at > context.clock.now_ms():
        return None
    state = unit.find_state(state_id)
    if state is None:
        raise LookupError(transitions.STATE_NOT_FOUND.detail)
    unit.note("lease_expired")
    return state_reports.errored(unit, context, state.namespace, state_id, EXPIRED)
