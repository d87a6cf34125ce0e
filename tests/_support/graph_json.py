"""Graphs as the service answers them."""

from __future__ import annotations

from typing import Any


def graph_node(identifier: str, **fields: Any) -> dict[str, Any]:
    """One node, with all six keys as the service has them."""
    return {
        "node_name": f"Node{identifier}",
        "namespace": "ns",
        "identifier": identifier,
        "inputs": {},
        "next_nodes": [],
        "unites": None,
        **fields,
    }


def graph_answer(*nodes: dict[str, Any], status: str = "VALID", errors: list[str] | None = None) -> dict[str, Any]:
    """The answer to GET and PUT of a graph."""
    return {
        "nodes": list(nodes),
        "secrets": {},
        "retry_policy": {
            "max_retries": 3,
            "strategy": "EXPONENTIAL",
            "backoff_factor": 2000,
            "exponent": 2,
            "max_delay": None,
        },
        "store_config": {"required_keys": [], "default_values": {}},
        "triggers": [],
        "created_at": "2025-01-02T03:04:05.123000",
        "updated_at": "2025-01-02T03:04:05",
        "validation_status": status,
        "validation_errors": errors or [],
    }
