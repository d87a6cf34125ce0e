"""Turns what the service returns into the contract's models.

Answers that list many things, or come thousands of times a second, are made as plain JSON of the same shape: to make
and check a model for each thing took longer than all else of such an answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from exospherehost.server.domain.clock import as_datetime
from exospherehost.server.domain.records import (
    ClaimedRecord,
    GraphRecord,
    JsonObject,
    NodeRecord,
    RunListing,
    StateOutline,
)
from exospherehost.server.service.cancellation import CancelledRun
from exospherehost.server.service.leases import HeldLease
from exospherehost.server.service.reading import RunPage, RunView, StateView, run_status
from exospherehost.server.service.report_batches import Result
from exospherehost_client import models

MASK = "********"


def nodes(namespace: str, records: Sequence[NodeRecord]) -> models.ListNodesResponse:
    """Return a list of nodes."""
    listed = [
        models.RegisteredNode(
            id=node.id,
            created_at=as_datetime(node.created_at),
            updated_at=as_datetime(node.updated_at),
            name=node.name,
            namespace=node.namespace,
            runtime_name=node.runtime_name,
            runtime_namespace=node.runtime_namespace,
            inputs_schema=node.inputs_schema,
            outputs_schema=node.outputs_schema,
            secrets=list(node.secrets),
        )
        for node in records
    ]
    return models.ListNodesResponse(namespace=namespace, count=len(listed), nodes=listed)


def graph(record: GraphRecord) -> models.GraphResponse:
    """Return a graph as it was last put."""
    return models.GraphResponse.model_validate(
        {**_template(record), "secrets": dict.fromkeys(record.latest.secrets, True)}
    )


def graphs(namespace: str, records: Sequence[GraphRecord]) -> models.ListGraphsResponse:
    """Return a list of graphs, their secrets masked."""
    listed = [
        models.GraphListItem.model_validate(
            {
                **_template(record),
                "_id": record.id,
                "name": record.name,
                "namespace": record.namespace,
                "secrets": dict.fromkeys(record.latest.secrets, MASK),
            }
        )
        for record in records
    ]
    return models.ListGraphsResponse(namespace=namespace, count=len(listed), templates=listed)


def claimed(namespace: str, records: Sequence[ClaimedRecord], *, with_context: bool = True) -> JsonObject:
    """Return the states that a claim hands out, as EnqueueStatesResponse, with or without graph, run and attempt."""
    # Of one claim, all leases run out together.
    until = {at: as_datetime(at) for at in {state.lease_expires_at for state in records} if at is not None}
    return {
        "count": len(records),
        "namespace": namespace,
        "status": models.StateStatus.QUEUED,
        "states": [_claimed(state, until, with_context=with_context) for state in records],
    }


def runs(namespace: str, page: int, size: int, found: RunPage, *, with_cancellation: bool = True) -> JsonObject:
    """Return one page of runs, as ListRunsResponse, with or without when each was cancelled."""
    listed = [_run(run, with_cancellation=with_cancellation) for run in found.runs]
    return {"namespace": namespace, "total": found.total, "page": page, "size": size, "runs": listed}


def cancelled(run: CancelledRun) -> models.CancelRunResponse:
    """Return what cancelling a run did."""
    return models.CancelRunResponse(
        run_id=run.run_id,
        status=run.status,
        cancelled_at=None if run.cancelled_at is None else as_datetime(run.cancelled_at),
        pruned_count=run.pruned,
    )


def run_graph(view: RunView, *, with_cancellation: bool = True) -> models.RunGraphResponse:
    """Return the states and edges of a run, with or without when it was cancelled."""
    summary = dict.fromkeys(map(str, models.StateStatus), 0)
    roots: list[models.RunGraphNode] = []
    listed: list[models.RunGraphNode] = []
    for state in view.states:
        node = _outline(state)
        listed.append(node)
        if not state.parents:
            roots.append(node)
        summary[state.status] += 1
    edges = [models.RunGraphEdge(source=source, target=target) for source, target in view.edges]
    # Only what is set is sent.
    cancelled_at = None if view.cancelled_at is None else as_datetime(view.cancelled_at)
    cancellation = {"cancelled_at": cancelled_at} if with_cancellation else {}
    return models.RunGraphResponse(
        root_states=roots,
        graph_name=view.graph_name,
        nodes=listed,
        edges=edges,
        node_count=len(listed),
        edge_count=len(edges),
        execution_summary=summary,
        **cancellation,
    )


def state(view: StateView) -> models.StateDetail:
    """Return a state in full."""
    record = view.state
    return models.StateDetail(
        id=record.id,
        node_name=record.node_name,
        identifier=record.identifier,
        graph_name=view.run.graph_name,
        run_id=view.run.id,
        status=record.status,
        inputs=dict(record.inputs),
        outputs=record.outputs,
        error=record.error,
        parents=dict(record.parents),
        created_at=as_datetime(record.created_at),
        updated_at=as_datetime(record.updated_at),
    )


def _claimed(state: ClaimedRecord, until: Mapping[int, datetime], *, with_context: bool) -> JsonObject:
    # Only what is set is sent, and nothing is set to null.
    fields: JsonObject = {
        "state_id": state.id,
        "node_name": state.node_name,
        "identifier": state.identifier,
        "inputs": state.inputs,
        "created_at": as_datetime(state.created_at),
    }
    if with_context:
        fields["graph_name"] = state.graph_name
        fields["run_id"] = state.run_id
        fields["attempt"] = state.retry_count + 1
    if state.lease_expires_at is not None:
        fields["lease_expires_at"] = until[state.lease_expires_at]
    if state.claim_token is not None:
        fields["claim_token"] = state.claim_token
    return fields


def leases(held: Sequence[HeldLease]) -> models.RenewLeasesResponse:
    """Return the leases that are still held."""
    return models.RenewLeasesResponse(
        held=[
            models.HeldLease(state_id=lease.state_id, lease_expires_at=as_datetime(lease.expires_at)) for lease in held
        ]
    )


def report_results(results: Sequence[tuple[str, Result]]) -> JsonObject:
    """Return what became of the reports of a batch, as ReportStatesResponse, given each with its state's id as sent."""
    return {"results": [_report_result(state_id, result) for state_id, result in results]}


