"""Registered nodes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from exospherehost._rules.doubts import replaced_schema
from exospherehost.server.domain.records import JsonObject, NodeRecord
from exospherehost.server.domain.store import Store, UnitOfWork
from exospherehost.server.service.context import Context, node_spec

logger = logging.getLogger(__name__)

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
) -> list[str]:
    """Register nodes, or replace what is registered; of a node named twice the last registration stays.

    Returns a warning for each node whose schema changes and that a runtime of another name has registered.

    Many nodes are written in several units of work, so that others can write in between: who registers anew after a
    failure completes what was begun.
    """
    warnings: list[str] = []
    for start in range(0, len(nodes), _REGISTERED_AT_ONCE):
        some = nodes[start : start + _REGISTERED_AT_ONCE]
        warnings += await store.write(partial(_register, context, namespace, runtime_name, some))
    for warning in warnings:
        logger.warning("event=node_replaced namespace=%s runtime=%s warning=%r", namespace, runtime_name, warning)
    return warnings


def _register(
    context: Context, namespace: str, runtime_name: str, nodes: Sequence[Registration], unit: UnitOfWork
) -> list[str]:
    now_ms = context.clock.now_ms()
    known = unit.find_nodes({(node.name, namespace) for node in nodes})
    warnings: dict[str, None] = {}
    for node in nodes:
        record = NodeRecord(
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
        before = known.get((node.name, namespace))
        if before is not None and before.runtime_name != runtime_name:
            changes = replaced_schema(node_spec(before), node_spec(record))
            if changes:
                text = f"Node {node.name!r} was registered by the runtime {before.runtime_name!r} with another schema"
                warnings[f"{text} ({changes}): runtimes that share a namespace need nodes of different names"] = None
        unit.save_node(record)
    return list(warnings)
