"""One path of the application: its methods, and the order in which a request is judged.

Path and method first, then the key, then path parameters and body together, then the operation itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from exospherehost.server.domain.errors import InvalidRequest, Issue, ServiceError
from exospherehost.server.domain.records import JsonObject
from exospherehost.server.http import issues as request_issues
from exospherehost.server.http import request_bodies, responses
from exospherehost.server.http.authentication import Authenticator
from exospherehost.server.http.event_stream import EventStream
from exospherehost.server.http.responses import Header
from exospherehost.server.security.access import Access, forbidden

PathReader = Callable[[Mapping[str, str], list[Issue]], Any]
RequestReader = Callable[[Scope, Receive, list[Issue]], Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """A response with headers of its own."""

    body: BaseModel | JsonObject
    headers: Sequence[Header]


Result = BaseModel | JsonObject | Reply | EventStream
Handler = Callable[..., Awaitable[Result]]


def no_path(values: Mapping[str, str], issues: list[Issue]) -> None:
    """Read nothing from a path without parameters."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What a method of a path does.

    Attributes:
        handler: Given the path's parameters, the body and, if there is any, what is read extras, returns the response.
        path: Reads the parameters, adding what is wrong to the issues.
        body: Reads the body; None for no body.
        extras: Reads what is needed of the request beyond path and body, adding what is wrong to the issues.
        status: The HTTP status of success.
        public: Whether it needs no key.
        heavy: Whether even a small body may take long to read, and is always read off the event loop.
    """

    handler: Handler
    path: PathReader = no_path
    body: request_bodies.BodyReader | None = None
    extras: RequestReader | None = None
    status: int = 200
    public: bool = False
    heavy: bool = False


class Endpoint:
    """The ASGI application of one path.

    Args:
        operations: By method.
        authenticator: Admits requests by their API key.
        largest_body: The most bytes of a body.
    """

    def __init__(self, operations: Mapping[str, Operation], *, authenticator: Authenticator, largest_body: int) -> None:
        public = operations.get("GET")
        # Probes ask with HEAD too; the server that carries the application leaves the body out.
        self._operations = {**operations, "HEAD": public} if public is not None and public.public else operations
        self._authenticator = authenticator
        self._largest_body = largest_body
        self._not_allowed: ASGIApp = responses.method_not_allowed(sorted(self._operations))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response = await self._response(scope, receive)
        if isinstance(response, EventStream):
            receive = self._authenticator.while_valid(scope, receive)
        await response(scope, receive, send)

    async def _response(self, scope: Scope, receive: Receive) -> ASGIApp:
        operation = self._operations.get(scope["method"])
        if operation is None:
            return self._not_allowed
        if not operation.public and (refused := await self._refused(scope)) is not None:
            return refused
        try:
            result = await self._run(operation, scope, receive)
        except ServiceError as error:
            return responses.refusal(error.status_code, error.detail)
        except InvalidRequest as error:
            return responses.JsonResponse(422, request_issues.encode_issues(error.issues))
        return _response_of(operation, result)

    async def _refused(self, scope: Scope) -> ASGIApp | None:
        """Return the answer that turns a request away for its key; None if it may go on."""
        admitted = await self._authenticator.admit(scope)
        if not isinstance(admitted, Access):
            return admitted
        namespace = scope["path_params"].get("namespace_name")
        if namespace is None or admitted.allows(namespace):
            return None
        error = forbidden(namespace)
        return responses.refusal(error.status_code, error.detail)

    async def _run(self, operation: Operation, scope: Scope, receive: Receive) -> Result:
        issues: list[Issue] = []
        path = operation.path(scope["path_params"], issues)
        body: Any = None
        if operation.body is not None:
            # The bytes have no name here, which would keep them for as long as the operation waits.
            body, in_body = await request_bodies.parse_body(
                scope,
                await request_bodies.read_body(scope, receive, self._largest_body),
                operation.body,
                heavy=operation.heavy,
            )
            issues += in_body
        if operation.extras is None:
            request_issues.require_valid(issues)
            return await operation.handler(path, body)
        extras = operation.extras(scope, self._authenticator.while_valid(scope, receive), issues)
        request_issues.require_valid(issues)
        return await operation.handler(path, body, extras)


def _response_of(operation: Operation, result: Result) -> ASGIApp:
    if isinstance(result, EventStream):
        return result
    if isinstance(result, Reply):
        return responses.JsonResponse(operation.status, responses.encode(result.body), result.headers)
    return responses.JsonResponse(operation.status, responses.encode(result))
