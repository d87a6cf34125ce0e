"""Answers that are the same everywhere, and how a body of JSON is sent."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic import BaseModel
from pydantic_core import to_json
from starlette.types import ASGIApp, Receive, Scope, Send

from exospherehost.server.domain.records import JsonObject

_JSON = (b"content-type", b"application/json")
Header = tuple[bytes, bytes]


class JsonResponse:
    """An ASGI application that sends one JSON body.

    Args:
        status: The HTTP status.
        body: The body, encoded.
        headers: Headers besides content type and length.
    """

    __slots__ = ("_body", "_start")

    def __init__(self, status: int, body: bytes, headers: Sequence[Header] = ()) -> None:
        self._body = body
        self._start = (status, [_JSON, (b"content-length", str(len(body)).encode("ascii")), *headers])

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send it."""
        status, headers = self._start
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})


class BytesResponse:
    """An ASGI application that sends a body of any type with status 200.

    Args:
        body: The body.
        content_type: Its type.
    """

    __slots__ = ("_body", "_headers")

    def __init__(self, body: bytes, content_type: str) -> None:
        self._body = body
        self._headers = [
            (b"content-type", content_type.encode("latin-1")),
            (b"content-length", str(len(body)).encode("ascii")),
        ]

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body})


def refusal(status: int, detail: str, headers: Sequence[Header] = ()) -> JsonResponse:
    """Return a deliberate refusal."""
    return JsonResponse(status, json.dumps({"detail": detail}).encode("ascii"), headers)


not_found: ASGIApp = refusal(404, "Not Found")
unauthorized: ASGIApp = refusal(401, "Invalid API key")
session_over: ASGIApp = refusal(401, "This session is over: sign in again")
server_error: ASGIApp = JsonResponse(
    500, json.dumps({"success": False, "detail": "The service failed; its log says why"}).encode("ascii")
)


def too_many_attempts(seconds: int) -> JsonResponse:
    """Return the refusal of an address from which too many wrong keys came, and when to come again."""
    return refusal(
        429,
        f"Too many wrong API keys came from this address: try again in {seconds} seconds",
        [(b"retry-after", b"%d" % seconds)],
    )


def method_not_allowed(methods: Sequence[str]) -> JsonResponse:
    """Return the refusal of a method, naming those that there are."""
    return refusal(405, "Method Not Allowed", [(b"allow", ", ".join(methods).encode("ascii"))])


def redirect(location: str) -> ASGIApp:
    """Return an empty 307 to another address."""
    headers = [(b"location", location.encode("latin-1")), (b"content-length", b"0")]

    async def send_redirect(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 307, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    return send_redirect


def encode(body: BaseModel | JsonObject) -> bytes:
    """Return a response as JSON; of a model, without the fields that were not set."""
    if isinstance(body, BaseModel):
        return type(body).__pydantic_serializer__.to_json(body, by_alias=True, exclude_unset=True)
    return to_json(body)
