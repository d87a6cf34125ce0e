"""The operations of the contract: what each takes from a request and what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.routing import BaseRoute, Route

from exospherehost.server import views
from exospherehost.server.answers import not_found
from exospherehost.server.bodies import parse_number_path, parse_state_path
from exospherehost.server.endpoint import Endpoint, Operation
from exospherehost.server.errors import Issue, ServiceError
from exospherehost.server.rules.graph_check import check_fields
from exospherehost.server.rules.inputs import Entry
from exospherehost.server.rules.model import FieldIssue, GraphSpec
from exospherehost.server.service import Service
from exospherehost.server.service.nodes import Registration
from exospherehost.server.service.triggering import Start
from exospherehost.server.settings import ServerSettings
from exospherehost_client import models

_LARGEST_PAGE = 2**31 - 1
_LARGEST_SIZE = 1_000
_NS = "/v0/namespace/{namespace_name}"


def build_routes(service: Service, settings: ServerSettings) -> list[BaseRoute]:
    """Return the routes of all operations that the settings offer."""
    table = _Operations(service, settings).table()
    # Without this, the list of runs would take the path of this extension for a malformed page of its own.
    events = Route(f"{_NS}/runs/{{run_id}}/events", not_found)
    return [
        events,
        *(
            Route(path, Endpoint(operations, api_key=settings.api_key, largest_body=settings.largest_body))
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
    page = parse_number_path(values, "page", issues, largest=_LARGEST_PAGE)
    size = parse_number_path(values, "size", issues, largest=_LARGEST_SIZE)
    return values["namespace_name"], page, size


def _run(values: Mapping[str, str], _issues: list[Issue]) -> tuple[str, str]:
    return values["namespace_name"], values["run_id"]


def _run_state(values: Mapping[str, str], issues: list[Issue]) -> tuple[str, str, str, str]:
    state_id = parse_state_path(values, "node_id", issues)
    return values["namespace_name"], values["graph_name"], values["run_id"], state_id


def _check_trigger(value: Any) -> list[FieldIssue]:
    if value.get("states") is not None and value.get("inputs"):
        return [FieldIssue("value_error", ("body", "states"), "Give either states or inputs, not both")]
    return []


class _Operations:
    """One method for each operation: the request's parts in, the response's model out."""

    def __init__(self, service: Service, settings: ServerSettings) -> None:
        self._service = service
        self._with_entries = "trigger-states" in settings.extensions
        self._strict = settings.strict

    def table(self) -> dict[str, dict[str, Operation]]:
        """Return the operations by path and method, the busiest paths first."""
        trigger = Operation(
            self.trigger_graph,
            _graph,
            models.TriggerGraphRequest,
            check=_check_trigger if self._with_entries else None,
            # A strict server reads them, to say that it refuses them.
            ignored=frozenset() if self._with_entries or self._strict else frozenset({"states"}),
        )
        state = f"{_NS}/state/{{state_id}}"
        return {
            f"{_NS}/states/enqueue": {"POST": Operation(self.enqueue_states, _namespace, models.EnqueueStatesRequest)},
            f"{state}/executed": {"POST": Operation(self.report_executed, _state, models.ExecutedRequest)},
            f"{state}/errored": {"POST": Operation(self.report_errored, _state, models.ErroredRequest)},
            f"{_NS}/graph/{{graph_name}}/trigger": {"POST": trigger},
            f"{state}/secrets": {"GET": Operation(self.get_state_secrets, _state)},
            f"{state}/prune": {"POST": Operation(self.prune_state, _state, models.PruneRequest)},
            f"{state}/re-enqueue-after": {"POST": Operation(self.requeue_state, _state, models.RequeueRequest)},
            f"{state}/manual-retry": {"POST": Operation(self.retry_state, _state, models.ManualRetryRequest)},
            f"{_NS}/graph/{{graph_name}}": {
                "GET": Operation(self.get_graph, _graph),
                "PUT": Operation(self.upsert_graph, _graph, models.UpsertGraphRequest, check=check_fields, status=201),
            },
            f"{_NS}/graphs/": {"GET": Operation(self.list_graphs, _namespace)},
            f"{_NS}/nodes/": {
                "GET": Operation(self.list_nodes, _namespace),
                "PUT": Operation(self.register_nodes, _namespace, models.RegisterNodesRequest),
            },
            f"{_NS}/runs/{{page}}/{{size}}": {"GET": Operation(self.list_runs, _page)},
            f"{_NS}/states/run/{{run_id}}/graph": {"GET": Operation(self.get_run_graph, _run)},
            f"{_NS}/graph/{{graph_name}}/run/{{run_id}}/node/{{node_id}}": {
                "GET": Operation(self.get_state, _run_state)
            },
            "/v0/namespaces": {"GET": Operation(self.list_namespaces)},
            "/health": {"GET": Operation(self.get_health, public=True)},
        }

    async def get_health(self, _path: None, _body: None) -> models.HealthResponse:
        return models.HealthResponse(status="ok")

    async def list_namespaces(self, _path: None, _body: None) -> models.ListNamespacesResponse:
        found = list(await self._service.list_namespaces())
        return models.ListNamespacesResponse(namespaces=found, count=len(found))

    async def register_nodes(self, namespace: str, body: models.RegisterNodesRequest) -> models.RegisterNodesResponse:
        offered = [
            Registration(node.name, node.inputs_schema, node.outputs_schema, node.secrets) for node in body.nodes
        ]
        await self._service.register_nodes(namespace, body.runtime_name, offered)
        return models.RegisterNodesResponse(runtime_name=body.runtime_name, registered_nodes=body.nodes)

    async def list_nodes(self, namespace: str, _body: None) -> models.ListNodesResponse:
        return await asyncio.to_thread(views.nodes, namespace, await self._service.list_nodes(namespace))

    async def upsert_graph(self, path: tuple[str, str], body: models.UpsertGraphRequest) -> models.GraphResponse:
        namespace, name = path
        # Absent sections become their defaults; of the secrets only the names go on into the graph.
        document = body.model_dump(mode="json", exclude_unset=True, exclude={"secrets"})
        graph = GraphSpec.from_request(name, namespace, {**document, "secrets": list(body.secrets)})
        return views.graph(await self._service.upsert_graph(graph, body.secrets))

    async def get_graph(self, path: tuple[str, str], _body: None) -> models.GraphResponse:
        return views.graph(await self._service.get_graph(*path))

    async def list_graphs(self, namespace: str, _body: None) -> models.ListGraphsResponse:
        return await asyncio.to_thread(views.graphs, namespace, await self._service.list_graphs(namespace))

    async def trigger_graph(
        self, path: tuple[str, str], body: models.TriggerGraphRequest
    ) -> models.TriggerGraphResponse:
        if body.states is not None and self._strict:
            raise ServiceError(400, "The hosted service takes no notice of states (strict mode): give inputs instead")
        entries = None if body.states is None else [Entry(entry.identifier, entry.inputs) for entry in body.states]
        run = await self._service.trigger_graph(*path, Start(body.inputs, body.store, body.start_delay, entries))
        if entries is None:
            return models.TriggerGraphResponse(status=models.StateStatus.CREATED, run_id=run.run_id)
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

    async def enqueue_states(self, namespace: str, body: models.EnqueueStatesRequest) -> models.EnqueueStatesResponse:
        return views.claimed(namespace, await self._service.claim_states(namespace, body.nodes, body.batch_size))

    async def report_executed(self, path: tuple[str, str], body: models.ExecutedRequest) -> models.ExecutedResponse:
        await self._service.report_executed(*path, body.outputs)
        return models.ExecutedResponse(status=models.StateStatus.EXECUTED)

    async def report_errored(self, path: tuple[str, str], body: models.ErroredRequest) -> models.ErroredResponse:
        retry_created = await self._service.report_errored(*path, body.error)
        return models.ErroredResponse(status=models.StateStatus.ERRORED, retry_created=retry_created)

    async def prune_state(self, path: tuple[str, str], body: models.PruneRequest) -> models.SignalResponse:
        answer = await self._service.prune_state(*path, body.data)
        return models.SignalResponse(enqueue_after=answer.enqueue_after, status=answer.status)

    async def requeue_state(self, path: tuple[str, str], body: models.RequeueRequest) -> models.SignalResponse:
        answer = await self._service.requeue_state(*path, body.enqueue_after)
        return models.SignalResponse(enqueue_after=answer.enqueue_after, status=answer.status)

    async def retry_state(self, path: tuple[str, str], body: models.ManualRetryRequest) -> models.ManualRetryResponse:
        new_id = await self._service.retry_state(*path, body.fanout_id)
        return models.ManualRetryResponse(id=new_id, status=models.StateStatus.CREATED)

    async def get_state_secrets(self, path: tuple[str, str], _body: None) -> models.SecretsResponse:
        return models.SecretsResponse(secrets=await self._service.get_state_secrets(*path))

    async def list_runs(self, path: tuple[str, int, int], _body: None) -> models.ListRunsResponse:
        return await asyncio.to_thread(views.runs, *path, await self._service.list_runs(*path))

    async def get_run_graph(self, path: tuple[str, str], _body: None) -> models.RunGraphResponse:
        return await asyncio.to_thread(views.run_graph, await self._service.get_run_graph(*path))

    async def get_state(self, path: tuple[str, str, str, str], _body: None) -> models.StateDetail:
        return views.state(await self._service.get_state(*path))
