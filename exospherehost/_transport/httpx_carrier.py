"""Carries requests on the generated client's own httpx pool, which the raw client shares."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

import httpx

from exospherehost._config import IDLE_SECONDS, LONGEST_TIMEOUT, ClientCertificate, ConnectionSettings
from exospherehost._errors import APIConnectionError, APITimeoutError, ConfigurationError
from exospherehost_client import AuthenticatedClient
from exospherehost_client.types import Headers, RawResponse, Request

MAX_CONNECTIONS = 8
"""httpx looks through all its connections at each request, so few busy ones carry more than many."""

QUIET_SECONDS = 60.0
"""How long a stream of events may say nothing: four of the comments by which the service keeps it alive."""

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


class HttpxCarrier:
    """Carries requests with httpx.

    Attributes:
        client: the generated client, authenticated; what users get as the raw client.
        most_requests: how many are under way at once, besides streams.
    """

    most_requests = MAX_CONNECTIONS

    def __init__(self, settings: ConnectionSettings, uri: str, user_agent: str) -> None:
        timeouts = settings.timeouts

        def made(read: float, max_connections: int | None) -> AuthenticatedClient:
            return AuthenticatedClient(
                uri,
                settings.key,
                # In lower case, as the generated client's own: httpx would send a name twice that is written in two
                # ways.
                headers={"user-agent": user_agent, **Headers(settings.headers)},
                timeout=httpx.Timeout(
                    connect=_bounded(timeouts.connect),
                    read=_bounded(read),
                    write=_bounded(timeouts.write),
                    pool=_bounded(timeouts.pool),
                ),
                verify=settings.verify,
                cert=settings.cert,
                proxy=settings.proxy,
                limits=httpx.Limits(
                    max_connections=max_connections,
                    max_keepalive_connections=MAX_CONNECTIONS,
                    keepalive_expiry=IDLE_SECONDS,
                ),
            )

        self.client = made(timeouts.read, MAX_CONNECTIONS)
        # A stream keeps its connection for as long as a run takes: in the pool, a few would leave none for the rest.
        self._streams = made(max(timeouts.read, QUIET_SECONDS), None)
        # Waiting here and not inside httpx keeps its pool's own queue, which it scans, empty.
        self._places = asyncio.Semaphore(MAX_CONNECTIONS)
        self._pool_timeout = timeouts.pool
        self._closed = False
        self._files = f"verify={settings.verify!r}" + (
            "" if settings.cert is None else f" or cert={_file(settings.cert)!r}"
        )

    async def send(self, request: Request) -> RawResponse:
        """Send one request; see :class:`Carrier`."""
        if self._closed:
            # httpx would open another pool, which nobody closes.
            raise APIConnectionError("the pool of connections is closed", sent=False)
        self._open(self.client)
        try:
            async with asyncio.timeout(self._pool_timeout):
                await self._places.acquire()
        except TimeoutError:
            raise APITimeoutError("no connection of the pool became free in time", sent=False) from None
        task = asyncio.current_task()
        cancellations = task.cancelling() if task is not None else 0
        try:
            response = await self.client.send_async(request)
        # What TLS says after the handshake, httpx lets through as it is: an OSError.
        except (httpx.RequestError, OSError) as error:
            raise _as_ours(error) from None
        finally:
            self._places.release()
        if task is not None and task.cancelling() > cancellations:
            # httpx's scopes may drop a cancellation that comes with the response, and a task would go on for ever.
            raise asyncio.CancelledError
        return response

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncGenerator[HttpxEventStream, None]:
        """Send one request whose answer is a stream of events, over a connection that nothing else uses meanwhile.

        Raises:
            APIConnectionError: there was no response, or it broke off while the block read from it.
            ConfigurationError: a certificate file cannot be used.
        """
        if self._closed:
            raise APIConnectionError("the pool of connections is closed", sent=False)
        self._open(self._streams)
        headers = {**request.headers, "accept": "text/event-stream", "cache-control": "no-store"}
        try:
            async with self._streams.stream_async(dataclasses.replace(request, headers=headers)) as response:
                is_open = response.status_code == 200 and _is_event_stream(response)
                if not is_open:
                    await response.aread()
                yield HttpxEventStream(response, is_open=is_open)
        except (httpx.RequestError, httpx.StreamError, OSError) as error:
            raise _as_ours(error) from None

    async def aclose(self) -> None:
        """Close every connection; what is sent afterwards fails."""
        self._closed = True
        await self.client.aclose()
        await self._streams.aclose()

    def _open(self, client: AuthenticatedClient) -> None:
        try:
            client.get_async_httpx_client()
        except OSError as error:
            raise ConfigurationError(f"{self._files} names a file that cannot be used: {_text(error)}") from None
        except ImportError as error:
            raise ConfigurationError(f"proxy= needs another package: {error}") from None


class HttpxEventStream:
    """Events that are still to come; see :class:`EventStream`."""

    def __init__(self, response: httpx.Response, *, is_open: bool) -> None:
        self.is_open = is_open
        self.head = RawResponse(response.status_code, response.headers, b"" if is_open else response.content)
        self._response = response

    async def data(self) -> AsyncGenerator[str, None]:
        """Yield the data of each event as it comes, until the service ends the stream."""
        from httpx_sse import EventSource  # noqa: PLC0415 - only who follows a run needs it

        async with aclosing(EventSource(self._response).aiter_sse()) as events:
            async for event in events:
                # A comment that keeps the stream alive is none, but its blank line ends one.
                if event.data:
                    yield event.data


def _is_event_stream(response: httpx.Response) -> bool:
    media_type: str = response.headers.get("content-type", "")
    return media_type.partition(";")[0].strip().lower() == "text/event-stream"


def _as_ours(error: Exception) -> APIConnectionError:
    cls = APITimeoutError if isinstance(error, httpx.TimeoutException) else APIConnectionError
    return cls(_text(error), sent=not isinstance(error, _NEVER_SENT))


def _bounded(seconds: float) -> float | None:
    # A socket takes no infinite time-out.
    return None if seconds > LONGEST_TIMEOUT else seconds


def _file(cert: ClientCertificate) -> str:
    # The third of three is a password.
    return cert if isinstance(cert, str) else cert[0]


def _text(error: Exception) -> str:
    name = type(error).__name__
    return f"{name}: {error}" if str(error) else name
