"""The dashboard of another service: a proxy on this machine that keeps the service's key to itself."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from exospherehost.server.domain.errors import ServiceError
from exospherehost.server.http import responses
from exospherehost.server.http.authentication import given_key, session_token
from exospherehost.server.http.request_bodies import read_body
from exospherehost.server.http.session_routes import SESSION_PATH, SessionEndpoint
from exospherehost.server.security.access import FULL
from exospherehost.server.security.api_keys import digest
from exospherehost.server.security.sessions import Sessions
from exospherehost.server.security.wrong_key_limits import WrongKeyLimits

logger = logging.getLogger(__name__)

PAGE_PATH = "/ui/"

_Scope = dict[str, Any]
_Receive = Callable[[], Awaitable[Any]]
_Send = Callable[[Any], Awaitable[None]]
_App = Callable[[Any, Any, Any], Awaitable[None]]

_FORWARDED = re.compile(r"/v0(/.*)?|/health|/openapi\.json")
# The page never asks for them.
_SECRETS = re.compile(r"/v0/namespace/[^/]+/state/[^/]+/secrets/*", re.IGNORECASE)
_METHODS = ["DELETE", "GET", "POST", "PUT"]
_SENT_ON = frozenset(
    {b"accept", b"content-type", b"idempotency-key", b"last-event-id", b"prefer", b"x-exosphere-request-id"}
)
_SENT_BACK = frozenset({"content-type", "preference-applied", "retry-after", "x-exosphere-request-id"})
_LARGEST_BODY = 16 * 1024 * 1024
# A stream of events says something every 15 seconds.
_TIMEOUTS = httpx.Timeout(60, connect=10)
_NO_STORE = (b"cache-control", b"no-store")
_GONE = {"type": "http.disconnect"}


class DashboardProxy:
    """An ASGI application: the page, its sign-in, and requests handed on to the service.

    Only requests under a session are handed on, only those to the service's API, and none for a state's secrets. No
    redirect is followed. A request that names another host or comes from another page is refused.

    Args:
        uri: The service.
        key: The key for it, which goes to the service alone.
        page: Serves the page.
        sessions: Where sessions and links are.
        hosts: The names, with the port, that this proxy is reached under.
    """

    def __init__(self, uri: str, key: str, *, page: _App, sessions: Sessions, hosts: Sequence[str]) -> None:
        self._uri = uri.rstrip("/")
        self._key = key
        self._page = page
        self._sessions = sessions
        self._hosts = {host.encode("ascii") for host in hosts}
        self._sign_in = SessionEndpoint(_OneKey(key, sessions), sessions)
        self._client: httpx.AsyncClient | None = None

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        path = scope["path"]
        if (refusal := self._refusal(scope)) is not None:
            await refusal(scope, receive, send)
        elif path == SESSION_PATH:
            await self._sign_in(scope, receive, send)
        elif path in {"/", "/ui", "/docs", "/redoc"}:
            place = PAGE_PATH if path in {"/", "/ui"} else f"{PAGE_PATH}api"
            host = next(value for name, value in scope["headers"] if name == b"host").decode("ascii")
            await responses.redirect(f"http://{host}{place}")(scope, receive, send)
        elif path.startswith(PAGE_PATH):
            await self._page(scope, receive, send)
        else:
            await self._hand_on(scope, receive, send)

    def _refusal(self, scope: _Scope) -> _App | None:
        """Return the answer to a request that another page, or another name for this machine, has made."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return responses.refusal(421, "This address is not served under that name")
        for name, value in headers:
            if name == b"origin" and value != b"http://" + hosts[0].lower():
                return responses.refusal(403, "Only the dashboard's own page may ask")
            if name == b"sec-fetch-site" and value not in {b"same-origin", b"none"} and not _is_page(scope):
                return responses.refusal(403, "Only the dashboard's own page may ask")
        return None

    async def _hand_on(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        raw: bytes = scope["raw_path"]
        path = unquote(raw.decode("ascii"))
        if not _FORWARDED.fullmatch(path) or _is_crooked(raw, path) or _SECRETS.fullmatch(path):
            await responses.not_found(scope, receive, send)
        elif scope["method"] not in _METHODS:
            await responses.method_not_allowed(_METHODS)(scope, receive, send)
        elif (token := session_token(scope)) is None or self._sessions.find(token) is None:
            await responses.session_over(scope, receive, send)
        else:
            try:
                body = await read_body(scope, receive, _LARGEST_BODY)
            except ServiceError as error:
                await responses.refusal(error.status_code, error.detail)(scope, receive, send)
                return
            await self._exchange(scope, body, receive, send)

    async def _exchange(self, scope: _Scope, body: bytes, receive: _Receive, send: _Send) -> None:
        """Send a request to the service and its answer back, until the page or the session goes."""
        token = session_token(scope) or b""
        passing = asyncio.ensure_future(self._pass(scope, body, send))
        leaving = asyncio.ensure_future(self._left(receive, token))
        try:
            await asyncio.wait((passing, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            passing.cancel()
            leaving.cancel()
            await asyncio.wait((passing, leaving))
        if not passing.cancelled():
            passing.result()

    async def _left(self, receive: _Receive, token: bytes) -> None:
        gone = asyncio.ensure_future(_gone(receive))
        try:
            while self._sessions.find(token) is not None:
                done, _ = await asyncio.wait((gone,), timeout=1)
                if done:
                    return
        finally:
            gone.cancel()

    async def _pass(self, scope: _Scope, body: bytes, send: _Send) -> None:
        client = self._client
        if client is None:
            raise RuntimeError("the proxy has not been started")
        query: bytes = scope["query_string"]
        target = self._uri + scope["raw_path"].decode("ascii") + (f"?{query.decode('ascii')}" if query else "")
        headers = [(name, value) for name, value in scope["headers"] if name in _SENT_ON]
        request = client.build_request(
            scope["method"], target, content=body or None, headers=[*headers, (b"x-api-key", self._key.encode("ascii"))]
        )
        begun = False
        try:
            async with _answer(client, request) as answer:
                if (refused := _explain(answer)) is not None:
                    await refused(scope, _never, send)
                    return
                sent_back = [
                    (name.encode("ascii"), value.encode("latin-1"))
                    for name, value in answer.headers.items()
                    if name in _SENT_BACK
                ]
                begun = True
                await send(
                    {"type": "http.response.start", "status": answer.status_code, "headers": [*sent_back, _NO_STORE]}
                )
                async for chunk in answer.aiter_bytes():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except httpx.HTTPError as error:
            logger.debug("event=service_unreachable error=%s", type(error).__name__)
            if begun:
                raise
            detail = f"The service at {_shown(self._uri)} cannot be reached ({type(error).__name__})"
            await responses.refusal(502, detail)(scope, _never, send)

    async def _live(self, receive: _Receive, send: _Send) -> None:
        await receive()
        async with httpx.AsyncClient(timeout=_TIMEOUTS, follow_redirects=False) as client:
            self._client = client
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


class _OneKey:
    """Admits the service's key, and sessions that stand for it."""

    def __init__(self, key: str, sessions: Sessions) -> None:
        self._own = digest(key.encode("ascii"))
        self._sessions = sessions
        self._limits = WrongKeyLimits()

    async def admit(self, scope: Any) -> Any:
        given = given_key(scope)
        if given is None:
            token = session_token(scope)
            return FULL if token is not None and self._sessions.find(token) is not None else responses.session_over
        if hmac.compare_digest(digest(given), self._own):
            return FULL
        if wait := self._limits.fail("", time.monotonic()):
            return responses.too_many_attempts(int(wait))
        return responses.unauthorized


@asynccontextmanager
async def _answer(client: httpx.AsyncClient, request: httpx.Request) -> AsyncGenerator[httpx.Response, None]:
    answer = await client.send(request, stream=True)
    try:
        yield answer
    finally:
        await answer.aclose()


def _explain(answer: httpx.Response) -> _App | None:
    """Return what to say in place of an answer that would mean something else to the page."""
    if 300 <= answer.status_code < 400:
        return responses.refusal(
            502, f"The service answered with a redirect ({answer.status_code}), which is not followed"
        )
    if answer.status_code == 401:
        return responses.refusal(403, "The service refuses the key that `exospherehost ui` was started with")
    return None


def _is_page(scope: _Scope) -> bool:
    """Tell whether a request is for the page itself, which a link elsewhere may lead to."""
    path = scope["path"]
    return scope["method"] == "GET" and path != SESSION_PATH and (path in {"/", "/ui"} or path.startswith(PAGE_PATH))


def _is_crooked(raw: bytes, path: str) -> bool:
    """Tell whether a path could be another one to whoever reads it next."""
    parts = path.split("/")
    return b"%2f" in raw.lower() or "\\" in path or "." in parts or ".." in parts or "" in parts[1:-1]


def _shown(uri: str) -> str:
    """Return a service's address without a user or a password that may be in it."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


async def _gone(receive: _Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _never() -> dict[str, str]:
    return _GONE
