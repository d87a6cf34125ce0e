# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""What sends the operations' requests: httpx, with the service's address and key."""

import ssl
import threading
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import Any, NoReturn, Self, TypedDict, Unpack

import httpx
from pydantic import SecretStr

from .types import RawResponse, Request

CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 30.0
WRITE_TIMEOUT_SECONDS = 30.0
POOL_TIMEOUT_SECONDS = 10.0
LONGEST_TIMEOUT_SECONDS = 31_536_000
DEFAULT_TIMEOUT = httpx.Timeout(
    connect=CONNECT_TIMEOUT_SECONDS, read=READ_TIMEOUT_SECONDS, write=WRITE_TIMEOUT_SECONDS, pool=POOL_TIMEOUT_SECONDS
)


class ClientOptions(TypedDict, total=False):
    """The keyword arguments of `Client`, for its subclasses."""

    headers: Mapping[str, str] | None
    timeout: httpx.Timeout | float | None
    verify: bool | str | ssl.SSLContext
    cert: str | tuple[str, str] | tuple[str, str, str] | None
    proxy: str | None
    trust_env: bool
    limits: httpx.Limits | None
    transport: httpx.BaseTransport | None
    async_transport: httpx.AsyncBaseTransport | None


class Client:
    """Sends requests that need no key.

    Usable as a context manager, plain or async, which closes what it opened at the end. Connections are
    opened by the first request. The async side belongs to the event loop that used it first.

    Args:
        base_url: Where the service is, such as `https://host:8000`; a path is kept, a trailing slash ignored.
        headers: Sent with every request.
        timeout: Seconds, or httpx's own type; `httpx.Timeout(None)` for none. Left out, `DEFAULT_TIMEOUT`
            holds, or what a client handed in has.
        verify: Whether to verify the server's certificate; the path of a file of certificate authorities, or of a
            folder of them as `openssl rehash` prepares it, or a context of your own.
        cert: A client certificate: a file with certificate and key, or (certificate, key) or
            (certificate, key, password).
        proxy: The proxy's URL.
        trust_env: Whether proxy settings are taken from the environment.
        limits: The size of the connection pool.
        transport: Carries the requests of the plain side in place of a pool of its own.
        async_transport: The same for the async side.

    Raises:
        ValueError: The base URL is not an absolute HTTP one, or the time-out is not a finite number above zero.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: httpx.Timeout | float | None = None,
        verify: bool | str | ssl.SSLContext = True,
        cert: str | tuple[str, str] | tuple[str, str, str] | None = None,
        proxy: str | None = None,
        trust_env: bool = True,
        limits: httpx.Limits | None = None,
        transport: httpx.BaseTransport | None = None,
        async_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._base_url = _checked_url(base_url)
        self._headers = _in_lower_case(headers or {})
        self._timeout = None if timeout is None else _checked_timeout(timeout)
        self._verify = verify
        self._cert = cert
        self._proxy = proxy
        self._trust_env = trust_env
        self._limits = limits
        self._transport = transport
        self._async_transport = async_transport
        self._lock = threading.Lock()
        self._own: httpx.Client | None = None
        self._own_async: httpx.AsyncClient | None = None
        self._lent: httpx.Client | None = None
        self._lent_async: httpx.AsyncClient | None = None

    @property
    def base_url(self) -> str:
        """Where the service is, without a trailing slash."""
        return self._base_url

    def __repr__(self) -> str:
        url = httpx.URL(self._base_url).copy_with(username=None, password=None)
        return f"{type(self).__name__}({str(url)!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} has connections and perhaps a key; it is not pickled")

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """Return a client with more headers; this one stays as it is.

        A name replaces itself in any case. The key is always the client's own.
        """
        other = self._copy()
        other._headers = {**self._headers, **_in_lower_case(headers)}
        return other

    def with_timeout(self, timeout: httpx.Timeout | float) -> Self:
        """Return a client with another time-out; this one stays as it is."""
        other = self._copy()
        other._timeout = _checked_timeout(timeout)
        return other

    def set_httpx_client(self, client: httpx.Client) -> Self:
        """Send through a client of yours, which stays yours to close. Headers and key are still sent."""
        self._lent = client
        return self

    def set_async_httpx_client(self, client: httpx.AsyncClient) -> Self:
        """Send through an async client of yours, which stays yours to close. Headers and key are still sent."""
        self._lent_async = client
        return self

    def get_httpx_client(self) -> httpx.Client:
        """Return the client in use; one of its own is opened when there is none, with headers and key set."""
        with self._lock:
            if self._lent is not None:
                return self._lent
            if self._own is None:
                self._own = httpx.Client(**self._options(), transport=self._transport)
            return self._own

    def get_async_httpx_client(self) -> httpx.AsyncClient:
        """Return the async client in use; one of its own is opened when there is none."""
        with self._lock:
            if self._lent_async is not None:
                return self._lent_async
            if self._own_async is None:
                self._own_async = httpx.AsyncClient(**self._options(), transport=self._async_transport)
            return self._own_async

    def send(self, request: Request) -> RawResponse:
        """Send a request that an operation built; redirects are not followed.

        Raises:
            httpx.TransportError: There was no response, or none that can be decompressed.
        """
        try:
            response = self.get_httpx_client().request(**self._arguments(request), follow_redirects=False)
        except httpx.DecodingError as error:
            raise _undecodable(error) from None
        return RawResponse(response.status_code, response.headers, response.content)

    async def send_async(self, request: Request) -> RawResponse:
        """Send a request that an operation built; redirects are not followed.

        Raises:
            httpx.TransportError: There was no response, or none that can be decompressed.
        """
        client = self.get_async_httpx_client()
        try:
            response = await client.request(**self._arguments(request), follow_redirects=False)
        except httpx.DecodingError as error:
            raise _undecodable(error) from None
        return RawResponse(response.status_code, response.headers, response.content)

    def stream(self, request: Request) -> AbstractContextManager[httpx.Response]:
        """Send a request and give its response before the body has come."""
        return self.get_httpx_client().stream(**self._arguments(request), follow_redirects=False)

    def stream_async(self, request: Request) -> AbstractAsyncContextManager[httpx.Response]:
        """Send a request and give its response before the body has come."""
        client = self.get_async_httpx_client()
        return client.stream(**self._arguments(request), follow_redirects=False)

    def close(self) -> None:
        """Close the plain side's connections, if this client opened them. A later request opens new ones."""
        with self._lock:
            own, self._own = self._own, None
        if own is not None:
            own.close()

    async def aclose(self) -> None:
        """Close all connections that this client opened. A later request opens new ones."""
        self.close()
        with self._lock:
            own, self._own_async = self._own_async, None
        if own is not None:
            await own.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _authentication(self) -> dict[str, str]:
        return {}

    def _arguments(self, request: Request) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "method": request.method,
            "url": self._base_url + request.target,
            "headers": {**self._headers, **_in_lower_case(request.headers), **self._authentication()},
            "content": request.content,
        }
        if self._timeout is not None:
            arguments["timeout"] = self._timeout
        return arguments

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "headers": {**self._headers, **self._authentication()},
            "timeout": self._timeout or DEFAULT_TIMEOUT,
            "verify": self._tls(),
            "proxy": self._proxy,
            "trust_env": self._trust_env,
        }
        if self._limits is not None:
            options["limits"] = self._limits
        return options

    def _tls(self) -> bool | ssl.SSLContext:
        if isinstance(self._verify, ssl.SSLContext) or (self._cert is None and isinstance(self._verify, bool)):
            return self._verify
        # httpx deprecates paths here, so the context is made as it would make it.
        authorities = self._verify if isinstance(self._verify, str) else None
        if authorities is not None and Path(authorities).is_dir():
            context = ssl.create_default_context(capath=authorities)
        else:
            context = ssl.create_default_context(cafile=authorities)
        if self._verify is False:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self._cert is not None:
            context.load_cert_chain(*((self._cert,) if isinstance(self._cert, str) else self._cert))
        return context

    def _copy(self) -> Self:
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._headers = dict(self._headers)
        other._lock = threading.Lock()
        # Each closes what it opened: a copy opens its own.
        other._own = None
        other._own_async = None
        return other


