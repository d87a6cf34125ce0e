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
from exospherehost.server.security.sessions import SESSION_HEADER, Sessions
from exospherehost.server.security.wrong_key_limits import WrongKeyLimits, address_of

logger = logging.getLogger(__name__)

FRESH_SECONDS = 1.0
"""How old what is known of the stored keys may be: a revoked key stops working within this time."""

_SECONDS_BETWEEN_WARNINGS = 60.0


def read_access(scope: Scope, _receive: Receive, _issues: list[Issue]) -> Access:
    """Return what an admitted request may do."""
    access: Access = scope[SCOPE_KEY]
    return access


@dataclass(frozen=True, slots=True)
class _Credential:
    """What a request is made under: the digest of a key and, where a session stands for the key, its token."""

    key: bytes
    session: bytes | None = field(default=None, repr=False)


@dataclass(slots=True)
class _Hold:
    """The requests that wait under one credential, and what ends their waiting."""

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
        sessions: Sessions that stand for keys; None where there are none.
    """

    def __init__(self, own_key: str, store: Store, clock: Clock, sessions: Sessions | None = None) -> None:
        self._own = digest(own_key.encode("ascii"))
        self._store = store
        self._clock = clock
        self._sessions = sessions
        self._limits = WrongKeyLimits()
        self._known: dict[bytes, tuple[ApiKeyRecord, Access]] = {}
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._held: dict[_Credential, _Hold] = {}
        self._is_held = asyncio.Event()
        self._warned_at = float("-inf")

    async def admit(self, scope: Scope) -> Access | ASGIApp:
        """Return what a request may do, or the answer that turns it away."""
        credential = self._credential(scope)
        if credential is None:
            return responses.unauthorized if session_token(scope) is None else responses.session_over
        client = scope.get("client")
        host = "" if client is None else client[0]
        now = time.monotonic()
        if hmac.compare_digest(credential.key, self._own):
            access: Access | None = FULL
        else:
            access = await self._find(credential.key, host, now)
        if access is None and credential.session is not None:
            return responses.session_over
        if access is None:
            if wait := self._limits.fail(host, now):
                self._warn(host, wait, now)
                return responses.too_many_attempts(int(wait))
            return responses.unauthorized
        scope[SCOPE_KEY] = access
        return access

    def while_valid(self, scope: Scope, receive: Receive) -> Receive:
        """Return ``receive`` so that it also tells the client gone once its key or session is no longer good."""
        credential = self._credential(scope)
        if credential is None or (credential.session is None and not scope[SCOPE_KEY].key_id):
            return receive

        async def receive_or_end() -> Message:
            hold = self._held.setdefault(credential, _Hold())
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
                if not hold.requests and self._held.get(credential) is hold:
                    del self._held[credential]

        return receive_or_end

    async def end_holds(self) -> None:
        """Watch, for ever, the keys and sessions that requests wait under, and end those waits when one is over."""
        while True:
            await self._is_held.wait()
            await asyncio.sleep(FRESH_SECONDS)
            try:
                if any(credential.key != self._own for credential in self._held):
                    await self._read_since(time.monotonic() - FRESH_SECONDS)
            except Exception:
                logger.exception("event=keys_unreadable")
                continue
            for credential in [credential for credential in self._held if not self._is_good(credential)]:
                self._held.pop(credential).ended.set()
            if not self._held:
                self._is_held.clear()

    def _warn(self, host: str, wait: float, now: float) -> None:
        # At most one line a minute, lest the log be what fills the disk.
        if now >= self._warned_at + _SECONDS_BETWEEN_WARNINGS:
            self._warned_at = now
            logger.warning("event=keys_held_off address=%s seconds=%d", address_of(host), wait)

    def _credential(self, scope: Scope) -> _Credential | None:
        """Return what a request is made under; None for nothing that is known to be meant, or for a session's end."""
        given = given_key(scope)
        if given is not None:
            return _Credential(digest(given))
        token = session_token(scope)
        found = None if token is None or self._sessions is None else self._sessions.find(token)
        return None if found is None else _Credential(found[0], token)

    def _is_good(self, credential: _Credential) -> bool:
        if credential.session is not None and self._sessions is not None:
            found = self._sessions.find(credential.session)
            if found is None:
                return False
        return credential.key == self._own or self._valid(credential.key) is not None

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


def given_key(scope: Scope) -> bytes | None:
    """Return the key of a request; None without one, or with several, of which none is known to be meant."""
    return _only(scope, API_KEY_HEADER)


def session_token(scope: Scope) -> bytes | None:
    """Return the session's token of a request; None without one, or with several."""
    return _only(scope, SESSION_HEADER)


def _only(scope: Scope, header: bytes) -> bytes | None:
    given: bytes | None = None
    for name, value in scope["headers"]:
        if name == header:
            if given is not None:
                return None
            given = value
    return given or None
