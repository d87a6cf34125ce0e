"""Secrets at rest: sealed with AES-256-GCM under a key that can be changed while servers run."""

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

from exospherehost.server.domain.errors import KeysUnreadable, StartupError, Undecryptable
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
    """Seals and opens secret values.

    Each ciphertext names its key. With a file, the box takes up keys that are added to it at once; keys that were
    removed from it still open. While the file cannot be read, nothing is sealed: the key in memory may be on no disk.

    Args:
        key: The key that seals, 32 bytes.
        others: Keys that only open.
        file: The file that the keys come from.
    """

    def __init__(self, key: bytes, *others: bytes, file: Path | None = None) -> None:
        self._file = file
        self._version: object = None
        self._failure: Exception | None = None
        self._lock = threading.Lock()
        self._ciphers: dict[str, AESGCM] = {}
        self._current = ""
        self._take((key, *others))

    def __repr__(self) -> str:
        return "SecretBox(keys=***)"

    @property
    def current(self) -> str:
        """The id of the key that seals.

        Raises:
            KeysUnreadable: The keys' file cannot be read.
        """
        self._require_readable()
        return self._current

    def seal(self, text: str) -> str:
        """Return the ciphertext of ``text`` under a fresh nonce: the key's id and URL-safe base64.

        Raises:
            KeysUnreadable: The keys' file cannot be read.
        """
        key_id = self.current
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._ciphers[key_id].encrypt(nonce, text.encode(), None)
        return f"{key_id}{_BEHIND_ID}{base64.urlsafe_b64encode(sealed).decode('ascii')}"

    def open(self, sealed: str) -> str:
        """Return the text that was sealed.

        Raises:
            Undecryptable: The ciphertext is damaged, or its key is not one of these.
            KeysUnreadable: Its key is unknown, and the keys' file cannot be read.
        """
        key_id, _, text = sealed.rpartition(_BEHIND_ID)
        if key_id and key_id not in self._ciphers:
            self._require_readable()
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
        """Return whether a ciphertext was made under the key that seals now."""
        return sealed.startswith(f"{self._current}{_BEHIND_ID}")

    def has_all(self, keys: str) -> bool:
        """Return whether the box has all keys that :func:`keys_of` named: then nothing need be opened to find out."""
        self._reread()
        return all(key_id in self._ciphers for key_id in keys.split(_BETWEEN_IDS))

    def seal_all(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return the ciphertexts of a map's values.

        Raises:
            KeysUnreadable: The keys' file cannot be read.
        """
        return {name: self.seal(value) for name, value in values.items()}

    def _take(self, keys: Sequence[bytes]) -> None:
        # A new map: other threads may be reading the old one.
        self._ciphers = {**self._ciphers, **{_key_id(key): AESGCM(key) for key in keys}}
        self._current = _key_id(keys[0])

    def _require_readable(self) -> None:
        self._reread()
        if self._failure is not None:
            raise KeysUnreadable(f"the secrets keys in {self._file} cannot be read") from self._failure

    def _reread(self) -> None:
        if self._file is None:
            return
        with self._lock:
            try:
                found = self._file.stat()
                # The change of its status too: a file may become readable.
                version = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
                if version == self._version:
                    return
                self._version = version
                self._take(read_keys(self._file))
                self._failure = None
            except (OSError, StartupError) as error:
                if self._failure is None:
                    logger.error(  # noqa: TRY400 - the message says all
                        "event=secrets_keys_unreadable path=%s error=%r what=%s",
                        self._file,
                        str(error),
                        "graphs with secrets are refused: make the file readable for this server, or restore it",
                    )
                self._failure = error


def keys_of(sealed: Mapping[str, str]) -> str | None:
    """Return the ids of the keys that sealed a map's values: sorted, separated by commas; None without values.

    A value that was sealed before keys had ids has the empty id.
    """
    if not sealed:
        return None
    return _BETWEEN_IDS.join(sorted({value.rpartition(_BEHIND_ID)[0] for value in sealed.values()}))


def parse_keys(text: str, source: str) -> tuple[bytes, ...]:
    """Return the keys in ``text``, separated by commas or lines: the first seals, all open.

    Args:
        text: The keys' text; no error quotes it.
        source: The origin of the text, for errors.

    Raises:
        StartupError: A key is not base64 or not of 32 bytes, or there is none.
    """
    return tuple(parse_key(part, source) for part in text.strip().replace("\n", ",").split(","))


def parse_key(text: str, source: str) -> bytes:
    """Return the key in ``text``: 32 bytes in URL-safe base64.

    Args:
        text: The key's text; no error quotes it.
        source: The origin of the text, for errors.

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
    """Return the keys in a file; create a missing file with one new key.

    Raises:
        StartupError: The file cannot be read or created, or does not hold keys.
    """
    return parse_keys(read_or_create(path, lambda: _spelled(make_key())), _named(path))


def read_keys(path: Path) -> tuple[bytes, ...]:
    """Return the keys in an existing file.

    Raises:
        StartupError: The file does not hold keys.
        OSError: The file cannot be read.
    """
    return parse_keys(path.read_text(encoding="utf-8"), _named(path))


def write_keys(path: Path, keys: Sequence[bytes]) -> None:
    """Replace the keys in a file, in one step.

    Raises:
        StartupError: The file cannot be written, or does not hold these keys when it is read again.
    """
    replace(path, "\n".join(map(_spelled, keys)))
    # Nothing may be sealed with a key that is on no disk.
    try:
        found = read_keys(path)
    except OSError as error:
        raise StartupError(f"cannot read the file {path}: {error.strerror}") from error
    if found != tuple(keys):
        raise StartupError(f"the file {path} was changed by somebody else: run this again")


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
