"""What carries a request: one interface, so that the hot path can have a leaner one than the raw client."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from exospherehost._config import ConnectionSettings
from exospherehost_client.types import RawResponse, Request


class Carrier(Protocol):
    """Takes requests to one service and brings back what it answered, whatever the status.

    Attributes:
        most_requests: how many it has under way at once; further ones wait.
    """

    @property
    def most_requests(self) -> int: ...

    async def send(self, request: Request) -> RawResponse:
        """Send one request, and at most once.

        Raises:
            APIConnectionError: there was no response; its `sent` tells whether the service may have
                seen the request.
            ConfigurationError: a certificate file cannot be used.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection; what is sent afterwards fails."""
        ...


class EventStream(Protocol):
    """A response whose events are still to come.

    Attributes:
        is_open: whether it is a stream of events.
        head: status and headers; with the whole body where it is none.
    """

    is_open: bool
    head: RawResponse

    def data(self) -> AsyncGenerator[str, None]:
        """Yield the data of each event as it comes, until the service ends the stream."""
        ...


@runtime_checkable
class StreamingCarrier(Carrier, Protocol):
    """A carrier that can also read a response while it comes."""

    def stream(self, request: Request) -> AbstractAsyncContextManager[EventStream]:
        """Send one request whose answer is a stream of events, over a connection that nothing else uses meanwhile.

        Raises:
            APIConnectionError: there was no response, or it broke off while the block read from it.
            ConfigurationError: a certificate file cannot be used.
        """
        ...


class CarrierFactory(Protocol):
    """Makes the carrier to one service, without opening a connection yet."""

    def __call__(self, settings: ConnectionSettings, uri: str, user_agent: str) -> Carrier: ...
