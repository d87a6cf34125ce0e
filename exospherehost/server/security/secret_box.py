"""Secrets at rest: AES-256-GCM under a key of the server's, which can be changed while servers run."""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from exospherehost.server.domain.errors import StartupError, Undecryptable
from exospherehost.server.security.private_files import read_or_create, replace

KEY_VARIABLE = "EXOSPHERE_SECRETS_KEY"
HOW_TO_MAKE_A_KEY = (
    "Make one with: python -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'"
)
_KEY_BYTES = 32
_NONCE_BYTES = 12
_ID_DIGITS = 8
# Not in the alphabet of base64: what was sealed before keys had ids has none.
_BEHIND_ID = "."
_BETWEEN_IDS = ","


logger = logging.getLogger(__name__)


class SecretBox:
    """Encrypts and decrypts secret values.

    Each ciphertext names its key. With a file, keys that are added to it are taken up at once, and those that have
    been taken out of it still open what was read before.

    Args:
        key: The key that seals, 32 bytes.
        others: Keys that only open.
        file: Where the keys come from.
    """

    def __init__(self, key: bytes, *others: bytes, file: Path | None = None) -> None:
        self._file = file
        self._version: object = None
        self._lock = threading.Lock()
        self._ciphers: dict[str, AESGCM] = {}
        self._current = ""
        self._take((key, *others))

    def __repr__(self) -> str:
        return "SecretBox(keys=***)"

    @property
    def current(self) -> str:
        """The id of the key that seals."""
        self._reread()
        return self._current

    def seal(self, text: str) -> str:
        """Return the ciphertext of ``text`` under a fresh nonce: the key's id and URL-safe base64."""
        key_id = self.current
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._ciphers[key_id].encrypt(nonce, text.encode(), None)
        return f"{key_id}{_BEHIND_ID}{base64.urlsafe_b64encode(sealed).decode('ascii')}"

    def open(self, sealed: str) -> str:
        """Return the text that was sealed.

        Raises:
            Undecryptable: The ciphertext is damaged or was made under another key.
        """
        key_id, _, text = sealed.rpartition(_BEHIND_ID)
        if key_id and key_id not in self._ciphers:
            self._reread()
        named = self._ciphers.get(key_id)
        try:
            raw = base64.urlsafe_b64decode(text)
        except (binascii.Error, ValueError) as error:
            raise _undecryptable() from error
        for cipher in [named] if named is not None else list(self._ciphers.values()):
            try:
                return cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], None).decode()
            except (InvalidTag, ValueError):
                continue
        raise _undecryptable()

    def is_current(self, sealed: str) -> bool:
        """Tell whether something was sealed under the key that seals now."""
        return sealed.startswith(f"{self._current}{_BEHIND_ID}")

    def has_all(self, keys: str) -> bool:
        """Tell whether it has all keys of what :func:`keys_of` returned, so that nothing need be opened to see."""
        self._reread()
        return all(key_id in self._ciphers for key_id in keys.split(_BETWEEN_IDS))

    def seal_all(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return the ciphertexts of a map's values."""
        return {name: self.seal(value) for name, value in values.items()}

    def _take(self, keys: Sequence[bytes]) -> None:
        # A new map, since others may be reading the one that there is.
        self._ciphers = {**self._ciphers, **{_key_id(key): AESGCM(key) for key in keys}}
        self._current = _key_id(keys[0])

    def _reread(self) -> None:
        if self._file is None:
            return
        with self._lock:
            try:
                found = self._file.stat()
                version = (found.st_ino, found.st_mtime_ns, found.st_size)
                if version == self._version:
                    return
                self._version = version
                self._take(read_keys(self._file))
            except (OSError, StartupError) as error:
                # What was read before still serves.
                logger.warning("event=secrets_keys_unreadable path=%s error=%s", self._file, error)


def keys_of(sealed: Mapping[str, str]) -> str | None:
    """Return by which keys the values of a map are sealed: their ids, sorted, apart by commas; None without values.

    What was sealed before keys had ids counts as sealed by a key whose id is empty.
    """
    if not sealed:
        return None
    return _BETWEEN_IDS.join(sorted({value.rpartition(_BEHIND_ID)[0] for value in sealed.values()}))


def parse_keys(text: str, source: str) -> tuple[bytes, ...]:
    """Return the keys that ``text`` spells, apart by commas or lines: the first seals, all open.

    Args:
        text: The keys' text; it is never quoted in an error.
        source: Where it came from, for the error.

    Raises:
        StartupError: One is not base64, or not of 32 bytes, or there is none.
    """
    return tuple(parse_key(part, source) for part in text.strip().replace("\n", ",").split(","))


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


def load_or_create_keys(path: Path) -> tuple[bytes, ...]:
    """Return the keys kept in a file, which is made with mode 0600 and one key where it is missing.

    Raises:
        StartupError: The file cannot be read or made, or does not hold keys.
    """
    return parse_keys(read_or_create(path, lambda: _spelled(make_key())), _named(path))


def read_keys(path: Path) -> tuple[bytes, ...]:
    """Return the keys kept in a file that there is.

    Raises:
        StartupError: It does not hold keys.
        OSError: It cannot be read.
    """
    return parse_keys(path.read_text(encoding="utf-8"), _named(path))


def write_keys(path: Path, keys: Sequence[bytes]) -> None:
    """Replace what a file of keys holds, in one step.

    Raises:
        StartupError: The file cannot be written.
    """
    replace(path, "\n".join(map(_spelled, keys)))


def make_key() -> bytes:
    """Return a fresh key."""
    return os.urandom(_KEY_BYTES)


def _spelled(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode("ascii")


def _named(path: Path) -> str:
    return f"the file {path}"


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"exosphere secrets key:" + key).hexdigest()[:_ID_DIGITS]


def _undecryptable() -> Undecryptable:
    return Undecryptable("a stored secret cannot be decrypted with this key")
