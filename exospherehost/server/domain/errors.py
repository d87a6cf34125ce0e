"""The server's errors, in one tree.

.. code-block:: text

    ServerError
    ├── ServiceError      a deliberate refusal: answered with its status and text
    ├── InvalidRequest    a request that breaks the schema: answered with 422 and every violation
    ├── StartupError      the server cannot start as it is configured
    ├── StoreError        the database cannot do what it was asked
    │   └── StoreUnavailable   not now: answered with 503 and its text
    ├── Contention        another process was faster: the unit of work runs again
    ├── KeysUnreadable    the file with the secrets keys cannot be read
    └── Undecryptable     no key of this server opens a stored secret
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Issue = Mapping[str, Any]
"""One violation: ``type``, ``loc``, ``msg`` and, where harmless, ``input`` and ``ctx``."""


class ServerError(Exception):
    """The root of all errors that the server raises on purpose."""


class ServiceError(ServerError):
    """A deliberate refusal, answered as ``{"detail": text}``.

    Args:
        status_code: The HTTP status.
        detail: The reason, for a person.
    """

    def __init__(self, status_code: int, detail: str) -> None:
        super().__init__(status_code, detail)
        self.status_code = status_code
        self.detail = detail


class InvalidRequest(ServerError):
    """A request that breaks the schema, answered with 422 and all its violations.

    Args:
        issues: The violations.
    """

    def __init__(self, issues: Sequence[Issue]) -> None:
        super().__init__(f"{len(issues)} violations")
        self.issues = list(issues)


class StartupError(ServerError):
    """The server cannot start as it is configured; the message names the remedy."""


class StoreError(ServerError):
    """The database cannot do what it was asked: an unreadable file, an unknown URL, a newer schema."""


class StoreUnavailable(StoreError):
    """The database can do nothing now and may later, such as on a full disk; callers are told the text with a 503."""


class Contention(ServerError):
    """Another process changed what this unit of work has read: :meth:`Store.write` runs the unit again."""


class KeysUnreadable(ServerError):
    """The file with the secrets keys cannot be read: nothing is sealed with a key that may be on no disk."""


class Undecryptable(ServerError):
    """No key of this server opens a stored secret."""
