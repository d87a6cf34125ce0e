"""Executes one claimed state: inputs and secrets in, the user's node, its outcome out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, cast

from pydantic import ValidationError

from exospherehost import _reports
from exospherehost._errors import APIError
from exospherehost._execution import Rooms, TimedOut
from exospherehost._node import BaseNode, NodeContext, declares_secrets
from exospherehost._processes import ProcessFailure, ProcessTimeout
from exospherehost._redaction import Redactor, describe_exception, describe_refusal, validated
from exospherehost._reports import Outcome
from exospherehost._secrets import SecretReader
from exospherehost._session import Session
from exospherehost._signals import PruneSignal, ReQueueAfterSignal
from exospherehost_client.models import ClaimedState

logger = logging.getLogger(__name__)

_Field: TypeAlias = tuple[str, Any]
_END_OF_TIMED_OUT = {
    "loop": ", and was cancelled",
    "thread": "; it goes on in its thread, which cannot be stopped, and its result is dropped",
    "process": ", and its process was killed",
}


class _StateError(Exception):
    """Why a state cannot be executed; its text can be reported as it is."""


class Executor:
    """Executes states, each to an outcome.

    Args:
        session: fetches secrets.
        namespace: the namespace, for the nodes' context.
        nodes: the node classes by name.
        protected: values that stand in no report, beside the state's own secrets.
        rooms: where nodes run.
        shared: what the runtime's lifespan gave.
    """

    def __init__(
        self,
        session: Session,
        namespace: str,
        nodes: Mapping[str, type[BaseNode]],
        protected: Sequence[str],
        rooms: Rooms,
        shared: Any,
    ) -> None:
        self._secrets = SecretReader(session)
        self._namespace = namespace
        self._nodes = nodes
        self._with_secrets = {name for name, node in nodes.items() if declares_secrets(node)}
        self._protected = tuple(protected)
        self._rooms = rooms
        self._shared = shared

    async def execute(self, state: ClaimedState, is_given_up: Callable[[], bool]) -> Outcome:
        """Execute a state; every failure that is the state's own becomes its outcome.

        Args:
            state: the state.
            is_given_up: tells whether the runtime has cancelled this execution. The task cannot tell: a node,
                or a library that it uses, may cancel it too.

        Raises:
            asyncio.CancelledError: the runtime has cancelled this execution.
        """
        state_id = state.state_id
        fields = log_fields(self._namespace, state)
        secrets: dict[str, str] = {}
        protected = self._protected
        try:
            node_class = self._nodes.get(state.node_name)
            if node_class is None:
                known = ", ".join(self._nodes)
                return Outcome(
                    _reports.errored(state_id, f"this runtime has no node {state.node_name!r}; it has {known}"),
                    fields=fields,
                )
            node = node_class()
            node.inputs = validated(node_class.Inputs, state.inputs, _StateError)
            if state.node_name in self._with_secrets:
                secrets = await self._secrets.read(state)
                protected = (*protected, *secrets.values())
            node.secrets = validated(node_class.Secrets, secrets, _StateError)
            outputs = _dumped(node_class, await self._call(node, state, protected))
            size = _checked_size(outputs, lambda: _reports.output_fields(outputs))
            return Outcome(_reports.executed(state_id, outputs), protected, size, fields)
        except PruneSignal as signal:
            try:
                data = signal.data
                size = _checked_size([data], lambda: [(f"data.{name}", value) for name, value in data.items()])
                return Outcome(_reports.pruned(state_id, data), protected, size, fields)
            except (_StateError, ValidationError) as error:
                problem = f"the pruned report cannot be delivered: {describe_refusal(error, Redactor(protected))}"
            report = _reports.errored(state_id, self._told(state, _StateError(problem), Redactor(protected)))
        except ReQueueAfterSignal as signal:
            report = _reports.requeued(state_id, signal.delay_ms)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and is_given_up():
                raise
            report = _reports.errored(state_id, self._told(state, error, Redactor(protected)))
        return Outcome(report, protected, fields=fields)

    def _call(self, node: BaseNode, state: ClaimedState, protected: Sequence[str]) -> Awaitable[Any]:
        timeout = node.execution.timeout
        node.context = NodeContext(
            self._namespace,
            state.node_name,
            state.identifier,
            state.state_id,
            state.graph_name,
            state.run_id,
            state.attempt,
            None if timeout is None else datetime.now(UTC) + timedelta(seconds=timeout),
            self._shared,
        )

        def blocked(seconds: float) -> None:
            logger.warning(
                "event=event_loop_blocked node=%s identifier=%s state_id=%s seconds=%.3f",
                state.node_name,
                state.identifier,
                state.state_id,
                seconds,
                extra=log_fields(self._namespace, state),
            )

        return self._rooms.call(node, blocked, protected)

    def _told(self, state: ClaimedState, error: BaseException, redact: Redactor) -> str:
        """Log why a state failed, and return what is reported of it."""
        if isinstance(error, TimedOut | ProcessTimeout):
            timeout = self._nodes[state.node_name].execution.timeout
            end = _END_OF_TIMED_OUT[self._rooms.place_of(self._nodes[state.node_name])]
            text = f"TimeoutError: {state.node_name} ran longer than its timeout of {timeout} s{end}"
            if not isinstance(error.__cause__, TimeoutError | None):
                text += f"; on its way out it raised {describe_exception(error.__cause__, redact)}"
        elif isinstance(error, _StateError | APIError | ProcessFailure):
            text = describe_refusal(error, redact)
        else:
            text = describe_exception(error, redact)
        logger.warning(
            "event=state_errored node=%s identifier=%s state_id=%s error=%s",
            state.node_name,
            state.identifier,
            state.state_id,
            text.partition("\n")[0],
            extra=log_fields(self._namespace, state),
        )
        return text


def log_fields(namespace: str, state: ClaimedState) -> dict[str, Any]:
    """The fields that a log record about a state carries; graph, run and attempt where the service tells them."""
    fields: dict[str, Any] = {
        "exosphere_namespace": namespace,
        "exosphere_node": state.node_name,
        "exosphere_identifier": state.identifier,
        "exosphere_state_id": state.state_id,
    }
    # A service tells all three or none.
    if state.attempt is not None:
        fields["exosphere_graph"] = state.graph_name
        fields["exosphere_run_id"] = state.run_id
        fields["exosphere_attempt"] = state.attempt
    return fields


def handed_back(namespace: str, state: ClaimedState) -> Outcome:
    """The outcome of a state that was claimed and is not executed here."""
    return Outcome(_reports.handed_back(state.state_id), fields=log_fields(namespace, state))


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


def _checked_size(data: Iterable[Mapping[str, Any]], with_places: Callable[[], Iterable[_Field]]) -> int:
    """Return about how many characters a report's data has; refuse what no service takes.

    Args:
        data: the fields, by output.
        with_places: gives them named by their places in the report, which only a refusal needs.
    """
    size = sum(map(_reports.size_of, data))
    # A character has four bytes at the most: only what might be too large is counted in bytes.
    if 4 * size > _reports.MAX_REPORT_BYTES and (problem := _reports.oversize(with_places())):
        raise _StateError(problem)
    return size
