# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""The operations of the document: their paths, methods and statuses."""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Operation(NamedTuple):
    """Where an operation is.

    Attributes:
        method: The HTTP method, in capitals.
        path: The path, with its parameters in braces.
        status: The status of a success.
        extension: The extension that it belongs to; None if every service has it.
    """

    method: str
    path: str
    status: int
    extension: str | None = None


OPERATIONS: Final[Mapping[str, Operation]] = {
    "cancel_run": Operation("POST", "/v0/namespace/{namespace_name}/runs/{run_id}/cancel", 200, "cancel"),
    "delete_graph": Operation("DELETE", "/v0/namespace/{namespace_name}/graph/{graph_name}", 200, "delete-graph"),
    "enqueue_states": Operation("POST", "/v0/namespace/{namespace_name}/states/enqueue", 200),
    "get_graph": Operation("GET", "/v0/namespace/{namespace_name}/graph/{graph_name}", 200),
    "get_health": Operation("GET", "/health", 200),
    "get_run_graph": Operation("GET", "/v0/namespace/{namespace_name}/states/run/{run_id}/graph", 200),
    "get_state": Operation("GET", "/v0/namespace/{namespace_name}/graph/{graph_name}/run/{run_id}/node/{node_id}", 200),
    "get_state_secrets": Operation("GET", "/v0/namespace/{namespace_name}/state/{state_id}/secrets", 200),
    "list_graphs": Operation("GET", "/v0/namespace/{namespace_name}/graphs/", 200),
    "list_namespaces": Operation("GET", "/v0/namespaces", 200),
    "list_nodes": Operation("GET", "/v0/namespace/{namespace_name}/nodes/", 200),
    "list_runs": Operation("GET", "/v0/namespace/{namespace_name}/runs/{page}/{size}", 200),
    "prune_state": Operation("POST", "/v0/namespace/{namespace_name}/state/{state_id}/prune", 200),
    "register_nodes": Operation("PUT", "/v0/namespace/{namespace_name}/nodes/", 200),
    "renew_leases": Operation("POST", "/v0/namespace/{namespace_name}/states/renew", 200, "lease"),
    "report_errored": Operation("POST", "/v0/namespace/{namespace_name}/state/{state_id}/errored", 200),
    "report_executed": Operation("POST", "/v0/namespace/{namespace_name}/state/{state_id}/executed", 200),
    "report_states": Operation("POST", "/v0/namespace/{namespace_name}/states/report", 200, "batch-report"),
    "requeue_state": Operation("POST", "/v0/namespace/{namespace_name}/state/{state_id}/re-enqueue-after", 200),
    "retry_state": Operation("POST", "/v0/namespace/{namespace_name}/state/{state_id}/manual-retry", 200),
    "stream_run_events": Operation("GET", "/v0/namespace/{namespace_name}/runs/{run_id}/events", 200, "events"),
    "trigger_graph": Operation("POST", "/v0/namespace/{namespace_name}/graph/{graph_name}/trigger", 200),
    "upsert_graph": Operation("PUT", "/v0/namespace/{namespace_name}/graph/{graph_name}", 201),
}
"""Every operation by its id."""
