"""Signing in to the dashboard and out of it: `/ui/session`.

No part of the contract: the dashboard is a client of the service like any other, and this is how its page is given a
session in the place of a key.
"""

from __future__ import annotations

import json
from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from exospherehost.server.domain.clock import rfc3339
from exospherehost.server.domain.errors import ServiceError
from exospherehost.server.http import responses
from exospherehost.server.http.authentication import given_key, session_token
from exospherehost.server.http.request_bodies import read_body
from exospherehost.server.security.access import Access
from exospherehost.server.security.api_keys import digest
from exospherehost.server.security.sessions import SESSION_HEADER, Sessions

SESSION_PATH = "/ui/session"

_LARGEST_BODY = 4_096
_NOT_ALLOWED = responses.method_not_allowed(["DELETE", "GET", "POST"])
_SIGNED_OUT = responses.JsonResponse(200, b"{}")
_NO_LINK = responses.refusal(401, "This link was used before, or is older than five minutes: sign in with the API key")
_NO_STORE = (b"cache-control", b"no-store")


class Admits(Protocol):
    """Judges what a request is made under."""

    async def admit(self, scope: Scope) -> Access | ASGIApp:
        """Return what a request may do, or the answer that turns it away."""
        ...


class SessionEndpoint:
    """POST exchanges a key or a link's token for a session, GET shows what a session may do, and DELETE ends it.

    Args:
        authenticator: Judges keys and sessions.
        sessions: Where sessions are.
    """

    def __init__(self, authenticator: Admits, sessions: Sessions) -> None:
        self._authenticator = authenticator
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await (await self._response(scope, receive))(scope, receive, send)

    async def _response(self, scope: Scope, receive: Receive) -> ASGIApp:
        token = session_token(scope)
        if scope["method"] == "POST":
            try:
                return await self._sign_in(scope, await read_body(scope, receive, _LARGEST_BODY))
            except ServiceError as error:
                return responses.refusal(error.status_code, error.detail)
        if scope["method"] == "GET":
            return await self._show(scope, token)
        if scope["method"] == "DELETE":
            if token is not None:
                self._sessions.close(token)
            return _SIGNED_OUT
        return _NOT_ALLOWED

    async def _sign_in(self, scope: Scope, body: bytes) -> ASGIApp:
        key = given_key(scope)
        if key is not None:
            admitted = await self._authenticator.admit(scope)
            if not isinstance(admitted, Access):
                return admitted
            session = self._sessions.open(digest(key))
            return _opened(session.token, session.expires_at, admitted)
        if (linked := self._sessions.redeem(_link_token(body))) is None:
            return _NO_LINK if body else responses.unauthorized
        session = self._sessions.open(linked)
        return await self._show(scope, session.token.encode("ascii"))

    async def _show(self, scope: Scope, token: bytes | None) -> ASGIApp:
        found = None if token is None else self._sessions.find(token)
        if token is None or found is None:
            return responses.session_over
        admitted = await self._authenticator.admit({**scope, "headers": [(SESSION_HEADER, token)]})
        if not isinstance(admitted, Access):
            self._sessions.close(token)
            return admitted
        return _opened(token.decode("ascii"), found[1], admitted)


def _opened(token: str, expires_at: int, access: Access) -> ASGIApp:
    body = {
        "session": token,
        "expires_at": rfc3339(expires_at),
        "namespaces": None if access.namespaces is None else sorted(access.namespaces),
    }
    return responses.JsonResponse(200, json.dumps(body).encode("ascii"), [_NO_STORE])


def _link_token(body: bytes) -> bytes:
    """Return the token in a body such as ``{"link": "…"}``, or nothing where there is none."""
    try:
        link = json.loads(body)["link"]
        return str(link).encode("ascii")
    except (ValueError, TypeError, KeyError, RecursionError):
        return b""
