"""Registered nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exospherehost.server.domain.records import JsonObject, NodeRecord
from exospherehost.server.domain.store import UnitOfWork
from exospherehost.server.service.context import Context


@dataclass(frozen=True, slots=True)
class Registration:
    """A node as a runtime offers it."""

    name: str
    inputs_schema: JsonObject
    outputs_schema: JsonObject
    secrets: Sequence[str]


def register(
    unit: UnitOfWork, context: Context, namespace: str, runtime_name: str, nodes: Sequence[Registration]
) -> None:
    """Register nodes or replace what is registered; of one named twice the last stays."""
    now_ms = context.clock.now_ms()
    for node in nodes:
        unit.save_node(
            NodeRecord(
                id=context.ids.new_id(),
                namespace=namespace,
                name=node.name,
                runtime_name=runtime_name,
                runtime_namespace=namespace,
                inputs_schema=node.inputs_schema,
                outputs_schema=node.outputs_schema,
                secrets=tuple(node.secrets),
                created_at=now_ms,
                updated_at=now_ms,
            )
        )
