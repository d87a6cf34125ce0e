# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""Typed client of the ExosphereHost state manager.

`exospherehost_client.api` has one module for each operation, `exospherehost_client.models` the data that
they take and return, `exospherehost_client.errors` what they raise.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import AuthenticatedClient, Client

__all__ = ["AuthenticatedClient", "Client"]


def __getattr__(name: str) -> Any:
    # httpx is loaded with the clients only: a program that carries requests by other means, or needs
    # no more than the models, does without.
    if name in __all__:
        from . import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