class AuthenticatedClient(Client):
    """Sends requests with the service's key, in `x-api-key`.

    Args:
        base_url: Where the service is, such as `https://host:8000`; a path is kept, a trailing slash ignored.
        api_key: The key.
        options: As `Client` takes them.

    Raises:
        ValueError: The base URL is not an absolute HTTP one, or the key is empty or cannot stand in a header.
    """

    def __init__(self, base_url: str, api_key: str, **options: Unpack[ClientOptions]) -> None:
        if not api_key or any(not "!" <= character <= "~" for character in api_key):
            raise ValueError("api_key must be visible ASCII characters, without blanks")
        self._api_key = SecretStr(api_key)
        super().__init__(base_url, **options)

    def _authentication(self) -> dict[str, str]:
        return {"x-api-key": self._api_key.get_secret_value()}


def _checked_url(base_url: str) -> str:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        # httpx quotes a part of it, which may be a key in the wrong place.
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        raise ValueError("base_url must begin with http:// or https:// and a host, and end before any query")
    return base_url.rstrip("/")


def _checked_timeout(timeout: httpx.Timeout | float) -> httpx.Timeout:
    if not isinstance(timeout, httpx.Timeout) and not 0 < timeout < LONGEST_TIMEOUT_SECONDS:
        raise ValueError(
            f"timeout={timeout!r} is not a number of seconds above zero and below {LONGEST_TIMEOUT_SECONDS:,}; pass "
            "httpx.Timeout(None) for none"
        )
    return httpx.Timeout(timeout)


def _in_lower_case(headers: Mapping[str, str]) -> dict[str, str]:
    # httpx would send a name twice that is written in two ways.
    return {name.lower(): value for name, value in headers.items()}


def _undecodable(error: httpx.DecodingError) -> httpx.RemoteProtocolError:
    # httpx's own error is no TransportError, although there is no response that anybody could read.
    failure = httpx.RemoteProtocolError(f"the response cannot be decompressed: {error}")
    failure.request = error.request
    return failure
