"""Access: what an admitted request may do."""

from __future__ import annotations

from dataclasses import dataclass

from exospherehost.server.domain.errors import ServiceError

API_KEY_HEADER = b"x-api-key"


SCOPE_KEY = "exosphere.access"


@dataclass(frozen=True, slots=True)
class Access:
    """What a request may do.

    Attributes:
        key_id: The public id of the stored key that it came with; empty for the server's own key.
        namespaces: Those that it may act in; None for all.
    """

    key_id: str = ""
    namespaces: frozenset[str] | None = None

    def allows(self, namespace: str) -> bool:
        """Tell whether it may act in a namespace."""
        return self.namespaces is None or namespace in self.namespaces


FULL = Access()


def forbidden(namespace: str) -> ServiceError:
    """Return the refusal of a key in a namespace that it is not for.

    Not 404: to a runtime that would say that its states, or an extension, were gone.
    """
    return ServiceError(403, f"This API key is not for the namespace {namespace!r}")
