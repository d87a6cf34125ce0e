"""What operators and orchestrators ask of the process itself: whether it is ready, and its metrics.

These paths are no part of the contract, so the OpenAPI document does not hold them, and no extension switches them off.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from starlette.types import ASGIApp, Receive, Scope, Send

from exospherehost.server.domain.clock import Clock
from exospherehost.server.domain.errors import StoreUnavailable
from exospherehost.server.domain.records import Backlog
from exospherehost.server.domain.store import Reader, Store, UnitOfWork
from exospherehost.server.http import responses
from exospherehost.server.observability.metrics import Metrics
from exospherehost.server.security.access import API_KEY_HEADER

logger = logging.getLogger(__name__)
T = TypeVar("T")

READY_PATH = "/ready"
METRICS_PATH = "/metrics"
OPEN = "exosphere_open"
"""Set in the scope of a request that came to the port for metrics, which asks for no key."""

_READ_SECONDS = 2.0
# Longer, for a large report may be before it.
_WRITE_SECONDS = 5.0
_WRITE_REST_SECONDS = 1.0
_BACKLOG_SECONDS = 5.0
# A backlog is looked at for at most a twentieth of the time, however large it is.
_LEAST_REST = 20
_LAG_PERIOD = 1.0
_BEARER = b"bearer "

_READY: ASGIApp = responses.JsonResponse(200, b'{"status":"ready"}')
_ONLY_GET: ASGIApp = responses.method_not_allowed(["GET"])


class Ready:
    """Answers 200 where requests can be served, else 503 with the reason; needs no key.

    Args:
        store: Read from at each request, so that a database that is gone shows, and written to once a second at most.
        revisions: The schema revisions that this version knows, the current one first.
        stopping: Whether the server is about to stop.
    """

    def __init__(self, store: Store, revisions: Sequence[str], stopping: Callable[[], bool]) -> None:
        self._stopping = stopping
        self._revisions = revisions
        self._read = _Shared(lambda: store.read(_revision), _READ_SECONDS)
        self._write = _Shared(lambda: store.write(_touch), _WRITE_SECONDS)
        self._write_again_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response = _ONLY_GET
        if scope["method"] == "GET":
            reason = await self._find_fault()
            response = _READY if reason is None else _unready(reason)
        await response(scope, receive, send)

    async def _find_fault(self) -> str | None:
        if self._stopping():
            return "stopping"
        try:
            revision = await self._read()
        except TimeoutError:
            return f"database: no answer within {_READ_SECONDS:g} s"
        except StoreUnavailable as error:
            return f"database: {error}"
        except Exception as error:
            logger.warning("event=not_ready reason=%s", type(error).__name__, exc_info=True)
            # The driver's text may hold the database's address and user.
            return f"database: {type(error).__name__}"
        # A revision that is not known is a newer server's, which a rolling upgrade has put beside this one.
        if revision != self._revisions[0] and (revision is None or revision in self._revisions):
            return f"schema: at {revision or 'none'}, and this version needs {self._revisions[0]}"
        return await self._find_fault_of_writing()

    async def _find_fault_of_writing(self) -> str | None:
        began = time.monotonic()
        if began < self._write_again_at:
            return None
        try:
            await self._write()
        except TimeoutError:
            return f"database: no write within {_WRITE_SECONDS:g} s"
        except StoreUnavailable as error:
            return f"database: {error}"
        except Exception as error:
            logger.warning("event=not_ready reason=%s", type(error).__name__, exc_info=True)
            return f"database: {type(error).__name__}"
        self._write_again_at = began + _WRITE_REST_SECONDS
        return None


class MetricsPage:
    """Shows the metrics.

    Args:
        metrics: What is shown.
        store: Where what waits is read from, every few seconds at most.
        clock: The time to go by.
        waiting: Tells, on the event loop, how many writes and how many claims wait.
        refuse: Returns the refusal of a request that may not see them, else None; the port for metrics refuses none.
    """

    def __init__(
        self,
        metrics: Metrics,
        store: Store,
        clock: Clock,
        waiting: Callable[[], tuple[int, int]],
        refuse: Callable[[Scope], Awaitable[ASGIApp | None]],
    ) -> None:
        self._metrics = metrics
        self._waiting = waiting
        self._refuse = refuse
        self._read: Callable[[], Awaitable[Backlog]] = _Shared(
            lambda: store.read(lambda reader: reader.backlog(clock.now_ms())), _BACKLOG_SECONDS
        )
        self._fresh_until = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await (await self._response(scope))(scope, receive, send)

    async def _response(self, scope: Scope) -> ASGIApp:
        if scope["method"] != "GET":
            return _ONLY_GET
        if not scope.get(OPEN):
            refusal = await self._refuse(_with_bearer_as_key(scope))
            if refusal is not None:
                return refusal
        await self._refresh()
        self._metrics.set_waiting(*self._waiting())
        accept = b",".join(value for name, value in scope["headers"] if name == b"accept").decode("latin-1")
        body, content_type = await asyncio.to_thread(self._metrics.expose, accept)
        return responses.BytesResponse(body, content_type)

    async def _refresh(self) -> None:
        began = time.monotonic()
        if began < self._fresh_until:
            return
        try:
            self._metrics.set_backlog(await self._read())
        except Exception as error:  # noqa: BLE001 - the other metrics are wanted all the more
            logger.warning("event=backlog_unreadable reason=%s", type(error).__name__)
            self._metrics.set_backlog(None)
        ended = time.monotonic()
        self._fresh_until = ended + max(_BACKLOG_SECONDS, _LEAST_REST * (ended - began))


async def measure_loop_lag(metrics: Metrics) -> None:
    """Look once a second how late the event loop is, for ever."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LAG_PERIOD
        await asyncio.sleep(_LAG_PERIOD)
        metrics.loop_was_late(max(loop.time() - due, 0.0))


class _Shared(Generic[T]):
    """Reads for all who ask at once: a database that hangs then holds one reader, however often it is asked.

    Args:
        read: What is awaited.
        seconds: How long each who asks waits at most.
    """

    def __init__(self, read: Callable[[], Awaitable[T]], seconds: float) -> None:
        self._read = read
        self._seconds = seconds
        self._under_way: asyncio.Future[T] | None = None

    async def __call__(self) -> T:
        """Return what is read.

        Raises:
            TimeoutError: It took too long; it goes on, and those who ask next wait for its end.
        """
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.ensure_future(self._read())
            # Whoever waited may have gone, and nobody else may ask for what it raised.
            self._under_way.add_done_callback(_take_error)
        return await asyncio.wait_for(asyncio.shield(self._under_way), self._seconds)


def _take_error(future: asyncio.Future[T]) -> None:
    if not future.cancelled():
        future.exception()


def _with_bearer_as_key(scope: Scope) -> Scope:
    """Return a request with its bearer token, which is what Prometheus sends, in the place of the API key."""
    for name, value in scope["headers"]:
        if name == b"authorization" and value[: len(_BEARER)].lower() == _BEARER:
            return {**scope, "headers": [*scope["headers"], (API_KEY_HEADER, value[len(_BEARER) :].strip())]}
    return scope


def _touch(unit: UnitOfWork) -> None:
    unit.touch()


def _revision(reader: Reader) -> str | None:
    return reader.schema_revision()


def _unready(reason: str) -> ASGIApp:
    return responses.JsonResponse(503, json.dumps({"status": "unready", "reason": reason}).encode("ascii"))
