"""Runs one claimed state: inputs and secrets in, the user's node, the outcome out."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor as ThreadPool
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from exospherehost._errors import APIError, BadRequestError, PayloadTooLargeError, UnprocessableEntityError
from exospherehost._node import BaseNode, declares_secrets
from exospherehost._redaction import Redactor, describe_exception, describe_refusal, validated
from exospherehost._session import Session
from exospherehost._signals import PruneSignal, ReQueueAfterSignal
from exospherehost_client.models import ClaimedState

logger = logging.getLogger(__name__)

HAND_BACK_DELAY_MS = 1
LAST_REPORT_SECONDS = 10.0
"""How long a report may take after the runtime has been told to end now."""


@dataclass(frozen=True, slots=True)
class Executed:
    """The node returned; one item for each output."""

    outputs: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Errored:
    """The node failed; the text is redacted."""

    error: str


@dataclass(frozen=True, slots=True)
class Pruned:
    """The node raised PruneSignal."""

    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Requeued:
    """The node raised ReQueueAfterSignal, or the state is handed back; the delay is in milliseconds."""

    delay_ms: int


Outcome: TypeAlias = Executed | Errored | Pruned | Requeued


class _StateError(Exception):
    """Why a state cannot be executed; its text can be reported as it is."""


class Executor:
    """Executes states one by one and reports each.

    Args:
        session: carries the reports.
        nodes: the node classes by name.
        protected: values that stand in no report, beside the state's own secrets.
        threads: runs the nodes whose `execute` is a plain function.
    """

    def __init__(
        self, session: Session, nodes: Mapping[str, type[BaseNode]], protected: Sequence[str], threads: ThreadPool
    ) -> None:
        self._session = session
        self._nodes = nodes
        self._protected = protected
        self._threads = threads

    async def execute(self, state: ClaimedState) -> None:
        """Execute a state and report what came of it.

        Raises nothing that concerns the state alone. When the task that runs this is cancelled, the
        state is handed back, or its finished outcome is still reported, before the cancellation goes on.
        """
        secrets: dict[str, str] = {}
        try:
            outcome = await self._outcome(state, secrets)
        except asyncio.CancelledError:
            await self.hand_back(state)
            raise
        delivery = asyncio.ensure_future(self._deliver(state, outcome, secrets))
        try:
            await asyncio.shield(delivery)
        except asyncio.CancelledError:
            _, late = await asyncio.wait((delivery,), timeout=LAST_REPORT_SECONDS)
            if late:
                delivery.cancel()
                _log_failure(state, outcome, "the service did not take it in time")
            raise

    async def hand_back(self, state: ClaimedState) -> None:
        """Give back a state that was claimed and will not be ended here."""
        outcome = Requeued(HAND_BACK_DELAY_MS)
        try:
            async with asyncio.timeout(LAST_REPORT_SECONDS):
                await self._deliver(state, outcome, {})
        except TimeoutError:
            _log_failure(state, outcome, "the service did not take it in time")

    async def _deliver(self, state: ClaimedState, outcome: Outcome, secrets: Mapping[str, str]) -> None:
        """Report an outcome; what the service can never take becomes an error report that says why."""
        try:
            try:
                await self._send(state.state_id, outcome)
            # Unserializable data is a ValueError, a TypeError or, when it is deep, a RecursionError.
            except (ValueError, TypeError, RecursionError, PayloadTooLargeError, UnprocessableEntityError) as error:
                reason = describe_refusal(error, self._redactor(secrets))
                text = f"the {type(outcome).__name__} report cannot be delivered: {reason}"
                await self._send(state.state_id, Errored(text))
        except Exception as error:  # noqa: BLE001 - a failed report is one state's and ends nothing else
            level = logging.WARNING if isinstance(error, BadRequestError) else logging.ERROR
            _log_failure(state, outcome, describe_refusal(error, self._redactor(secrets)), level)

    async def _send(self, state_id: str, outcome: Outcome) -> None:
        match outcome:
            case Executed(outputs):
                await self._session.report_executed(state_id, outputs)
            case Errored(error):
                await self._session.report_errored(state_id, error)
            case Pruned(data):
                await self._session.prune(state_id, data)
            case Requeued(delay_ms):
                await self._session.requeue(state_id, delay_ms)

    async def _outcome(self, state: ClaimedState, secrets: dict[str, str]) -> Outcome:
        try:
            node_class = self._nodes.get(state.node_name)
            if node_class is None:
                return Errored(f"this runtime has no node {state.node_name!r}; it has {', '.join(self._nodes)}")
            node = node_class()
            node.inputs = validated(node_class.Inputs, state.inputs, _StateError)
            if declares_secrets(node_class):
                secrets.update(await self._session.get_secrets(state.state_id))
            node.secrets = validated(node_class.Secrets, secrets, _StateError)
            return Executed(_dumped(node_class, await self._call(node)))
        except PruneSignal as signal:
            return Pruned(signal.data)
        except ReQueueAfterSignal as signal:
            return Requeued(signal.delay_ms)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
                raise
            return self._errored(state, error, secrets)

    async def _call(self, node: BaseNode) -> Any:
        if inspect.iscoroutinefunction(node.execute):
            return await node.execute()
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        result, error = await loop.run_in_executor(self._threads, lambda: context.run(_caught, node))
        if error is not None:
            raise error
        # A plain function may still return an awaitable, for instance from a partial or a decorator.
        return await result if inspect.isawaitable(result) else result

    def _redactor(self, secrets: Mapping[str, str]) -> Redactor:
        return Redactor((*self._protected, *secrets.values()))

    def _errored(self, state: ClaimedState, error: BaseException, secrets: Mapping[str, str]) -> Errored:
        redact = self._redactor(secrets)
        ours = isinstance(error, _StateError | APIError)
        text = describe_refusal(error, redact) if ours else describe_exception(error, redact)
        logger.warning(
            "event=state_errored node=%s identifier=%s state_id=%s error=%s",
            state.node_name,
            state.identifier,
            state.state_id,
            text.partition("\n")[0],
        )
        return Errored(text)


def _log_failure(state: ClaimedState, outcome: Outcome, reason: str, level: int = logging.ERROR) -> None:
    logger.log(
        level,
        "event=report_failed outcome=%s node=%s identifier=%s state_id=%s reason=%s",
        type(outcome).__name__.lower(),
        state.node_name,
        state.identifier,
        state.state_id,
        reason,
    )


def _caught(node: BaseNode) -> tuple[Any, BaseException | None]:
    # As a value, because a future cannot carry every exception: StopIteration would never arrive.
    try:
        return node.execute(), None
    except BaseException as error:  # noqa: BLE001 - whatever a node lets out is its state's error
        return None, error


def _is_being_cancelled() -> bool:
    """Tell a cancellation of the executing task from a CancelledError that a node let out."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _dumped(node: type[BaseNode], result: Any) -> list[dict[str, Any]]:
    items = cast("Sequence[Any]", result) if isinstance(result, list | tuple) else () if result is None else (result,)
    outputs: list[dict[str, Any]] = []
    for output in items:
        if not isinstance(output, node.Outputs):
            raise _StateError(
                f"{node.__name__}.execute returned a {type(output).__name__}; return {node.__name__}.Outputs, "
                "a list of them, or None"
            )
        outputs.append(output.model_dump(mode="json", by_alias=True))
    return outputs
