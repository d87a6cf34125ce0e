"""The only caller of the generated operations: pool, time-outs, retries, status to error, redaction."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from exospherehost._carrier import Carrier, HttpxCarrier
from exospherehost._config import DEFAULT_API_VERSION, KEY_VARIABLE, URI_VARIABLE, VERSION, ConnectionSettings
from exospherehost._errors import (
    APIConnectionError,
    APIError,
    APIResponseError,
    APIStatusError,
    BadRequestError,
    TriggerOutcomeUnknownError,
    status_error_class,
)
from exospherehost._redaction import Redactor
from exospherehost._retry import Backoff, is_transient, never_reached_the_service
from exospherehost_client import errors as client_errors
from exospherehost_client import models
from exospherehost_client.api.graphs import get_graph, trigger_graph, upsert_graph
from exospherehost_client.api.nodes import register_nodes
from exospherehost_client.api.states import (
    enqueue_states,
    get_state_secrets,
    prune_state,
    report_errored,
    report_executed,
    requeue_state,
)
from exospherehost_client.types import RawResponse, Request, Response

logger = logging.getLogger(__name__)

T = TypeVar("T")

TRIGGER_STATES = "trigger-states"
IDEMPOTENCY = "idempotency"

# Without leases a report that is given up leaves its state QUEUED for ever, so the service's absence is sat out.
_FOR_A_CLAIMED_STATE = Backoff(attempts=1_000, max_elapsed=600.0)

_EXTENSION_MARK = "x-exosphere-extension"
_SNIPPET_LENGTH = 200
_DOCUMENT = Request("GET", "/openapi.json")

# What to do about the refusals that speak of the configuration and not of the call.
_REMEDIES = {
    (401, "Invalid API key"): f"; correct key= or the variable {KEY_VARIABLE}",
    (404, "Not Found"): f"; there is no such path: correct state_manager_uri= or the variable {URI_VARIABLE}",
}


class ServiceMemory:
    """What outlives a session: which of the services is in use and which extensions each has."""

    def __init__(self) -> None:
        self.current = 0
        self.extensions: dict[str, frozenset[str]] = {}


class Session:
    """Speaks to the service over one pool of connections; an async context manager.

    It belongs to the event loop that it was entered in.

    Args:
        settings: where the service is.
        memory: shared by the sessions of one owner.
        backoff: how to try again what may be sent again.
    """

    def __init__(
        self, settings: ConnectionSettings, memory: ServiceMemory | None = None, backoff: Backoff | None = None
    ) -> None:
        self._settings = settings
        self._memory = memory or ServiceMemory()
        self._backoff = backoff or Backoff()
        self._redact = Redactor(settings.protected_values())
        self._namespace = settings.namespace
        self._carriers = [HttpxCarrier(settings, uri, f"exospherehost-python/{VERSION}") for uri in settings.uris]

    @property
    def raw_carrier(self) -> HttpxCarrier:
        """The carrier of the service in use."""
        return self._carriers[self._memory.current]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        for carrier in self._carriers:
            await carrier.aclose()

    # ---- nodes and states: what a runtime calls ------------------------------------------------

    async def register_nodes(self, body: models.RegisterNodesRequest) -> models.RegisterNodesResponse:
        """Register nodes; sent again after a transient fault, since it is an upsert."""
        request = register_nodes.build_request(self._namespace, body=body)
        return (await self._send(request, register_nodes.parse_response, may_resend=is_transient)).parsed

    async def claim(self, nodes: list[str], batch_size: int) -> list[models.ClaimedState]:
        """Claim due states, once: who calls decides when to claim again."""
        body = models.EnqueueStatesRequest(nodes=nodes, batch_size=batch_size)
        request = enqueue_states.build_request(self._namespace, body=body)
        return (await self._send(request, enqueue_states.parse_response)).parsed.states

    async def get_secrets(self, state_id: str) -> dict[str, str]:
        """Read the secrets for executing a state."""
        request = get_state_secrets.build_request(self._namespace, state_id)
        response = await self._send(
            request, get_state_secrets.parse_response, may_resend=is_transient, backoff=_FOR_A_CLAIMED_STATE
        )
        return response.parsed.secrets

    async def report_executed(self, state_id: str, outputs: list[dict[str, Any]]) -> None:
        """Report success."""
        body = models.ExecutedRequest(outputs=outputs)
        request = report_executed.build_request(self._namespace, state_id, body=body)
        await self._report(request, report_executed.parse_response)

    async def report_errored(self, state_id: str, error: str) -> None:
        """Report failure; the text has been redacted by the caller."""
        request = report_errored.build_request(self._namespace, state_id, body=models.ErroredRequest(error=error))
        await self._report(request, report_errored.parse_response)

    async def prune(self, state_id: str, data: dict[str, Any]) -> None:
        """End a state without next states."""
        request = prune_state.build_request(self._namespace, state_id, body=models.PruneRequest(data=data))
        await self._report(request, prune_state.parse_response)

    async def requeue(self, state_id: str, delay_ms: int) -> None:
        """Give a state back, to be due again after a delay in milliseconds."""
        body = models.RequeueRequest(enqueue_after=delay_ms)
        request = requeue_state.build_request(self._namespace, state_id, body=body)
        await self._report(request, requeue_state.parse_response)

    # ---- graphs: what a state manager calls ----------------------------------------------------

    async def get_graph(self, graph_name: str) -> Response[models.GraphResponse]:
        """Read a graph template."""
        request = get_graph.build_request(self._namespace, graph_name)
        return await self._send(request, get_graph.parse_response, may_resend=is_transient)

    async def upsert_graph(self, graph_name: str, body: models.UpsertGraphRequest) -> Response[models.GraphResponse]:
        """Create or replace a graph template; sent again after a transient fault, since it is an upsert."""
        request = upsert_graph.build_request(self._namespace, graph_name, body=body)
        return await self._send(
            request, upsert_graph.parse_response, may_resend=is_transient, protect=body.secrets.values()
        )

    async def trigger_graph(
        self, graph_name: str, body: models.TriggerGraphRequest, *, idempotency_key: str | None, is_honoured: bool
    ) -> Response[models.TriggerGraphResponse]:
        """Start a run; sent again only where that cannot start a second one.

        Raises:
            TriggerOutcomeUnknownError: the connection was lost after sending, and no key protects.
        """
        request = trigger_graph.build_request(self._namespace, graph_name, body=body, idempotency_key=idempotency_key)
        may_resend = is_transient if is_honoured else never_reached_the_service
        try:
            return await self._send(request, trigger_graph.parse_response, may_resend=may_resend)
        except APIConnectionError as error:
            if not error.sent:
                raise
            raise TriggerOutcomeUnknownError(
                f"{error}; the run of graph {graph_name!r} may exist: look at the namespace's runs before "
                "triggering again"
            ) from error

    async def extensions(self) -> frozenset[str]:
        """Tell which extensions the service has, from the document that it serves.

        Asked once for each service. An answer that says nothing counts as "none" and is remembered;
        a transient fault is raised and not remembered.

        Raises:
            APIError: the service could not be asked.
        """
        uri = self._settings.uris[self._memory.current]
        known = self._memory.extensions.get(uri)
        if known is None:
            found = await self._send(_DOCUMENT, _read_extensions, may_resend=is_transient)
            known = self._memory.extensions[uri] = found.parsed
        return known

    # ---- sending -------------------------------------------------------------------------------

    async def _report(self, request: Request, parse: Callable[[RawResponse], Response[Any]]) -> None:
        """Send a report until it is acknowledged or refused.

        A service answers 400 to a report that it has taken before (contract, section 7), so a 400 that
        follows an attempt with an unknown outcome settles the report.
        """
        unknown = False

        def may_resend(error: APIError) -> bool:
            nonlocal unknown
            unknown = unknown or not never_reached_the_service(error)
            return is_transient(error)

        try:
            await self._send(request, parse, may_resend=may_resend, backoff=_FOR_A_CLAIMED_STATE)
        except BadRequestError:
            if not unknown:
                raise
            logger.info("event=report_settled path=%s", request.path)

    async def _send(
        self,
        request: Request,
        parse: Callable[[RawResponse], Response[T]],
        *,
        may_resend: Callable[[APIError], bool] = lambda _: False,
        protect: Iterable[str] = (),
        backoff: Backoff | None = None,
    ) -> Response[T]:
        prefix = f"/{DEFAULT_API_VERSION}/"
        if self._settings.api_version != DEFAULT_API_VERSION and request.path.startswith(prefix):
            path = f"/{self._settings.api_version}/{request.path.removeprefix(prefix)}"
            request = dataclasses.replace(request, path=path)
        redact = Redactor((*self._settings.protected_values(), *protect)) if protect else self._redact
        started = time.monotonic()
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._attempt(request, parse, redact)
            except APIError as error:
                if isinstance(error, BadRequestError) or not may_resend(error):
                    raise
                delay = (backoff or self._backoff).delay(attempt, time.monotonic() - started, error)
                if delay is None:
                    raise
                logger.debug(
                    "event=resend method=%s path=%s attempt=%d delay=%.3f", request.method, request.path, attempt, delay
                )
            await asyncio.sleep(delay)

    async def _attempt(
        self, request: Request, parse: Callable[[RawResponse], Response[T]], redact: Redactor
    ) -> Response[T]:
        raw = await self._carry(request, redact)
        try:
            return parse(raw)
        except client_errors.ApiError as error:
            # Raised outside of this block: the generated error holds the body, and a context would keep it.
            failure = _described(error, request, redact)
        raise failure

    async def _carry(self, request: Request, redact: Redactor) -> RawResponse:
        """Send to the service in use, moving on to the next one when it cannot be reached."""
        tried = 0
        while True:
            index = self._memory.current
            carrier: Carrier = self._carriers[index]
            try:
                return await carrier.send(request)
            except APIConnectionError as error:
                tried += 1
                # Another request may have moved on already.
                if self._memory.current == index:
                    self._memory.current = (index + 1) % len(self._carriers)
                if not error.sent and tried < len(self._carriers):
                    continue
                uri = self._settings.uris[index]
                text = redact(f"{request.method} {request.path}: no response from the state manager at {uri} ({error})")
                failure = type(error)(text, sent=error.sent)
            raise failure


def _described(error: client_errors.ApiError, request: Request, redact: Redactor) -> APIError:
    """Turn the generated client's error into ours, without any value that was sent."""
    where = f"{request.method} {request.path}"
    about = f" (request id {error.request_id})" if error.request_id else ""
    if isinstance(error, client_errors.InvalidResponse):
        return APIResponseError(
            redact(f"{where} answered {error.status_code} with a body that cannot be read: {error.detail}{about}")
        )
    # Redacted before anything is cut: a value cut in two would not be found any more.
    detail = redact(error.detail) or redact(_plain(error.content))[:_SNIPPET_LENGTH]
    cls: type[APIStatusError] = status_error_class(error.status_code)
    about += _REMEDIES.get((error.status_code, detail), "")
    return cls(
        f"{redact(where)} answered {error.status_code}: {detail or '(no text)'}{about}",
        status_code=error.status_code,
        detail=detail,
        request_id=error.request_id,
        retry_after=_retry_after(error.headers),
    )


def _plain(content: bytes) -> str:
    """A body that is not in the contract's form, such as a proxy's page, on one line."""
    return " ".join(content.decode("utf-8", "replace").split())


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After, in seconds: a number, or the time of day that it names."""
    value = headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _read_extensions(raw: RawResponse) -> Response[frozenset[str]]:
    """Collect the extensions that a served document marks."""
    found: set[str] = set()
    if raw.status_code >= 500 or raw.status_code in (401, 403, 408, 429):
        raise client_errors.UndocumentedStatus(raw.status_code, headers=raw.headers, content=raw.content)
    try:
        pending: list[Any] = [json.loads(raw.content)] if raw.status_code == 200 else []
    except (ValueError, RecursionError):
        pending = []
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            members = cast("dict[str, Any]", part)
            mark = members.get(_EXTENSION_MARK)
            if isinstance(mark, str):
                found.add(mark)
            pending.extend(members.values())
        elif isinstance(part, list):
            pending.extend(cast("Iterable[Any]", part))
    return Response(raw.status_code, raw.headers, raw.content, frozenset(found))
