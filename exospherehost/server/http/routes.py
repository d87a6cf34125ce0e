"""The operations of the contract: what each takes from a request and what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from secrets import token_hex
from typing import Any

from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope

from exospherehost._rules.graph_check import check_fields
from exospherehost._rules.json_values import is_array
from exospherehost._rules.model import FieldIssue, GraphSpec
from exospherehost._rules.state_inputs import Entry
from exospherehost.server.domain.errors import Issue, ServiceError
from exospherehost.server.domain.ids import parse_state_id
from exospherehost.server.domain.records import EventCursor, JsonObject
from exospherehost.server.http import response_bodies
from exospherehost.server.http.authentication import Authenticator, read_access
from exospherehost.server.http.endpoint import Endpoint, Operation, Reply
from exospherehost.server.http.event_stream import EventStream
from exospherehost.server.http.path_parameters import parse_number_path, parse_run_path, parse_state_path
from exospherehost.server.http.report_batches import ReadReport, read_reports
from exospherehost.server.http.request_bodies import reads
from exospherehost.server.http.request_headers import Wait, read_idempotency_key, read_last_event_id, read_wait
from exospherehost.server.http.responses import not_found
from exospherehost.server.security.access import Access, forbidden
from exospherehost.server.service.claims import Claim
from exospherehost.server.service.nodes import Registration
from exospherehost.server.service.report_batches import Report, Result
from exospherehost.server.service.service import Service
from exospherehost.server.service.state_reports import Target
from exospherehost.server.service.triggers import Start
from exospherehost.server.service.waiting_claims import Patience
from exospherehost_client import models
from exospherehost_client.extensions import (
    CANCEL,
    CLAIM_TOKEN,
    CONTEXT,
    IDEMPOTENCY,
    LEASE,
    TRIGGER_STATES,
    WAIT,
    WARNINGS,
)
from exospherehost_client.limits import CLAIM_NODES_MAX_ITEMS, PAGE_MAX, PAGE_SIZE_MAX
from exospherehost_client.operations import OPERATIONS


def build_routes(
    service: Service, authenticator: Authenticator, *, extensions: frozenset[str], strict: bool, largest_body: int
) -> list[BaseRoute]:
    """Return the routes of all operations.

    Args:
        service: Carries the operations out.
        authenticator: Admits requests by their API key.
        extensions: The extensions to offer.
        strict: Whether to refuse what the hosted service would refuse or treat otherwise.
        largest_body: The most bytes that a request's body may have.
    """
    table = _Operations(service, extensions, strict=strict).table()
    # Without this, the list of runs would take the path of this extension for a malformed page of its own.
    events = OPERATIONS["stream_run_events"].path
    no_events = [] if events in table else [Route(events, not_found)]
    return [
        *no_events,
        *(
            Route(path, Endpoint(operations, authenticator=authenticator, largest_body=largest_body))
            for path, operations in table.items()
        ),
    ]


def _namespace(values: Mapping[str, str], _issues: list[Issue]) -> str:
    return values["namespace_name"]


def _graph(values: Mapping[str, str], _issues: list[Issue]) -> tuple[str, str]:
    return values["namespace_name"], values["graph_name"]


def _state(values: Mapping[str, str], issues: list[Issue]) -> tuple[str, str]:
    return values["namespace_name"], parse_state_path(values, "state_id", issues)


def _page(values: Mapping[str, str], issues: list[Issue]) -> tuple[str, int, int]:
    page = parse_number_path(values, "page", issues, largest=PAGE_MAX)
    size = parse_number_path(values, "size", issues, largest=PAGE_SIZE_MAX)
    return values["namespace_name"], page, size


def _run(values: Mapping[str, str], _issues: list[Issue]) -> tuple[str, str]:
    return values["namespace_name"], values["run_id"]


def _known_run(values: Mapping[str, str], issues: list[Issue]) -> tuple[str, str]:
    return values["namespace_name"], parse_run_path(values, "run_id", issues)


def _run_state(values: Mapping[str, str], issues: list[Issue]) -> tuple[str, str, str, str]:
    state_id = parse_state_path(values, "node_id", issues)
    return values["namespace_name"], values["graph_name"], values["run_id"], state_id


def _check_trigger(value: Any) -> list[FieldIssue]:
    if value.get("states") is not None and value.get("inputs"):
        return [FieldIssue("value_error", ("body", "states"), "Give either states or inputs, not both")]
    return []


def _check_renewal(value: Any) -> list[FieldIssue]:
    state_ids = value.get("state_ids")
    if not is_array(state_ids):
        return []
    return [
        FieldIssue("string_pattern_mismatch", ("body", "state_ids", number), "A state id has 24 hexadecimal digits")
        for number, state_id in enumerate(state_ids)
        if isinstance(state_id, str) and parse_state_id(state_id) is None
    ]


def _check_claim(value: dict[str, Any]) -> list[FieldIssue]:
    names = value.get("nodes")
    if not is_array(names) or len(names) <= CLAIM_NODES_MAX_ITEMS or not all(isinstance(name, str) for name in names):
        return []
    message = f"A claim names at most {CLAIM_NODES_MAX_ITEMS} nodes, not {len(names):,}: claim in several requests"
    return [FieldIssue("too_long", ("body", "nodes"), message)]


def _nothing(_scope: Scope, _receive: Receive, _issues: list[Issue]) -> None:
    return None


class _Operations:
    """One method for each operation: the request's parts in, the response's model out."""

    def __init__(self, service: Service, extensions: frozenset[str], *, strict: bool) -> None:
        self._service = service
        self._extensions = extensions
        self._strict = strict

    def table(self) -> dict[str, dict[str, Operation]]:
        """Return the operations by path and method, as the contract places them, the busiest paths first."""
        table: dict[str, dict[str, Operation]] = {}
        for name, operation in self._by_name().items():
            place = OPERATIONS[name]
            if place.extension is None or place.extension in self._extensions:
                table.setdefault(place.path, {})[place.method] = replace(operation, status=place.status)
        return table

    def _by_name(self) -> dict[str, Operation]:
        with_entries = TRIGGER_STATES in self._extensions
        trigger = reads(
            models.TriggerGraphRequest,
            check=_check_trigger if with_entries else None,
            # A strict server reads them, to say that it refuses them.
            ignored=frozenset() if with_entries or self._strict else frozenset({"states"}),
        )
        claim = reads(
            models.EnqueueStatesRequest,
            check=_check_claim,
            ignored=frozenset() if LEASE in self._extensions else frozenset({"lease_ms"}),
        )
        key = read_idempotency_key if IDEMPOTENCY in self._extensions else _nothing
        wait = read_wait if WAIT in self._extensions else _nothing
        graph = reads(models.UpsertGraphRequest, check=check_fields)
        with_tokens = CLAIM_TOKEN in self._extensions
        about_a_claim = frozenset[str]() if with_tokens else frozenset({"claim_token", "claim_tokens"})
        return {
            "trigger_graph": Operation(self.trigger_graph, _graph, trigger, key),
            "enqueue_states": Operation(self.enqueue_states, _namespace, claim, wait),
            "report_executed": Operation(
                self.report_executed, _state, reads(models.ExecutedRequest, ignored=about_a_claim)
            ),
            "report_errored": Operation(
                self.report_errored, _state, reads(models.ErroredRequest, ignored=about_a_claim)
            ),
            "get_state_secrets": Operation(self.get_state_secrets, _state),
            "prune_state": Operation(self.prune_state, _state, reads(models.PruneRequest, ignored=about_a_claim)),
            "requeue_state": Operation(self.requeue_state, _state, reads(models.RequeueRequest, ignored=about_a_claim)),
            "retry_state": Operation(self.retry_state, _state, reads(models.ManualRetryRequest)),
            "get_graph": Operation(self.get_graph, _graph),
            "upsert_graph": Operation(self.upsert_graph, _graph, graph, read_access, heavy=True),
            "delete_graph": Operation(self.delete_graph, _graph),
            "list_graphs": Operation(self.list_graphs, _namespace),
            "list_nodes": Operation(self.list_nodes, _namespace),
            "register_nodes": Operation(self.register_nodes, _namespace, reads(models.RegisterNodesRequest)),
            # Before the list of runs, whose path is like theirs.
            "cancel_run": Operation(self.cancel_run, _known_run),
            "stream_run_events": Operation(self.stream_run_events, _known_run, extras=read_last_event_id),
            "list_runs": Operation(self.list_runs, _page),
            "get_run_graph": Operation(self.get_run_graph, _run),
            "get_state": Operation(self.get_state, _run_state),
            "list_namespaces": Operation(self.list_namespaces, extras=read_access),
            "get_health": Operation(self.get_health, public=True),
            "renew_leases": Operation(
                self.renew_leases,
                _namespace,
                reads(models.RenewLeasesRequest, check=_check_renewal, ignored=about_a_claim),
            ),
            "report_states": Operation(self.report_states, _namespace, partial(read_reports, with_tokens=with_tokens)),
        }

    def _warnings(self, texts: Sequence[str]) -> dict[str, Any]:
        # Only what is set is sent.
        return {"warnings": list(texts)} if texts and WARNINGS in self._extensions else {}

    async def get_health(self, _path: None, _body: None) -> models.HealthResponse:
        return models.HealthResponse(message="OK")

    async def list_namespaces(self, _path: None, _body: None, access: Access) -> models.ListNamespacesResponse:
        found = [namespace for namespace in await self._service.list_namespaces() if access.allows(namespace)]
        return models.ListNamespacesResponse(namespaces=found, count=len(found))

    async def register_nodes(self, namespace: str, body: models.RegisterNodesRequest) -> models.RegisterNodesResponse:
        offered = [
            Registration(node.name, node.inputs_schema, node.outputs_schema, node.secrets) for node in body.nodes
        ]
        warnings = self._warnings(await self._service.register_nodes(namespace, body.runtime_name, offered))
        return models.RegisterNodesResponse(runtime_name=body.runtime_name, registered_nodes=body.nodes, **warnings)

    async def list_nodes(self, namespace: str, _body: None) -> models.ListNodesResponse:
        return await asyncio.to_thread(response_bodies.nodes, namespace, await self._service.list_nodes(namespace))

    async def upsert_graph(
        self, path: tuple[str, str], body: models.UpsertGraphRequest, access: Access
    ) -> models.GraphResponse:
        namespace, name = path
        for node in body.nodes:
            # Its states would be run by, and shown to, those who work in that namespace.
            if not access.allows(node.namespace):
                raise forbidden(node.namespace)
        # Absent sections become their defaults; of the secrets only the names go on into the graph.
        document = body.model_dump(mode="json", exclude_unset=True, exclude={"secrets"})
        graph = GraphSpec.from_request(name, namespace, {**document, "secrets": list(body.secrets)})
        return response_bodies.graph(await self._service.upsert_graph(graph, body.secrets))

    async def get_graph(self, path: tuple[str, str], _body: None) -> models.GraphResponse:
        return response_bodies.graph(await self._service.get_graph(*path))

    async def list_graphs(self, namespace: str, _body: None) -> models.ListGraphsResponse:
        return await asyncio.to_thread(response_bodies.graphs, namespace, await self._service.list_graphs(namespace))

    async def delete_graph(self, path: tuple[str, str], _body: None) -> models.DeleteGraphResponse:
        cancelled = await self._service.delete_graph(*path)
        return models.DeleteGraphResponse(name=path[1], cancelled_runs=cancelled)

    async def trigger_graph(
        self, path: tuple[str, str], body: models.TriggerGraphRequest, key: str | None
    ) -> models.TriggerGraphResponse:
        if body.states is not None and self._strict:
            raise ServiceError(400, "The hosted service takes no notice of states (strict mode): give inputs instead")
        entries = None if body.states is None else [Entry(entry.identifier, entry.inputs) for entry in body.states]
        start = Start(body.inputs, body.store, body.start_delay, entries)
        run = await self._service.trigger_graph(*path, start, key=key)
        if entries is None:
            warnings = self._warnings(run.warnings)
            return models.TriggerGraphResponse(status=models.StateStatus.CREATED, run_id=run.run_id, **warnings)
        states = [
            models.TriggeredState(
                state_id=state.id,
                identifier=state.identifier,
                node_name=state.node_name,
                inputs=dict(state.inputs),
            )
            for state in run.states
        ]
        return models.TriggerGraphResponse(status=models.StateStatus.CREATED, run_id=run.run_id, states=states)

    async def enqueue_states(
        self, namespace: str, body: models.EnqueueStatesRequest, wait: Wait | None
    ) -> JsonObject | Reply:
        claimed = await self._service.claim_states(
            Claim(
                namespace,
                body.nodes,
                body.batch_size,
                body.lease_ms,
                token_hex(8) if CLAIM_TOKEN in self._extensions else None,
            ),
            None if wait is None else Patience(wait.seconds * 1_000, wait.gone),
        )
        response = response_bodies.claimed(namespace, claimed, with_context=CONTEXT in self._extensions)
        return response if wait is None else Reply(response, wait.applied())

    async def renew_leases(self, namespace: str, body: models.RenewLeasesRequest) -> models.RenewLeasesResponse:
        state_ids = [state_id.lower() for state_id in body.state_ids]
        tokens = {state_id.lower(): token for state_id, token in (body.claim_tokens or {}).items()}
        held = await self._service.renew_leases(namespace, state_ids, body.lease_ms, tokens)
        return response_bodies.leases(held)

    async def report_states(self, namespace: str, read: Sequence[ReadReport]) -> JsonObject:
        fit = [entry.report for entry in read if isinstance(entry.report, Report)]
        taken = iter(await self._service.report_states(namespace, fit))
        return response_bodies.report_results(
            [(entry.state_id, entry.report if isinstance(entry.report, Result) else next(taken)) for entry in read]
        )

    async def report_executed(self, path: tuple[str, str], body: models.ExecutedRequest) -> models.ExecutedResponse:
        await self._service.report_executed(Target(*path, body.claim_token), body.outputs)
        return models.ExecutedResponse(status=models.StateStatus.EXECUTED)

    async def report_errored(self, path: tuple[str, str], body: models.ErroredRequest) -> models.ErroredResponse:
        retry_created = await self._service.report_errored(Target(*path, body.claim_token), body.error)
        return models.ErroredResponse(status=models.StateStatus.ERRORED, retry_created=retry_created)

    async def prune_state(self, path: tuple[str, str], body: models.PruneRequest) -> models.SignalResponse:
        signal = await self._service.prune_state(Target(*path, body.claim_token), body.data)
        return models.SignalResponse(enqueue_after=signal.enqueue_after, status=signal.status)

    async def requeue_state(self, path: tuple[str, str], body: models.RequeueRequest) -> models.SignalResponse:
        signal = await self._service.requeue_state(Target(*path, body.claim_token), body.enqueue_after)
        return models.SignalResponse(enqueue_after=signal.enqueue_after, status=signal.status)

    async def retry_state(self, path: tuple[str, str], body: models.ManualRetryRequest) -> models.ManualRetryResponse:
        new_id = await self._service.retry_state(*path, body.fanout_id)
        return models.ManualRetryResponse(id=new_id, status=models.StateStatus.CREATED)

    async def get_state_secrets(self, path: tuple[str, str], _body: None) -> models.SecretsResponse:
        return models.SecretsResponse(secrets=await self._service.get_state_secrets(*path))

    async def list_runs(self, path: tuple[str, int, int], _body: None) -> JsonObject:
        found = await self._service.list_runs(*path)
        return await asyncio.to_thread(response_bodies.runs, *path, found, with_cancellation=CANCEL in self._extensions)

    async def cancel_run(self, path: tuple[str, str], _body: None) -> models.CancelRunResponse:
        return response_bodies.cancelled(await self._service.cancel_run(*path))

    async def stream_run_events(self, path: tuple[str, str], _body: None, after: EventCursor) -> EventStream:
        return EventStream(await self._service.follow_run(*path, after))

    async def get_run_graph(self, path: tuple[str, str], _body: None) -> models.RunGraphResponse:
        view = await self._service.get_run_graph(*path)
        return await asyncio.to_thread(response_bodies.run_graph, view, with_cancellation=CANCEL in self._extensions)

    async def get_state(self, path: tuple[str, str, str, str], _body: None) -> models.StateDetail:
        return response_bodies.state(await self._service.get_state(*path))
