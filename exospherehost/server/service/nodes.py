"""Registered nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from exospherehost.server.domain.records import JsonObject, NodeRecord
from exospherehost.server.domain.store import Store, UnitOfWork
from exospherehost.server.service.context import Context

_REGISTERED_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Registration:
    """A node as a runtime offers it."""

    name: str
    inputs_schema: JsonObject
    outputs_schema: JsonObject
    secrets: Sequence[str]


async def register(
    store: Store, context: Context, namespace: str, runtime_name: str, nodes: Sequence[Registration]
) -> None:
    """Register nodes, or replace what is registered; of a node named twice the last registration stays.

    Many nodes are written in several units of work, so that others can write in between: who registers anew after a
    failure completes what was begun.
    """
    for start in range(0, len(nodes), _REGISTERED_AT_ONCE):
        some = nodes[start : start + _REGISTERED_AT_ONCE]
        await store.write(partial(_register, context, namespace, runtime_name, some))


def _register(
    context: Context, namespace: str, runtime_name: str, nodes: Sequence[Registration], unit: UnitOfWork
) -> None:
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
