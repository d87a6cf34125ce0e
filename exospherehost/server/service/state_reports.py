"""What runtimes and operators tell about a state: done, failed, pruned, later, once more.

Each function is one unit of work: the transition, what it creates and the joins that it completes are written
together or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exospherehost._rules import retries, transitions
from exospherehost._rules.joins import child_parents, united_ancestors
from exospherehost._rules.model import Refusal, Status
from exospherehost._rules.state_inputs import ChildPlan, NextStateError
from exospherehost._rules.transitions import Outcome
from exospherehost.server.domain.errors import ServiceError
from exospherehost.server.domain.records import JsonObject, RunRecord, StateChange, StateRecord
from exospherehost.server.domain.store import UnitOfWork
from exospherehost.server.service.context import Context, LoadedVersion
from exospherehost.server.service.run_progress import JoinFailure, RunProgress


@dataclass(frozen=True, slots=True)
class SignalledState:
    """A state after a signal: its status, and when it is due (epoch milliseconds)."""

    status: str
    enqueue_after: int


@dataclass(frozen=True, slots=True)
class Target:
    """The state that a report or a signal is about.

    Attributes:
        namespace: Its namespace.
        state_id: Its id.
        claim_token: The claim that must hold it for anything to happen; None for whichever holds it.
    """

    namespace: str
    state_id: str
    claim_token: str | None = None


def executed(unit: UnitOfWork, context: Context, target: Target, outputs: Sequence[JsonObject]) -> None:
    """Take a success report: none, one, or several outputs to fan out.

    Raises:
        ServiceError: The state is unknown here (404), or not QUEUED or held by another claim (400).
    """
    state = _held(unit, target)
    outcome = _allowed(transitions.executed(Status(state.status)))
    run = unit.get_run(state.run_key)
    version = context.versions.get(unit, run.version_id)
    reported = list(outputs) or [{}]
    try:
        if united_ancestors(version.topology, state.parents):
            # A join may turn out impossible when all else has been written.
            with unit.nested():
                _succeed(unit, context, run, version, state, outcome, reported)
        else:
            _succeed(unit, context, run, version, state, outcome, reported)
    except NextStateError as error:
        failed = Outcome(Status.NEXT_CREATED_ERROR)
        progress = RunProgress(unit, context, run, version)
        _conclude(progress, context, state, failed, reported, str(error))
        progress.finish(state.parents, JoinFailure.SKIP)


def errored(unit: UnitOfWork, context: Context, target: Target, error: str) -> bool:
    """Take a failure report, and tell whether a retry was created.

    Raises:
        ServiceError: The state is unknown here (404), or not QUEUED or held by another claim (400).
    """
    state = _held(unit, target)
    run = unit.get_run(state.run_key)
    version = context.versions.get(unit, run.version_id)
    policy = version.graph.retry_policy
    retry = retries.retries_left(policy, state.retry_count)
    outcome = _allowed(transitions.errored(Status(state.status), retries_left=retry))
    progress = RunProgress(unit, context, run, version)
    progress.change(state, _changed(context, state, outcome, error=error))
    if retry:
        delay = retries.delay_ms(policy, state.retry_count + 1, context.random)
        progress.create(
            [
                _again(
                    context,
                    state,
                    retry_count=state.retry_count + 1,
                    fanout_id=state.fanout_id,
                    due_at=retries.due_at(context.clock.now_ms(), delay),
                )
            ]
        )
    progress.finish(state.parents, JoinFailure.RECORD)
    return retry


def prune(unit: UnitOfWork, context: Context, target: Target, data: JsonObject) -> SignalledState:
    """Take a prune signal; a repeated one is answered like the first and changes nothing.

    Raises:
        ServiceError: The state is unknown here (404), or neither QUEUED nor PRUNED (400).
    """
    state = _find(unit, target)
    if not _is_held(state, target):
        return SignalledState(state.status, state.enqueue_after)
    outcome = _allowed(transitions.prune(Status(state.status)))
    if outcome.changed:
        run = unit.get_run(state.run_key)
        progress = RunProgress(unit, context, run, context.versions.get(unit, run.version_id))
        progress.change(state, _changed(context, state, outcome, error=None, prune_data=data))
        progress.finish(state.parents, JoinFailure.RECORD)
    return SignalledState(outcome.status, state.enqueue_after)


def requeue(unit: UnitOfWork, context: Context, target: Target, delay_ms: int) -> SignalledState:
    """Take a signal to run a QUEUED state later; any other state is answered as it is.

    Raises:
        ServiceError: The state is unknown here (404).
    """
    state = _find(unit, target)
    if not _is_held(state, target):
        return SignalledState(state.status, state.enqueue_after)
    outcome = transitions.requeue(Status(state.status))
    if not outcome.changed:
        return SignalledState(outcome.status, state.enqueue_after)
    run = unit.get_run(state.run_key)
    due_at = retries.due_at(context.clock.now_ms(), delay_ms)
    progress = RunProgress(unit, context, run, context.versions.get(unit, run.version_id))
    progress.change(state, _changed(context, state, outcome, error=state.error)._replace(enqueue_after=due_at))
    progress.finish(state.parents, JoinFailure.RECORD)
    return SignalledState(outcome.status, due_at)


def manual_retry(unit: UnitOfWork, context: Context, namespace: str, state_id: str, fanout_id: str) -> str:
    """Replace a state by a new attempt, with its whole retry budget, and return the new state's id.

    Raises:
        ServiceError: The state is unknown here (404) or not to be retried (400), or this ``fanout_id`` has been
            used for its node in this run (409).
    """
    state = _find(unit, Target(namespace, state_id))
    run = unit.get_run(state.run_key)
    if not run.namespace:
        # The run is being deleted, and its states are but a remainder.
        raise _refused(transitions.STATE_NOT_FOUND)
    outcome = _allowed(transitions.manual_retry(Status(state.status), run_cancelled=run.cancelled_at is not None))
    if unit.has_fanout(state.run_key, state.identifier, fanout_id, 0):
        raise _refused(transitions.DUPLICATE_RETRY)
    progress = RunProgress(unit, context, run, context.versions.get(unit, run.version_id))
    progress.change(state, _changed(context, state, outcome, error=state.error))
    new = _again(context, state, retry_count=0, fanout_id=fanout_id, due_at=context.clock.now_ms())
    progress.create([new])
    progress.finish(state.parents, JoinFailure.RECORD)
    return new.id


def _find(unit: UnitOfWork, target: Target) -> StateRecord:
    state = unit.find_state(target.state_id)
    if state is None or state.namespace != target.namespace:
        raise _refused(transitions.STATE_NOT_FOUND)
    return state


def _held(unit: UnitOfWork, target: Target) -> StateRecord:
    state = _find(unit, target)
    if not _is_held(state, target):
        raise _refused(transitions.NOT_QUEUED)
    return state


def _is_held(state: StateRecord, target: Target) -> bool:
    """Return whether the claim that a report names holds the state; one that names none is about any."""
    return target.claim_token is None or (state.status == Status.QUEUED and state.claim_token == target.claim_token)


def _refused(refusal: Refusal) -> ServiceError:
    return ServiceError(refusal.status_code, refusal.detail)


def _allowed(decision: Outcome | Refusal) -> Outcome:
    if isinstance(decision, Refusal):
        raise _refused(decision)
    return decision


def _succeed(
    unit: UnitOfWork,
    context: Context,
    run: RunRecord,
    version: LoadedVersion,
    state: StateRecord,
    outcome: Outcome,
    outputs: Sequence[JsonObject],
) -> None:
    progress = RunProgress(unit, context, run, version)
    next_nodes = version.topology.children(state.identifier)
    plans = [(node, progress.plan(node)) for node in next_nodes]
    known = _ancestors_outputs(unit, state, [plan for _node, plan in plans])
    # All is resolved before anything is written, so that a failure leaves nothing to undo.
    resolved = [
        [plan.resolve({**known, state.identifier: output}, run.store) for output in outputs] for _node, plan in plans
    ]
    concluded = _conclude(progress, context, state, outcome, outputs, None)
    now_ms = context.clock.now_ms()
    progress.create(
        [
            progress.new_state(node, inputs, child_parents(state.identifier, parent.id, state.parents), due_at=now_ms)
            for (node, _plan), of_node in zip(plans, resolved, strict=True)
            for parent, inputs in zip(concluded, of_node, strict=True)
        ]
    )
    progress.finish(state.parents, JoinFailure.RAISE)


def _ancestors_outputs(unit: UnitOfWork, state: StateRecord, plans: Sequence[ChildPlan]) -> dict[str, JsonObject]:
    needed = {
        identifier: state.parents[identifier]
        for plan in plans
        for identifier in plan.references
        if identifier in state.parents
    }
    found = unit.find_outputs(needed.values()) if needed else {}
    return {identifier: found[state_id] for identifier, state_id in needed.items()}


def _conclude(
    progress: RunProgress,
    context: Context,
    state: StateRecord,
    outcome: Outcome,
    outputs: Sequence[JsonObject],
    error: str | None,
) -> list[StateRecord]:
    """Give the state its first output and its end, and each further output a sibling that ends alike."""
    change = _changed(context, state, outcome, error=error)._replace(outputs=outputs[0])
    progress.change(state, change)
    siblings = [
        state._replace(
            id=context.ids.new_id(),
            status=outcome.status,
            outputs=output,
            error=error,
            retry_count=0,
            fanout_id=None,
            created_at=change.updated_at,
            updated_at=change.updated_at,
            claim_token=None,
        )
        for output in outputs[1:]
    ]
    progress.create(siblings)
    return [state, *siblings]


def _changed(
    context: Context,
    state: StateRecord,
    outcome: Outcome,
    *,
    error: str | None,
    prune_data: JsonObject | None = None,
) -> StateChange:
    return StateChange(
        status=outcome.status,
        outputs=state.outputs,
        error=error,
        enqueue_after=state.enqueue_after,
        updated_at=context.clock.now_ms(),
        prune_data=prune_data,
    )


def _again(
    context: Context, state: StateRecord, *, retry_count: int, fanout_id: str | None, due_at: int
) -> StateRecord:
    now_ms = context.clock.now_ms()
    return state._replace(
        id=context.ids.new_id(),
        status=Status.CREATED,
        outputs={},
        error=None,
        retry_count=retry_count,
        fanout_id=fanout_id,
        enqueue_after=due_at,
        created_at=now_ms,
        updated_at=now_ms,
        claim_token=None,
    )
