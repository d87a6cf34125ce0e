"""What the service raises deliberately, and what each becomes on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Issue = Mapping[str, Any]
"""One violation: ``type``, ``loc``, ``msg`` and, where harmless, ``input`` and ``ctx``."""


class ServiceError(Exception):
    """A deliberate refusal, answered as ``{"detail": text}``.

    Args:
        status_code: The HTTP status.
        detail: Why, for a person.
    """

    def __init__(self, status_code: int, detail: str) -> None:
        super().__init__(status_code, detail)
        self.status_code = status_code
        self.detail = detail


class InvalidRequest(Exception):
    """A request that breaks the schema: answered with 422 and all its violations."""

    def __init__(self, issues: Sequence[Issue]) -> None:
        super().__init__(f"{len(issues)} violations")
        self.issues = list(issues)


class StartupError(Exception):
    """The server cannot start as it is configured; the message says what to do."""
