"""What surrounds every request: cross-origin rules, request id, last resort for failures, counting and logging."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exospherehost.server.domain.errors import StoreUnavailable
from exospherehost.server.domain.ids import new_uuid
from exospherehost.server.http.responses import not_found, refusal, server_error
from exospherehost.server.observability.access_log import AccessLog
from exospherehost.server.observability.metrics import UNMATCHED, Metrics

logger = logging.getLogger(__name__)

REQUEST_ID = b"x-exosphere-request-id"
_ORIGIN = b"origin"
_OTHER_FOR_OTHER_ORIGINS = (b"vary", b"Origin")
_LAST_OF_CONNECTION = (b"connection", b"close")
_ALLOWED_METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
_ALLOWED_HEADERS = (
    "Accept",
    "Accept-Language",
    "Content-Language",
    "Content-Type",
    "X-API-Key",
    "Authorization",
    "X-Requested-With",
    "X-Exosphere-Request-ID",
)
_PREFLIGHT_SECONDS = 600


class Edge:
    """The outer layer of the application, within the cross-origin rules.

    It puts the request id on every answer, turns away paths with an encoded slash (decoded, they would be other
    paths), answers 500 for whatever was raised and not meant, and counts and logs each request. Once the server is
    stopping, each answer is the last of its connection.

    Args:
        app: The application.
        templates: The template of the path that an endpoint, as the router leaves it in the scope, serves.
        metrics: Counts.
        access_log: Logs; None for no such log.
        stopping: Whether the server is stopping.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        templates: Mapping[Any, str],
        metrics: Metrics,
        access_log: AccessLog | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._app = app
        self._templates = templates
        self._metrics = metrics
        self._access_log = access_log
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        # To a request with an origin the cross-origin rules add the other one.
        added = [(REQUEST_ID, request_id), *(() if _has_origin(scope) else (_OTHER_FOR_OTHER_ORIGINS,))]
        began = time.perf_counter()
        self._metrics.request_began()
        status = size = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._stopping():
                    added.append(_LAST_OF_CONNECTION)
                message["headers"] = [*message.get("headers", ()), *added]
            else:
                size += len(message.get("body", b""))
            await send(message)

        try:
            if b"%2f" in scope.get("raw_path", b"").lower():
                await not_found(scope, receive, send_with_id)
            else:
                await self._app(scope, receive, send_with_id)
        except Exception as error:
            answer = _answer_to(error, scope, request_id)
            if status:
                raise
            await answer(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - began
            route = self._templates.get(scope.get("endpoint"), UNMATCHED)
            self._metrics.request_ended(scope["method"], route, status, seconds)
            if self._access_log is not None:
                self._access_log.write(scope, route, status, seconds, size, request_id.decode("ascii"))
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug(
                "event=request method=%s path=%s status=%d ms=%.1f request_id=%s",
                scope["method"],
                scope["raw_path"].decode("ascii", "backslashreplace"),
                status,
                seconds * 1_000,
                request_id.decode("ascii"),
            )


def with_cross_origin_rules(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Return the application with preflights answered and foreign origins told apart.

    Args:
        app: The application.
        origins: The origins allowed; ``*`` among them allows all.
    """
    rules = CORSMiddleware(
        app,
        allow_origins=[origin for origin in origins if origin != "*"],
        # Credentials are allowed, and with them a browser accepts no "*": the pattern makes the origin be echoed.
        allow_origin_regex=".*" if "*" in origins else None,
        allow_credentials=True,
        allow_methods=_ALLOWED_METHODS,
        allow_headers=_ALLOWED_HEADERS,
        expose_headers=["X-Exosphere-Request-ID"],
        max_age=_PREFLIGHT_SECONDS,
    )

    async def judge(scope: Scope, receive: Receive, send: Send) -> None:
        # Only browsers name an origin, and only they are told what it may do.
        chosen = rules if scope["type"] == "http" and _has_origin(scope) else app
        await chosen(scope, receive, send)

    return judge


def _answer_to(error: Exception, scope: Scope, request_id: bytes) -> ASGIApp:
    """Return the answer to a request that failed, having logged what nobody meant."""
    if isinstance(error, StoreUnavailable):
        # The store logs it once; each who asks meanwhile is told.
        text = str(error)
        return refusal(503, f"{text[:1].upper()}{text[1:]}")
    logger.error(
        "event=request_failed method=%s path=%s request_id=%s",
        scope["method"],
        # As it was sent: decoded it could break the line.
        scope["raw_path"].decode("ascii", "backslashreplace"),
        request_id.decode("ascii"),
        exc_info=error,
    )
    return server_error


def _has_origin(scope: Scope) -> bool:
    return any(name == _ORIGIN for name, _value in scope["headers"])


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == REQUEST_ID:
            try:
                uuid.UUID(value.decode("ascii"))
            except ValueError:
                break
            return bytes(value)
    return new_uuid().encode("ascii")
