"""Triggers under an idempotency key: asked again, they answer again and start nothing."""

from __future__ import annotations

import hashlib
import json

from exospherehost._rules.doubts import dropped_inputs
from exospherehost.server.domain.errors import InvalidRequest
from exospherehost.server.domain.records import TriggerKeyRecord
from exospherehost.server.domain.store import UnitOfWork
from exospherehost.server.service.context import Context
from exospherehost.server.service.triggers import Start, StartedRun, trigger

KEPT_MS = 24 * 60 * 60 * 1_000
"""How long an answer is repeated, in milliseconds."""

# Each trigger under a key adds one and drops up to so many: they never pile up, and none has a lot to drop.
_DROPPED_AT_ONCE = 100


def digest(start: Start) -> str:
    """Return what stands for a trigger's body: equal for bodies that say the same, however they are written."""
    entries = None if start.entries is None else [[entry.identifier, dict(entry.inputs)] for entry in start.entries]
    said = [dict(start.inputs), dict(start.store), start.delay_ms, entries]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode("ascii")).hexdigest()


def trigger_once(
    unit: UnitOfWork, context: Context, namespace: str, graph_name: str, start: Start, *, key: str, body_digest: str
) -> StartedRun:
    """Start a run, unless this key has started one: then return that run.

    Only a run that was started is remembered, in the unit that starts it.

    Raises:
        InvalidRequest: The key came with another body before.
        ServiceError: As :func:`~exospherehost.server.service.triggers.trigger` says.
    """
    now_ms = context.clock.now_ms()
    kept = unit.find_trigger_key(namespace, graph_name, key)
    if kept is not None and kept.expires_at > now_ms:
        if kept.digest != body_digest:
            raise InvalidRequest([_reused(key)])
        found = [unit.find_state(state_id) for state_id in kept.state_ids or ()]
        states = [state for state in found if state is not None]
        return StartedRun(kept.run_id, states, _warnings(unit, context, kept.run_id, start))
    run = trigger(unit, context, namespace, graph_name, start)
    listed = None if start.entries is None else tuple(state.id for state in run.states)
    unit.save_trigger_key(
        TriggerKeyRecord(namespace, graph_name, key, body_digest, run.run_id, listed, now_ms + KEPT_MS)
    )
    unit.drop_trigger_keys(now_ms, limit=_DROPPED_AT_ONCE)
    return run


def _warnings(unit: UnitOfWork, context: Context, run_id: str, start: Start) -> list[str]:
    """Return what the first trigger was warned of."""
    run = unit.find_run(run_id) if start.inputs else None
    return [] if run is None else dropped_inputs(context.versions.get(unit, run.version_id).topology, start.inputs)


def _reused(key: str) -> dict[str, object]:
    return {
        "type": "idempotency_key_reused",
        "loc": ["header", "Idempotency-Key"],
        "msg": "This key came with another body in the last 24 hours: send that body, or take a new key",
        "input": key,
    }
