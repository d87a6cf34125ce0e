"""What a state manager asks of the service: graphs, triggers, nodes, runs and states."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing

from exospherehost._errors import APIConnectionError, APIResponseError, TriggerOutcomeUnknownError
from exospherehost._redaction import validated_json
from exospherehost._transport.carrier import StreamingCarrier
from exospherehost._transport.retry import Backoff, is_transient, never_reached_the_service
from exospherehost._transport.session import Session
from exospherehost._transport.tolerant_reading import Needed, tolerant
from exospherehost_client import models
from exospherehost_client.api.graphs import delete_graph, get_graph, list_graphs, trigger_graph, upsert_graph
from exospherehost_client.api.nodes import list_nodes
from exospherehost_client.api.runs import cancel_run, get_run_graph, get_state, list_runs, stream_run_events
from exospherehost_client.api.states import retry_state
from exospherehost_client.types import Response

# What each call needs of its answer; the rest may be missing, and one item that cannot be read hides no other.
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


class ManagerSession(Session):
    """A session with the operations of a state manager."""

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
        return await self.send(request, read, may_resend=is_transient, backoff=backoff)

    async def upsert_graph(self, graph_name: str, body: models.UpsertGraphRequest) -> Response[models.GraphResponse]:
        """Create or replace a graph template; sent again after a transient fault, since it is an upsert."""
        request = upsert_graph.build_request(self._namespace, graph_name, body=body)
        return await self.send(request, _READ_UPSERT, may_resend=is_transient, protect=body.secrets.values())

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
            return await self.send(request, _READ_TRIGGER, may_resend=may_resend)
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
        return (await self.send(request, delete_graph.parse_response, may_resend=never_reached_the_service)).parsed

    async def list_graphs(self) -> list[models.GraphListItem]:
        """Read all graph templates."""
        request = list_graphs.build_request(self._namespace)
        return (await self.send(request, _READ_GRAPHS, may_resend=is_transient)).parsed.templates

    async def list_nodes(self) -> list[models.RegisteredNode]:
        """Read all registered nodes."""
        request = list_nodes.build_request(self._namespace)
        return (await self.send(request, _READ_NODES, may_resend=is_transient)).parsed.nodes

    async def list_runs(self, page: int, size: int, backoff: Backoff | None = None) -> models.ListRunsResponse:
        """Read one page of the runs, newest first; pages count from 1."""
        request = list_runs.build_request(self._namespace, page, size)
        return (await self.send(request, _READ_RUNS, may_resend=is_transient, backoff=backoff)).parsed

    async def get_run_graph(self, run_id: str, backoff: Backoff | None = None) -> models.RunGraphResponse:
        """Read the states of a run."""
        request = get_run_graph.build_request(self._namespace, run_id)
        response = await self.send(request, _READ_RUN_GRAPH, may_resend=is_transient, backoff=backoff)
        return response.parsed

    async def get_state(self, graph_name: str, run_id: str, state_id: str) -> models.StateDetail:
        """Read one state in full."""
        request = get_state.build_request(self._namespace, graph_name, run_id, state_id)
        return (await self.send(request, get_state.parse_response, may_resend=is_transient)).parsed

    async def retry_state(self, state_id: str, fanout_id: str) -> models.ManualRetryResponse:
        """Make a new state in place of another; sent again only where nothing has arrived."""
        body = models.ManualRetryRequest(fanout_id=fanout_id)
        request = retry_state.build_request(self._namespace, state_id, body=body)
        return (await self.send(request, retry_state.parse_response, may_resend=never_reached_the_service)).parsed

    async def cancel_run(self, run_id: str) -> models.CancelRunResponse:
        """Cancel a run, on a service with `cancel`; what is cancelled can be cancelled again."""
        request = cancel_run.build_request(self._namespace, run_id)
        return (await self.send(request, cancel_run.parse_response, may_resend=is_transient)).parsed

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
                self.parsed(stream.head, stream_run_events.parse_response, request, self._redact)
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
