"""Sessions of the dashboard: random tokens that stand for a key, and links that sign in once.

Both live in this process's memory alone, so that a restart ends them, and only their digests are kept. What a session
may do is what its key may do at that moment: a key that is revoked takes its sessions with it.
"""

from __future__ import annotations

import secrets as randomness
import threading
from collections import OrderedDict
from dataclasses import dataclass

from exospherehost.server.domain.clock import Clock
from exospherehost.server.security.api_keys import digest

SESSION_HEADER = b"x-exosphere-session"

SESSION_MS = 12 * 60 * 60 * 1_000
"""How long a session lasts, in milliseconds."""

LINK_MS = 5 * 60 * 1_000
"""How long a link can be used, in milliseconds."""

_MOST_SESSIONS = 10_000
_MOST_LINKS = 1_000
_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Session:
    """A session that has just been opened, the only time that its token is known.

    Attributes:
        token: What the page sends.
        expires_at: When it ends, in epoch milliseconds.
    """

    token: str
    expires_at: int


class Sessions:
    """The sessions and links of one server, for any thread.

    Args:
        clock: The time that they end by.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: OrderedDict[bytes, tuple[bytes, int]] = OrderedDict()
        self._links: OrderedDict[bytes, tuple[bytes, int]] = OrderedDict()

    def make_link_token(self, key: bytes) -> str:
        """Return a token that opens one session within five minutes.

        Args:
            key: The digest of the key that the session will stand for.
        """
        return self._put(self._links, key, LINK_MS, _MOST_LINKS).token

    def redeem(self, link_token: bytes) -> bytes | None:
        """Return the digest of a link's key, once; None for a token that is unknown, used or too old."""
        with self._lock:
            key, expires_at = self._links.pop(digest(link_token), (None, 0))
        return key if expires_at > self._clock.now_ms() else None

    def open(self, key: bytes) -> Session:
        """Open a session.

        Args:
            key: The digest of the key that it stands for.
        """
        return self._put(self._sessions, key, SESSION_MS, _MOST_SESSIONS)

    def find(self, token: bytes) -> tuple[bytes, int] | None:
        """Return the digest of a session's key and when the session ends; None where there is no such session."""
        name = digest(token)
        with self._lock:
            found = self._sessions.get(name)
            if found is not None and found[1] <= self._clock.now_ms():
                del self._sessions[name]
                found = None
        return found

    def close(self, token: bytes) -> None:
        """End a session, if there is such a one."""
        with self._lock:
            self._sessions.pop(digest(token), None)

    def _put(self, place: OrderedDict[bytes, tuple[bytes, int]], key: bytes, lasts_ms: int, most: int) -> Session:
        token = randomness.token_urlsafe(_TOKEN_BYTES)
        expires_at = self._clock.now_ms() + lasts_ms
        with self._lock:
            place[digest(token.encode("ascii"))] = (key, expires_at)
            if len(place) > most:
                # The oldest, which would end first.
                place.popitem(last=False)
        return Session(token, expires_at)
