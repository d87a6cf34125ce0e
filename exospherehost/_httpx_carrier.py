"""Carries requests on the generated client's own httpx pool, which the raw client shares."""

from __future__ import annotations

import asyncio

import httpx

from exospherehost._config import IDLE_SECONDS, ClientCertificate, ConnectionSettings
from exospherehost._errors import APIConnectionError, APITimeoutError, ConfigurationError
from exospherehost_client import AuthenticatedClient
from exospherehost_client.types import Headers, RawResponse, Request

MAX_CONNECTIONS = 8
"""httpx looks through all its connections at each request, so few busy ones carry more than many."""


_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


class HttpxCarrier:
    """Carries requests with httpx.

    Attributes:
        client: the generated client, authenticated; what users get as the raw client.
    """

    def __init__(self, settings: ConnectionSettings, uri: str, user_agent: str) -> None:
        timeouts = settings.timeouts
        self.client = AuthenticatedClient(
            uri,
            settings.key,
            # In lower case, as the generated client's own: httpx would send a name twice that is written in two ways.
            headers={"user-agent": user_agent, **Headers(settings.headers)},
            timeout=httpx.Timeout(
                connect=timeouts.connect, read=timeouts.read, write=timeouts.write, pool=timeouts.pool
            ),
            verify=settings.verify,
            cert=settings.cert,
            proxy=settings.proxy,
            limits=httpx.Limits(
                max_connections=MAX_CONNECTIONS,
                max_keepalive_connections=MAX_CONNECTIONS,
                keepalive_expiry=IDLE_SECONDS,
            ),
        )
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
        self._open()
        try:
            async with asyncio.timeout(self._pool_timeout):
                await self._places.acquire()
        except TimeoutError:
            raise APITimeoutError("no connection of the pool became free in time", sent=False) from None
        try:
            return await self.client.send_async(request)
        except httpx.TimeoutException as error:
            raise APITimeoutError(_text(error), sent=not isinstance(error, _NEVER_SENT)) from None
        # What TLS says after the handshake, httpx lets through as it is: an OSError.
        except (httpx.RequestError, OSError) as error:
            raise APIConnectionError(_text(error), sent=not isinstance(error, _NEVER_SENT)) from None
        finally:
            self._places.release()

    async def aclose(self) -> None:
        """Close every connection; what is sent afterwards fails."""
        self._closed = True
        await self.client.aclose()

    def _open(self) -> None:
        try:
            self.client.get_async_httpx_client()
        except OSError as error:
            raise ConfigurationError(f"{self._files} names a file that cannot be used: {_text(error)}") from None
        except ImportError as error:
            raise ConfigurationError(f"proxy= needs another package: {error}") from None


def _file(cert: ClientCertificate) -> str:
    # The third of three is a password.
    return cert if isinstance(cert, str) else cert[0]


def _text(error: Exception) -> str:
    name = type(error).__name__
    return f"{name}: {error}" if str(error) else name
