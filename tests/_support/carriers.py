"""The carriers side by side, for tests that hold for each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from exospherehost._config import resolve_connection
from exospherehost._transport import httpx_carrier, pyreqwest_carrier
from exospherehost._transport.carrier import Carrier, CarrierFactory

KEY = "test-api-key-0123456789"


@dataclass(frozen=True)
class MakeCarrier:
    """Makes one kind of carrier.

    Attributes:
        most_connections: how many it opens to a service.
        notices_at_once: whether it sees without a request that the service has closed a connection.
    """

    factory: CarrierFactory
    most_connections: int
    notices_at_once: bool

    def __repr__(self) -> str:
        return getattr(self.factory, "__name__", "carrier")

    def __call__(self, uri: str, **options: Any) -> Carrier:
        settings = resolve_connection(
            namespace="ns", state_manager_uri=uri, key=KEY, api_version="v0", **{"timeouts": 20.0, **options}
        )
        return self.factory(settings, settings.uris[0], "the-sdk/1.0")


HTTPX = MakeCarrier(httpx_carrier.HttpxCarrier, httpx_carrier.MAX_CONNECTIONS, notices_at_once=False)
PYREQWEST = MakeCarrier(pyreqwest_carrier.PyreqwestCarrier, pyreqwest_carrier.MAX_CONNECTIONS, notices_at_once=True)
CARRIERS = [HTTPX, PYREQWEST]


@asynccontextmanager
async def opened(make: MakeCarrier, uri: str, **options: Any) -> AsyncIterator[Carrier]:
    """Make a carrier for the block, and close it at its end."""
    carrier = make(uri, **options)
    try:
        yield carrier
    finally:
        await carrier.aclose()
