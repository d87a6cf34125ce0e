"""What surrounds every request: cross-origin rules, the request id, the last resort for failures."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exospherehost.server.answers import not_found, server_error
from exospherehost.server.ids import new_uuid

_log = logging.getLogger(__name__)

REQUEST_ID = b"x-exosphere-request-id"
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
    paths) and answers 500 for whatever was raised and not meant.

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        began = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (REQUEST_ID, request_id)]
            await send(message)

        try:
            if b"%2f" in scope.get("raw_path", b"").lower():
                await not_found(scope, receive, send_with_id)
            else:
                await self._app(scope, receive, send_with_id)
        except Exception:
            _log.exception(
                "event=request_failed method=%s path=%s request_id=%s",
                scope["method"],
                scope["path"],
                request_id.decode("ascii"),
            )
            if status:
                raise
            await server_error(scope, receive, send_with_id)
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug(
                "event=request method=%s path=%s status=%d ms=%.1f request_id=%s",
                scope["method"],
                scope["path"],
                status,
                (time.perf_counter() - began) * 1_000,
                request_id.decode("ascii"),
            )


def with_cross_origin_rules(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Return the application with preflights answered and foreign origins told apart.

    Args:
        app: The application.
        origins: The origins allowed; ``*`` among them allows all.
    """
    return CORSMiddleware(
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


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == REQUEST_ID:
            try:
                uuid.UUID(value.decode("ascii"))
            except ValueError:
                break
            return bytes(value)
    return new_uuid().encode("ascii")
