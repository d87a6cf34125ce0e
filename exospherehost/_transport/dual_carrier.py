"""Carries requests as a runtime does, and over httpx what nothing else can: streams, and what the raw client sends."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from exospherehost._config import ConnectionSettings
from exospherehost._errors import APIConnectionError
from exospherehost._transport.carrier import EventStream
from exospherehost._transport.carrier_choice import fastest_carrier
from exospherehost_client.types import RawResponse, Request

if TYPE_CHECKING:
    from exospherehost._transport.httpx_carrier import HttpxCarrier
    from exospherehost_client import AuthenticatedClient


class DualCarrier:
    """Carries requests with the fastest carrier; httpx is loaded by the first stream or use of the raw client."""

    def __init__(self, settings: ConnectionSettings, uri: str, user_agent: str) -> None:
        self._arguments = settings, uri, user_agent
        self._fastest = fastest_carrier(settings, uri, user_agent)
        self._httpx: HttpxCarrier | None = None
        self._closed = False

    @property
    def most_requests(self) -> int:
        """How many requests are under way at once, besides streams and the raw client's."""
        return self._fastest.most_requests

    @property
    def client(self) -> AuthenticatedClient:
        """The generated client, authenticated; what users get as the raw client."""
        return self._on_httpx().client

    async def send(self, request: Request) -> RawResponse:
        """Send one request; see :class:`Carrier`."""
        return await self._fastest.send(request)

    def stream(self, request: Request) -> AbstractAsyncContextManager[EventStream]:
        """Send one request whose answer is a stream of events; see :class:`StreamingCarrier`."""
        return self._on_httpx().stream(request)

    async def aclose(self) -> None:
        """Close every connection; what is sent afterwards fails."""
        self._closed = True
        try:
            await self._fastest.aclose()
        finally:
            if self._httpx is not None:
                await self._httpx.aclose()

    def _on_httpx(self) -> HttpxCarrier:
        if self._httpx is None:
            if self._closed:
                # Its pools would be closed by nobody.
                raise APIConnectionError("the pool of connections is closed", sent=False)
            from exospherehost._transport.httpx_carrier import HttpxCarrier  # noqa: PLC0415 - httpx is loaded when it is needed

            own = self._fastest
            self._httpx = own if isinstance(own, HttpxCarrier) else HttpxCarrier(*self._arguments)
        return self._httpx
