"""Who may call, and for which namespaces."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope

from exospherehost.server.domain.clock import Clock
from exospherehost.server.domain.errors import Issue
from exospherehost.server.domain.records import ApiKeyRecord
from exospherehost.server.domain.store import Store
from exospherehost.server.http import responses
from exospherehost.server.security.access import API_KEY_HEADER, FULL, SCOPE_KEY, Access
from exospherehost.server.security.api_keys import digest
from exospherehost.server.security.wrong_key_limits import WrongKeyLimits, address_of

logger = logging.getLogger(__name__)

FRESH_SECONDS = 1.0
"""How old what is known of the stored keys may be: a revoked key stops working within this time."""

_SECONDS_BETWEEN_WARNINGS = 60.0


def read_access(scope: Scope, _receive: Receive, _issues: list[Issue]) -> Access:
    """Return what an admitted request may do."""
    access: Access = scope[SCOPE_KEY]
    return access


@dataclass(slots=True)
class _Hold:
    """The requests that wait under one key, and what ends their waiting."""

    ended: asyncio.Event = field(default_factory=asyncio.Event)
    requests: int = 0


class Authenticator:
    """Admits requests by their key: the server's own, or one of those stored.

    Stored keys are known from a copy in memory, which is read anew when a stored key is used and the copy is older
    than :data:`FRESH_SECONDS`. The server's own key never needs it.

    Args:
        own_key: The server's own key, which may do everything.
        store: Where the others are.
        clock: The time that they expire by.
    """

    def __init__(self, own_key: str, store: Store, clock: Clock) -> None:
        self._own = digest(own_key.encode("ascii"))
        self._store = store
        self._clock = clock
        self._limits = WrongKeyLimits()
        self._known: dict[bytes, tuple[ApiKeyRecord, Access]] = {}
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._held: dict[bytes, _Hold] = {}
        self._is_held = asyncio.Event()
        self._warned_at = float("-inf")

    async def admit(self, scope: Scope) -> Access | ASGIApp:
        """Return what a request may do, or the answer that turns it away."""
        given = _given(scope)
        if given is None:
            return responses.unauthorized
        key = digest(given)
        client = scope.get("client")
        host = "" if client is None else client[0]
        now = time.monotonic()
        if hmac.compare_digest(key, self._own):
            access: Access | None = FULL
        else:
            access = await self._find(key, host, now)
        if access is None:
            if wait := self._limits.fail(host, now):
                self._warn(host, wait, now)
                return responses.too_many_attempts(int(wait))
            return responses.unauthorized
        scope[SCOPE_KEY] = access
        return access

    def while_valid(self, scope: Scope, receive: Receive) -> Receive:
        """Return ``receive`` so that it also tells the client gone once its key has been revoked or has expired."""
        given = _given(scope)
        if given is None or not scope[SCOPE_KEY].key_id:
            return receive
        key = digest(given)

        async def receive_or_end() -> Message:
            hold = self._held.setdefault(key, _Hold())
            hold.requests += 1
            self._is_held.set()
            received = asyncio.ensure_future(receive())
            over = asyncio.ensure_future(hold.ended.wait())
            try:
                await asyncio.wait((received, over), return_when=asyncio.FIRST_COMPLETED)
                return received.result() if received.done() else {"type": "http.disconnect"}
            finally:
                received.cancel()
                over.cancel()
                hold.requests -= 1
                if not hold.requests and self._held.get(key) is hold:
                    del self._held[key]

        return receive_or_end

    async def end_holds(self) -> None:
        """Watch, for ever, the stored keys that requests wait under, and end those waits when a key stops working."""
        while True:
            await self._is_held.wait()
            await asyncio.sleep(FRESH_SECONDS)
            try:
                await self._read_since(time.monotonic() - FRESH_SECONDS)
            except Exception:
                logger.exception("event=keys_unreadable")
                continue
            for key in [key for key in self._held if self._valid(key) is None]:
                self._held.pop(key).ended.set()
            if not self._held:
                self._is_held.clear()

    def _warn(self, host: str, wait: float, now: float) -> None:
        # At most one line a minute, lest the log be what fills the disk.
        if now >= self._warned_at + _SECONDS_BETWEEN_WARNINGS:
            self._warned_at = now
            logger.warning("event=keys_held_off address=%s seconds=%d", address_of(host), wait)

    async def _find(self, key: bytes, host: str, now: float) -> Access | None:
        # An unknown key may have been made just now; but who only guesses must not make the database busy.
        unknown = key not in self._known and not self._limits.held_off(host, now)
        await self._read_since(now if unknown else now - FRESH_SECONDS)
        return self._valid(key)

    def _valid(self, key: bytes) -> Access | None:
        known = self._known.get(key)
        if known is None:
            return None
        record, access = known
        is_over = record.expires_at is not None and record.expires_at <= self._clock.now_ms()
        return None if is_over else access

    async def _read_since(self, since: float) -> None:
        """Know what was stored at a time or later; those who ask at once share the reading."""
        while self._read_at < since:
            if self._reading is None:
                self._reading = asyncio.create_task(self._read(), name="exospherehost-keys")
            await asyncio.shield(self._reading)

    async def _read(self) -> None:
        began = time.monotonic()
        try:
            records = await self._store.read(lambda reader: reader.usable_api_keys())
        finally:
            self._reading = None
        self._known = {
            bytes.fromhex(record.digest): (record, Access(record.id, record.namespaces)) for record in records
        }
        self._read_at = began


def _given(scope: Scope) -> bytes | None:
    """Return the key of a request; None without one, or with several, of which none is known to be meant."""
    given: bytes | None = None
    for name, value in scope["headers"]:
        if name == API_KEY_HEADER:
            if given is not None:
                return None
            given = value
    return given or None
