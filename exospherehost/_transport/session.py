"""The only caller of the generated operations: retries, status to error, failover, redaction, extensions."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from exospherehost._config import DEFAULT_API_VERSION, VERSION, ConnectionSettings
from exospherehost._errors import (
    APIConnectionError,
    APIError,
    APIResponseError,
    AuthenticationError,
    BadRequestError,
    TriggerOutcomeUnknownError,
)
from exospherehost._redaction import Message, Redactor, validated_json
from exospherehost._transport.carrier import Carrier, CarrierFactory, StreamingCarrier
from exospherehost._transport.extensions import ASK_AGAIN_SECONDS, DOCUMENT, ServiceMemory, read_extensions
from exospherehost._transport.responses import error_of
from exospherehost._transport.retry import Backoff, is_transient, never_reached_the_service
from exospherehost._transport.tolerant_reading import Needed, OnUnreadable, tolerant
from exospherehost_client import errors as client_errors
from exospherehost_client import models
from exospherehost_client.api.graphs import delete_graph, get_graph, list_graphs, trigger_graph, upsert_graph
from exospherehost_client.api.nodes import list_nodes, register_nodes
from exospherehost_client.api.runs import cancel_run, get_run_graph, get_state, list_runs, stream_run_events
from exospherehost_client.api.states import (
    enqueue_states,
    get_state_secrets,
    prune_state,
    renew_leases,
    report_errored,
    report_executed,
    report_states,
    requeue_state,
    retry_state,
)
from exospherehost_client.types import RawResponse, Request, Response

if TYPE_CHECKING:
    from exospherehost_client import bodies

logger = logging.getLogger(__name__)

T = TypeVar("T")


_DEFAULT_PREFIX = f"/{DEFAULT_API_VERSION}/"
# Without leases a state that is given up stays QUEUED for ever, so the service's absence is sat out.
_FOR_A_CLAIMED_STATE = Backoff(attempts=1_000, max_elapsed=600.0)


# What each call needs of its answer; the rest may be missing, and one item that cannot be read hides no other.
_NEEDED_OF_CLAIM = Needed(("states",), "states", ("state_id", "node_name", "identifier", "inputs"))
_READ_REGISTRATION = tolerant(register_nodes.parse_response, models.RegisterNodesResponse, Needed())
_READ_RENEWAL = tolerant(
    renew_leases.parse_response, models.RenewLeasesResponse, Needed(("held",), "held", ("state_id",))
)
_READ_UPSERT = tolerant(upsert_graph.parse_response, models.GraphResponse, Needed(("validation_status",)))
_READ_TRIGGER = tolerant(trigger_graph.parse_response, models.TriggerGraphResponse, Needed(("run_id",), "states"))
_READ_GRAPHS = tolerant(list_graphs.parse_response, models.ListGraphsResponse, Needed(("templates",), "templates"))
_READ_NODES = tolerant(list_nodes.parse_response, models.ListNodesResponse, Needed(("nodes",), "nodes"))
_READ_RUNS = tolerant(list_runs.parse_response, models.ListRunsResponse, Needed(("runs", "total"), "runs"))
_READ_RUN_GRAPH = tolerant(
    get_run_graph.parse_response,
    models.RunGraphResponse,
    Needed(
        ("nodes", "graph_name", "node_count", "execution_summary"),
        "nodes",
        ("id", "node_name", "identifier", "status"),
    ),
)


def _may_pass(error: APIError) -> bool:
    """Tell whether reading again may help: besides transient faults, a key may be put right, a proxy's page go."""
    return is_transient(error) or isinstance(error, APIResponseError | AuthenticationError)


