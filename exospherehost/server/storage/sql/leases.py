"""Leases of claimed states in SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, bindparam, literal_column, select, update

from exospherehost.server.storage.sql.base import SqlPart
from exospherehost.server.storage.sql.tables import states

_LEASED = states.c.lease_expires_at.is_not(None)
_EXPIRED = (
    select(states.c.id)
    .where(_LEASED, states.c.lease_expires_at <= bindparam("now_ms"))
    .order_by(states.c.lease_expires_at)
    .limit(bindparam("limit", type_=BigInteger))
)
_NEXT_EXPIRY = (
    select(states.c.lease_expires_at).where(_LEASED).order_by(states.c.lease_expires_at).limit(literal_column("1"))
)
_FIND = select(states.c.lease_expires_at).where(states.c.id == bindparam("id"))
_POSTPONE = update(states).where(states.c.id == bindparam("of_id"), _LEASED).values(lease_expires_at=bindparam("until"))
_PROLONG = (
    update(states)
    .where(_LEASED, states.c.lease_expires_at < bindparam("until"))
    .values(lease_expires_at=bindparam("until"))
)
_RENEW = _POSTPONE.where(
    states.c.namespace == bindparam("of_namespace"), states.c.lease_expires_at > bindparam("now_ms")
)


_RENEW_OF_CLAIM = _RENEW.where(states.c.claim_token == bindparam("token"))


class SqlLeases(SqlPart):
    """Until when states are held that were claimed with a lease."""

    # By this name another database may change it.
    find_lease_statement = _FIND

    def expired_leases(self, now_ms: int, *, limit: int) -> list[str]:
        """Return states whose lease has run out, the longest expired first."""
        return [row[0] for row in self._rows(_EXPIRED, now_ms=now_ms, limit=limit)]

    def next_lease_expiry(self) -> int | None:
        """Return when the first of the leases runs out or has run out, in epoch milliseconds."""
        expiry: int | None = self._scalar(_NEXT_EXPIRY)
        return expiry

    def find_lease(self, state_id: str) -> int | None:
        """Return when a state's lease runs out, in epoch milliseconds; None without one."""
        expiry: int | None = self._scalar(self.find_lease_statement, id=state_id)
        return expiry

    def renew_lease(self, namespace: str, state_id: str, *, now_ms: int, until: int, token: str | None = None) -> bool:
        """Make a lease that has not run out end at ``until``, and tell whether there was one."""
        values: dict[str, Any] = {"of_id": state_id, "of_namespace": namespace, "now_ms": now_ms, "until": until}
        if token is None:
            return self._run(_RENEW, **values) > 0
        return self._run(_RENEW_OF_CLAIM, **values, token=token) > 0

    def prolong_leases(self, until: int) -> int:
        """Make every lease that would end before ``until`` end then, and return how many there were."""
        return self._run(_PROLONG, until=until)

    def postpone_lease(self, state_id: str, until: int) -> None:
        """Make a lease end at ``until``, whether or not it has run out."""
        self._run(_POSTPONE, of_id=state_id, until=until)