def _report_result(state_id: str, result: Result) -> JsonObject:
    fields: JsonObject = {"state_id": state_id, "status": result.status}
    if result.detail is not None:
        fields["detail"] = result.detail
    if result.retry_created is not None:
        fields["retry_created"] = result.retry_created
    if result.enqueue_after is not None:
        fields["enqueue_after"] = result.enqueue_after
    return fields


def _template(record: GraphRecord) -> dict[str, object]:
    document = record.latest.document
    return {
        "nodes": document["nodes"],
        "retry_policy": document["retry_policy"],
        "store_config": document["store_config"],
        "triggers": document["triggers"],
        "created_at": as_datetime(record.created_at),
        "updated_at": as_datetime(record.updated_at),
        "validation_status": "VALID" if record.latest.valid else "INVALID",
        "validation_errors": list(record.latest.errors),
    }


def _run(run: RunListing, *, with_cancellation: bool) -> JsonObject:
    fields: JsonObject = {
        "run_id": run.id,
        "graph_name": run.graph_name,
        "success_count": run.counts.succeeded,
        "pending_count": run.counts.pending,
        "errored_count": run.counts.errored,
        "retried_count": run.counts.retried,
        "total_count": run.counts.total,
        "status": run_status(run),
        "created_at": as_datetime(run.created_at),
    }
    if with_cancellation:
        fields["cancelled_at"] = None if run.cancelled_at is None else as_datetime(run.cancelled_at)
    return fields


def _outline(state: StateOutline) -> models.RunGraphNode:
    return models.RunGraphNode(
        id=state.id,
        node_name=state.node_name,
        identifier=state.identifier,
        status=state.status,
        error=state.error,
    )