class Session:
    """Speaks to the service over the carriers that it makes; an async context manager.

    It belongs to the event loop that it was entered in.

    Args:
        settings: where the service is.
        make_carrier: makes what carries the requests, one for each service that the settings name.
        memory: shared by the sessions of one owner.
        backoff: how to try again what may be sent again.
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        make_carrier: CarrierFactory,
        memory: ServiceMemory | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self._settings = settings
        self._memory = memory or ServiceMemory()
        self._backoff = backoff or Backoff()
        self._redact = Redactor(settings.protected_values())
        self._namespace = settings.namespace
        self._carriers = [make_carrier(settings, uri, f"exospherehost-python/{VERSION}") for uri in settings.uris]

    @property
    def carrier(self) -> Carrier:
        """The carrier to the service in use."""
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
        """Register nodes, once: who calls decides whether to send it again, since it is an upsert."""
        request = register_nodes.build_request(self._namespace, body=body)
        return (await self._send(request, _READ_REGISTRATION)).parsed

    async def claim(
        self,
        nodes: list[str],
        batch_size: int,
        *,
        lease_ms: int | None = None,
        wait: int | None = None,
        on_unreadable: OnUnreadable | None = None,
    ) -> list[models.ClaimedState]:
        """Claim due states, once: who calls decides when to claim again.

        Args:
            nodes: names of nodes.
            batch_size: the most states.
            lease_ms: with the extension `lease`, how long the claim holds, in milliseconds.
            wait: with the extension `wait`, how long the service may hold the request, in seconds.
            on_unreadable: called with each state that cannot be read. Default: it is skipped with a warning.
        """
        body = models.EnqueueStatesRequest(nodes=nodes, batch_size=batch_size)
        if lease_ms is not None:
            body.lease_ms = lease_ms
        prefer = None if wait is None else f"wait={wait}"
        request = enqueue_states.build_request(self._namespace, body=body, prefer=prefer)
        read = tolerant(enqueue_states.parse_response, models.EnqueueStatesResponse, _NEEDED_OF_CLAIM, on_unreadable)
        return (await self._send(request, read)).parsed.states

    async def renew(self, state_ids: list[str], lease_ms: int, claim_tokens: dict[str, str]) -> set[str]:
        """Renew leases, once; returns the ids of the states that are still held.

        Args:
            state_ids: the states.
            lease_ms: the new length of the leases, milliseconds.
            claim_tokens: the tokens of the claims that hold them, by the states' ids, where the service gives any.
        """
        body = models.RenewLeasesRequest(state_ids=state_ids, lease_ms=lease_ms)
        if claim_tokens:
            body.claim_tokens = claim_tokens
        request = renew_leases.build_request(self._namespace, body=body)
        return {lease.state_id for lease in (await self._send(request, _READ_RENEWAL)).parsed.held}

    async def get_secrets(self, state_id: str) -> dict[str, str]:
        """Read the secrets for executing a state."""
        request = get_state_secrets.build_request(self._namespace, state_id)
        response = await self._send(
            request, get_state_secrets.parse_response, may_resend=_may_pass, backoff=_FOR_A_CLAIMED_STATE
        )
        return response.parsed.secrets

    async def report(self, report: bodies.StateReport) -> bool | None:
        """Send one report, once: the caller decides whether to send it again.

        Returns:
            For an error, whether the service tries the state again; None where it does not say.
        """
        namespace, state_id = self._namespace, report["state_id"]
        if "executed" in report:
            request = report_executed.build_request(namespace, state_id, body=report["executed"])
            await self._send(request, report_executed.parse_response)
        elif "errored" in report:
            request = report_errored.build_request(namespace, state_id, body=report["errored"])
            return (await self._send(request, report_errored.parse_response)).parsed.retry_created
        elif "prune" in report:
            request = prune_state.build_request(namespace, state_id, body=report["prune"])
            await self._send(request, prune_state.parse_response)
        elif "requeue" in report:
            request = requeue_state.build_request(namespace, state_id, body=report["requeue"])
            await self._send(request, requeue_state.parse_response)
        else:
            raise ValueError(f"the report of state {state_id} has no outcome")
        return None

    async def report_together(self, reports: list[bodies.StateReport]) -> list[models.StateReportResult]:
        """Send reports in one request, once, on a service with `batch-report`; one result each, in order."""
        request = report_states.build_request(self._namespace, body={"reports": reports})
        results = (await self._send(request, report_states.parse_response)).parsed.results
        if len(results) != len(reports):
            raise APIResponseError(f"{len(reports)} reports were answered with {len(results)} results")
        return results

    # ---- graphs, nodes and runs: what a state manager calls --------------------------------------

    async def get_graph(
        self, graph_name: str, *, needed: Collection[str] = ("nodes",), backoff: Backoff | None = None
    ) -> Response[models.GraphResponse]:
        """Read a graph template.

        Args:
            graph_name: the graph.
            needed: names of the fields that the caller reads; others may be missing.
            backoff: how to try again. Default: the session's.
        """
        request = get_graph.build_request(self._namespace, graph_name)
        read = tolerant(get_graph.parse_response, models.GraphResponse, Needed(needed))
        return await self._send(request, read, may_resend=is_transient, backoff=backoff)

    async def upsert_graph(self, graph_name: str, body: models.UpsertGraphRequest) -> Response[models.GraphResponse]:
        """Create or replace a graph template; sent again after a transient fault, since it is an upsert."""
        request = upsert_graph.build_request(self._namespace, graph_name, body=body)
        return await self._send(request, _READ_UPSERT, may_resend=is_transient, protect=body.secrets.values())

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
            return await self._send(request, _READ_TRIGGER, may_resend=may_resend)
        except APIConnectionError as error:
            if not error.sent:
                raise
            raise TriggerOutcomeUnknownError(
                f"{error}; the run of graph {graph_name!r} may exist: look at the namespace's runs before "
                "triggering again"
            ) from error

    async def delete_graph(self, graph_name: str) -> models.DeleteGraphResponse:
        """Delete a graph, on a service with `delete-graph`; sent again only where nothing has arrived."""
        request = delete_graph.build_request(self._namespace, graph_name)
        return (await self._send(request, delete_graph.parse_response, may_resend=never_reached_the_service)).parsed

    async def list_graphs(self) -> list[models.GraphListItem]:
        """Read all graph templates."""
        request = list_graphs.build_request(self._namespace)
        return (await self._send(request, _READ_GRAPHS, may_resend=is_transient)).parsed.templates

    async def list_nodes(self) -> list[models.RegisteredNode]:
        """Read all registered nodes."""
        request = list_nodes.build_request(self._namespace)
        return (await self._send(request, _READ_NODES, may_resend=is_transient)).parsed.nodes

    async def list_runs(self, page: int, size: int, backoff: Backoff | None = None) -> models.ListRunsResponse:
        """Read one page of the runs, newest first; pages count from 1."""
        request = list_runs.build_request(self._namespace, page, size)
        return (await self._send(request, _READ_RUNS, may_resend=is_transient, backoff=backoff)).parsed

    async def get_run_graph(self, run_id: str, backoff: Backoff | None = None) -> models.RunGraphResponse:
        """Read the states of a run."""
        request = get_run_graph.build_request(self._namespace, run_id)
        response = await self._send(request, _READ_RUN_GRAPH, may_resend=is_transient, backoff=backoff)
        return response.parsed

    async def get_state(self, graph_name: str, run_id: str, state_id: str) -> models.StateDetail:
        """Read one state in full."""
        request = get_state.build_request(self._namespace, graph_name, run_id, state_id)
        return (await self._send(request, get_state.parse_response, may_resend=is_transient)).parsed

    async def retry_state(self, state_id: str, fanout_id: str) -> models.ManualRetryResponse:
        """Make a new state in place of another; sent again only where nothing has arrived."""
        body = models.ManualRetryRequest(fanout_id=fanout_id)
        request = retry_state.build_request(self._namespace, state_id, body=body)
        return (await self._send(request, retry_state.parse_response, may_resend=never_reached_the_service)).parsed

    async def cancel_run(self, run_id: str) -> models.CancelRunResponse:
        """Cancel a run, on a service with `cancel`; what is cancelled can be cancelled again."""
        request = cancel_run.build_request(self._namespace, run_id)
        return (await self._send(request, cancel_run.parse_response, may_resend=is_transient)).parsed

    async def run_events(self, run_id: str, last_event_id: str | None) -> AsyncGenerator[models.RunEvent | None, None]:
        """Yield None once the stream is open, and then the events of a run, on a service with `events`; asks once.

        Args:
            run_id: the run.
            last_event_id: begin after this event; None begins with the run.

        Raises:
            APIError: there was no stream, or it broke off, or it holds what is no event.
        """
        request = stream_run_events.build_request(self._namespace, run_id, last_event_id=last_event_id)
        request = self._versioned(request)
        index = self._memory.current
        carrier = self._carriers[index]
        if not isinstance(carrier, StreamingCarrier):
            raise TypeError(f"{type(carrier).__name__} carries no streams")

        def unreadable(problem: str) -> APIResponseError:
            return APIResponseError(f"GET {request.path} sent an event that cannot be read: {problem}")

        try:
            async with carrier.stream(request) as stream:
                self._parsed(stream.head, stream_run_events.parse_response, request, self._redact)
                if not stream.is_open:
                    raise APIResponseError(f"GET {request.path} answered with JSON in place of a stream of events")
                yield None
                async with aclosing(stream.data()) as events:
                    async for data in events:
                        yield validated_json(models.RunEvent, data, unreadable)
        except APIConnectionError as error:
            self._move_on(index)
            failure = self._lost(error, request, index, self._redact)
        else:
            return
        raise failure

    async def extensions(self, backoff: Backoff | None = None) -> frozenset[str]:
        """Tell which extensions the service has, from the document that it serves.

        Asked once for each service. An answer that says nothing counts as "none" and is remembered;
        a transient fault is raised and not remembered.

        Args:
            backoff: how to ask again after a transient fault. Default: the session's.

        Raises:
            APIError: the service could not be asked.
        """
        uri = self._settings.uris[self._memory.current]
        known = self._memory.extensions.get(uri)
        return known if known is not None else await self._ask_for_extensions(uri, is_transient, backoff)

    async def _ask_for_extensions(
        self, uri: str, may_resend: Callable[[APIError], bool], backoff: Backoff | None = None
    ) -> frozenset[str]:
        found = (await self._send(DOCUMENT, read_extensions, may_resend=may_resend, backoff=backoff)).parsed
        self._memory.extensions[uri] = found
        return found

    async def learn_extensions(self) -> None:
        """Ask which extensions the service has, and again after transient faults; goes on without in the end."""
        await self._try_to_learn(may_resend=is_transient)

    async def _try_to_learn(self, may_resend: Callable[[APIError], bool]) -> frozenset[str]:
        uri = self._settings.uris[self._memory.current]
        try:
            return await self._ask_for_extensions(uri, may_resend)
        except APIError as error:
            self._memory.asked_in_vain = time.monotonic()
            logger.debug("event=extensions_unknown reason=%s", error)
            return frozenset()

    async def offers(self, extension: str) -> bool:
        """Tell whether the service has an extension; no, while it cannot be asked."""
        uri = self._settings.uris[self._memory.current]
        known = self._memory.extensions.get(uri)
        if known is None:
            if time.monotonic() - self._memory.asked_in_vain < ASK_AGAIN_SECONDS:
                return False
            # Once: work goes on without them meanwhile.
            known = await self._try_to_learn(may_resend=lambda _: False)
        return extension in known

    @property
    def most_requests(self) -> int:
        """How many requests are under way at once; further ones wait."""
        return self.carrier.most_requests

    def is_known_to_offer(self, extension: str) -> bool:
        """Tell whether the service is known to have an extension, without asking it."""
        return extension in self._memory.extensions.get(self._settings.uris[self._memory.current], ())

    def forget_extensions(self) -> None:
        """Ask again: the service answered 404 or 405 to what it said it had."""
        self._memory.extensions.pop(self._settings.uris[self._memory.current], None)

    # ---- sending -------------------------------------------------------------------------------

    async def _send(
        self,
        request: Request,
        parse: Callable[[RawResponse], Response[T]],
        *,
        may_resend: Callable[[APIError], bool] = lambda _: False,
        protect: Iterable[str] = (),
        backoff: Backoff | None = None,
    ) -> Response[T]:
        request = self._versioned(request)
        redact = Redactor((*self._settings.protected_values(), *protect)) if protect else self._redact
        started = time.monotonic()
        attempt = 0
        may_have_arrived = False
        while True:
            attempt += 1
            try:
                return self._parsed(await self._carry(request, redact), parse, request, redact)
            except APIError as error:
                if isinstance(error, APIConnectionError):
                    # What an earlier attempt has sent is not undone by one that has reached nothing.
                    error.sent = error.sent or may_have_arrived
                may_have_arrived = may_have_arrived or not never_reached_the_service(error)
                if isinstance(error, BadRequestError) or not may_resend(error):
                    raise
                delay = (backoff or self._backoff).delay(attempt, time.monotonic() - started, error)
                if delay is None:
                    raise
                logger.debug(
                    "event=resend method=%s path=%s attempt=%d delay=%.3f", request.method, request.path, attempt, delay
                )
            await asyncio.sleep(delay)

    @staticmethod
    def _parsed(
        raw: RawResponse, parse: Callable[[RawResponse], Response[T]], request: Request, redact: Redactor
    ) -> Response[T]:
        try:
            return parse(raw)
        except client_errors.ApiError as error:
            # Raised outside of this block: the generated error holds the body, and a context would keep it.
            failure = error_of(error, request, redact)
        raise failure

    async def _carry(self, request: Request, redact: Redactor) -> RawResponse:
        """Send to the service in use, moving on to the next one when it cannot be reached."""
        tried = 0
        while True:
            index = self._memory.current
            try:
                return await self._carriers[index].send(request)
            except APIConnectionError as error:
                tried += 1
                self._move_on(index)
                if not error.sent and tried < len(self._carriers):
                    continue
                failure = self._lost(error, request, index, redact)
            raise failure

    def _move_on(self, index: int) -> None:
        # Another request may have moved on already.
        if self._memory.current == index:
            self._memory.current = (index + 1) % len(self._carriers)

    def _lost(self, error: APIConnectionError, request: Request, index: int, redact: Redactor) -> APIConnectionError:
        uri = self._settings.uris[index]
        where = f"{request.method} {request.path}"
        text = redact(Message("{}: no response from the state manager at {} ({})", where, uri, error))
        return type(error)(text, sent=error.sent)

    def _versioned(self, request: Request) -> Request:
        if self._settings.api_version == DEFAULT_API_VERSION or not request.path.startswith(_DEFAULT_PREFIX):
            return request
        path = f"/{self._settings.api_version}/{request.path.removeprefix(_DEFAULT_PREFIX)}"
        return dataclasses.replace(request, path=path)
