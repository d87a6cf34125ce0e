"""Carries requests with pyreqwest, the leanest client measured that has time-outs, TLS and a pool."""

from __future__ import annotations

import asyncio
import atexit
import weakref
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from pyreqwest.client import Client, ClientBuilder, SyncClientBuilder
from pyreqwest.exceptions import BuilderError, PoolTimeoutError, PyreqwestError, RequestError, RequestTimeoutError
from pyreqwest.http import HeaderMap

from exospherehost._config import IDLE_SECONDS, ConnectionSettings
from exospherehost._errors import APIConnectionError, APITimeoutError
from exospherehost_client.types import Headers, RawResponse, Request

MAX_CONNECTIONS = 72
"""How many requests are under way at once: more than reports are, which must keep back neither claims nor renewals."""

_LONGEST = timedelta(days=365)
# The only text that stands for a request of which nothing went out. The class says less: ConnectError is also
# a connection lost after sending, ConnectTimeoutError also a response that did not come.
_NOT_CONNECTED = "client error (Connect)"
_SAYS_NOTHING = ("error sending request", "client error (", "error decoding response", "request or response body")

_open: weakref.WeakSet[PyreqwestCarrier] = weakref.WeakSet()


class PyreqwestCarrier:
    """Carries requests with pyreqwest.

    It takes no client certificate, no authorities in place of the system's, no proxy, and no path with a
    segment of dots. The read time-out also bounds connecting and writing. A request that is cancelled is not
    awaited any more, but goes on: its connection is busy until the answer has come or the read time-out is over.

    Nothing is sent twice: pyreqwest repeats a request by itself only when the pool's connection turned out to
    be closed before the first byte was written, as tests/unit/transport/test_carriers_faults.py shows.

    Raises:
        RuntimeError: pyreqwest does not work in this process.
    """

    most_requests = MAX_CONNECTIONS

    def __init__(self, settings: ConnectionSettings, uri: str, user_agent: str) -> None:
        self._uri = uri
        self._client: Client | None = _build(settings, uri, user_agent)
        self._under_way: set[Coroutine[Any, Any, Any]] = set()
        _open.add(self)

    async def send(self, request: Request) -> RawResponse:
        """Send one request; see `Carrier`."""
        if self._client is None:
            raise APIConnectionError("the pool of connections is closed", sent=False)
        builder = self._client.request(request.method, self._uri + request.target)
        if request.headers:
            builder = builder.headers(request.headers)
        if request.content is not None:
            builder = builder.body_bytes(request.content)
        sending = builder.build().send()
        task = asyncio.current_task()
        cancellations = task.cancelling() if task is not None else 0
        self._under_way.add(sending)
        answer: RawResponse | APIConnectionError
        try:
            response = await sending
            content = await response.bytes()
            answer = RawResponse(response.status, _ResponseHeaders(response.headers), content.to_bytes())
        except RequestError as error:
            answer = _failure(error)
        except RuntimeError:
            # `abandon` has closed what a thread was sending that goes on while the program ends.
            if self in _open:
                raise
            answer = APIConnectionError("the program is ending")
        finally:
            self._under_way.discard(sending)
        if task is not None and task.cancelling() > cancellations:
            # pyreqwest drops a cancellation that comes with the response, and a task would go on for ever.
            raise asyncio.CancelledError
        if isinstance(answer, APIConnectionError):
            raise answer
        return answer

    async def aclose(self) -> None:
        """Close every connection; what is under way fails."""
        _open.discard(self)
        # The last reference, so that idle connections end now and not when they have been idle long enough.
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def abandon(self) -> None:
        """Do what `aclose` does, without an event loop, and let go of what is under way."""
        closing = self.aclose()
        with suppress(StopIteration):
            closing.send(None)
        closing.close()
        while self._under_way:
            # From here on pyreqwest's thread has nobody to wake. What another thread runs in this moment cannot
            # be closed, and need not: its loop hears of the end.
            with suppress(RuntimeError):
                self._under_way.pop().close()


class _ResponseHeaders(Mapping[str, str]):
    """The response's headers, read where they are asked for; one that is not ASCII counts as missing."""

    __slots__ = ("_map",)

    def __init__(self, headers: HeaderMap) -> None:
        self._map = headers

    def __getitem__(self, name: str) -> str:
        try:
            values = self._map.getall(name)
        except ValueError:
            values = []
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __iter__(self) -> Iterator[str]:
        return iter([name for name in dict.fromkeys(self._map.keys()) if name in self])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        # Names only: a value may be a key.
        return f"Headers({sorted(self)})"


def _build(settings: ConnectionSettings, uri: str, user_agent: str) -> Client:
    timeouts = settings.timeouts
    # `Headers` has each name once, in whatever case it was given.
    headers = Headers([("user-agent", user_agent), *Headers(settings.headers).items(), ("x-api-key", settings.key)])
    builder = (
        ClientBuilder()
        .runtime_multithreaded(enable=False)
        .http1_only()
        .follow_redirects(enable=False)
        .no_proxy()
        .default_headers(headers)
        .connect_timeout(_duration(timeouts.connect))
        .read_timeout(_duration(timeouts.read))
        .max_connections(MAX_CONNECTIONS)
        .pool_timeout(_duration(timeouts.pool))
        .pool_max_idle_per_host(MAX_CONNECTIONS)
        .pool_idle_timeout(timedelta(seconds=IDLE_SECONDS))
    )
    if settings.verify and uri.startswith("https:"):
        # httpx trusts these, and a container may have no others.
        import certifi  # noqa: PLC0415 - not needed without TLS

        builder = builder.add_root_certificate_pem(certifi.contents().encode())
    else:
        # Without TLS there is nothing to verify, and this keeps the system's authorities from being loaded:
        # that takes longer than all else here, and fails where there are none.
        builder = builder.danger_accept_invalid_certs(enable=True)
    try:
        return builder.build()
    except (BuilderError, RuntimeError) as error:
        # For instance in a process that was forked after pyreqwest had been used.
        raise RuntimeError(str(error)) from None


def _duration(seconds: float) -> timedelta:
    return timedelta(seconds=seconds) if seconds < _LONGEST.total_seconds() else _LONGEST


def _causes(error: RequestError) -> list[str]:
    return [cause["message"] for cause in error.details["causes"] or []]


def _failure(error: RequestError) -> APIConnectionError:
    if isinstance(error, PoolTimeoutError):
        return APITimeoutError("no connection of the pool became free in time", sent=False)
    sent = _NOT_CONNECTED not in _causes(error)
    if isinstance(error, RequestTimeoutError):
        return APITimeoutError(_text(error), sent=sent)
    return APIConnectionError(_text(error), sent=sent)


def _text(error: RequestError) -> str:
    causes = [cause for cause in _causes(error) if not cause.startswith(_SAYS_NOTHING)]
    return ": ".join(causes) or error.message


def _end() -> None:
    """Bring pyreqwest's thread to rest before the interpreter ends.

    Otherwise that thread may be found inside of Python, waking an event loop, and the process aborts with
    "PyGILState_Release: thread state must be current when releasing"; also when every client was closed an
    instant before.
    """
    builder = SyncClientBuilder().runtime_multithreaded(enable=False).https_only(enable=True).no_proxy()
    try:
        last = builder.danger_accept_invalid_certs(enable=True).build()
    except (BuilderError, RuntimeError):
        # A forked child has this function, but not the thread.
        return
    for carrier in list(_open):
        carrier.abandon()
    with suppress(PyreqwestError), last:
        # Refused by that thread without any I/O. It does one thing after the other, so what was before is done.
        last.get("http://localhost/").build().send()


atexit.register(_end)
