"""Secrets at rest: AES-256-GCM under one key of the server's."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from exospherehost.server.errors import StartupError
from exospherehost.server.private_files import read_or_create

KEY_VARIABLE = "EXOSPHERE_SECRETS_KEY"
HOW_TO_MAKE_A_KEY = (
    "Make one with: python -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'"
)
_KEY_BYTES = 32
_NONCE_BYTES = 12


class Undecryptable(Exception):
    """A stored secret was not encrypted under this server's key."""


class SecretBox:
    """Encrypts and decrypts secret values.

    Args:
        key: The key, 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def __repr__(self) -> str:
        return "SecretBox(key=***)"

    def seal(self, text: str) -> str:
        """Return the ciphertext of ``text`` under a fresh nonce, as URL-safe base64."""
        nonce = os.urandom(_NONCE_BYTES)
        return base64.urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, text.encode(), None)).decode("ascii")

    def open(self, sealed: str) -> str:
        """Return the text that was sealed.

        Raises:
            Undecryptable: The ciphertext is damaged or was made under another key.
        """
        try:
            raw = base64.urlsafe_b64decode(sealed)
            return self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], None).decode()
        except (binascii.Error, InvalidTag, ValueError) as error:
            raise Undecryptable("a stored secret cannot be decrypted with this key") from error

    def seal_all(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return the ciphertexts of a map's values."""
        return {name: self.seal(value) for name, value in values.items()}


def parse_key(text: str, source: str) -> bytes:
    """Return the key that ``text`` spells: 32 bytes in URL-safe base64.

    Args:
        text: The key's text; it is never quoted in an error.
        source: Where it came from, for the error.

    Raises:
        StartupError: It is not base64, or not of 32 bytes.
    """
    try:
        key = base64.b64decode(text.strip().encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise StartupError(
            f"{source} does not hold a key of {_KEY_BYTES} bytes in URL-safe base64. {HOW_TO_MAKE_A_KEY}"
        )
    return key


def load_or_create_key(path: Path) -> bytes:
    """Return the key kept in a file, which is made with mode 0600 where it is missing.

    Raises:
        StartupError: The file cannot be read or made, or does not hold a key.
    """
    text = read_or_create(path, lambda: base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode("ascii"))
    return parse_key(text, f"the file {path}")
