"""The keys that `exospherehost keys` makes: how they look, and how they are stored.

A key is 32 random bytes behind a public id. Only its SHA-256 is stored. That digest is fast on purpose: a slow one
protects secrets that people choose and that can be guessed one by one, which 256 random bits cannot; and it would let
anybody keep the server busy with wrong keys.
"""

from __future__ import annotations

import hashlib
import secrets as randomness
from dataclasses import dataclass, field

from exospherehost.server.domain.records import ApiKeyRecord

PREFIX = "exk"
_ID_BYTES = 5
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key that has just been made, the only time that its text is known.

    Attributes:
        text: What clients send; in no repr.
        record: What is stored.
    """

    text: str = field(repr=False)
    record: ApiKeyRecord


def make_api_key(
    *, name: str, namespaces: frozenset[str] | None, now_ms: int, expires_at: int | None = None
) -> NewApiKey:
    """Return a new key.

    Args:
        name: What its owner calls it.
        namespaces: Those that it is for; None for all.
        now_ms: The time, in epoch milliseconds.
        expires_at: When it stops working, in epoch milliseconds; None for never.
    """
    key_id = randomness.token_hex(_ID_BYTES)
    text = f"{PREFIX}_{key_id}_{randomness.token_urlsafe(_SECRET_BYTES)}"
    stored = digest(text.encode("ascii")).hex()
    return NewApiKey(text, ApiKeyRecord(key_id, name, stored, namespaces, now_ms, expires_at, None))


def digest(key: bytes) -> bytes:
    """Return what a key is recognised by."""
    return hashlib.sha256(key).digest()
