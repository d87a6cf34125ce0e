"""Executes one claimed state: inputs and secrets in, the user's node, its outcome out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeAlias

from pydantic import ValidationError

from exospherehost._errors import APIError
from exospherehost._nodes.node import BaseNode, NodeContext
from exospherehost._nodes.node_models import names_of_models
from exospherehost._nodes.signals import PruneSignal, ReQueueAfterSignal, lone_signal
from exospherehost._redaction import Redactor, describe_exception, describe_refusal, place_of
from exospherehost._runtime import outcomes
from exospherehost._runtime.node_outputs import OutputError
from exospherehost._runtime.node_runner import NodeRunner, TimedOut
from exospherehost._runtime.outcomes import Outcome, log_fields
from exospherehost._runtime.prepared_node import PreparedNode, StateError
from exospherehost._runtime.process_pool import ProcessFailure, ProcessTimeout
from exospherehost._runtime.secret_reader import SecretReader
from exospherehost._transport.runtime_session import RuntimeSession
from exospherehost_client.models import ClaimedState, PruneRequest

logger = logging.getLogger(__name__)

RETRY_POLICY = "by the retry policy of the graph; by default 3 times, after 2 s, 4 s and 8 s"

_Field: TypeAlias = tuple[str, Any]
_END_OF_TIMED_OUT = {
    "loop": ", and was cancelled",
    "thread": "; it goes on in its thread, which cannot be stopped, and its result is dropped",
    "process": ", and its process was killed",
}


class StateExecutor:
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
        session: RuntimeSession,
        namespace: str,
        nodes: Mapping[str, type[BaseNode]],
        protected: Sequence[str],
        rooms: NodeRunner,
        shared: Any,
    ) -> None:
        self._secrets = SecretReader(session)
        self._namespace = namespace
        self._nodes = {name: PreparedNode(node) for name, node in nodes.items()}
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
            known = self._nodes.get(state.node_name)
            if known is None:
                unknown = f"this runtime has no node {state.node_name!r}; it has {', '.join(self._nodes)}"
                return outcomes.errored(state_id, self._logged(state, unknown, "unknown"), fields=fields)
            node = None
            if not known.runs_in_process:
                # Only JSON goes to another process, which makes and validates the node there.
                node = known.make()
                known.set_inputs(node, state.inputs)
            if known.has_secrets:
                secrets = await self._secrets.read(state)
                protected = (*protected, *secrets.values())
            context = NodeContext(
                self._namespace,
                state.node_name,
                state.identifier,
                state_id,
                state.graph_name,
                state.run_id,
                state.attempt,
                None if known.timeout is None else datetime.now(UTC) + timedelta(seconds=known.timeout),
                self._shared,
            )
            if node is None:
                outputs = await self._rooms.call_in_process(known.make, state.inputs, secrets, context, protected)
            else:
                known.set_secrets(node, secrets)
                node.context = context
                outputs = known.dumped(await self._rooms.call(node, partial(self._blocked, state)))
            size = _checked_size(outputs, outcomes.output_fields)
            return outcomes.executed(state_id, outputs, protected, size, fields)
        except BaseException as raised:
            error = lone_signal(raised)
            if isinstance(error, ReQueueAfterSignal):
                return outcomes.requeued(state_id, error.delay_ms, protected, fields)
            if isinstance(error, PruneSignal):
                return self._pruned(state, error, protected, fields)
            if isinstance(error, asyncio.CancelledError) and is_given_up():
                raise
            text = self._told(state, error, Redactor(protected))
        return outcomes.errored(state_id, text, protected, fields)

    def _pruned(
        self, state: ClaimedState, signal: PruneSignal, protected: Sequence[str], fields: dict[str, Any]
    ) -> Outcome:
        try:
            # Of what a node prunes with there is no model of the user's.
            data = PruneRequest.model_validate({"data": signal.data}).data
            size = _checked_size([data], outcomes.data_fields)
            return outcomes.pruned(state.state_id, data, protected, size, fields)
        except (StateError, ValidationError) as error:
            why = describe_refusal(error, Redactor(protected))
        text = self._logged(
            state, f"the pruned report cannot be delivered: {why}", place_of(signal, Redactor(protected))
        )
        return outcomes.errored(state.state_id, text, protected, fields)

    def _blocked(self, state: ClaimedState, seconds: float) -> None:
        logger.warning(
            "event=event_loop_blocked node=%s identifier=%s state_id=%s seconds=%.3f",
            state.node_name,
            state.identifier,
            state.state_id,
            seconds,
            extra=log_fields(self._namespace, state),
        )

    def _told(self, state: ClaimedState, error: BaseException, redact: Redactor) -> str:
        """Log why a state failed, and return what is reported of it."""
        if isinstance(error, TimedOut | ProcessTimeout):
            node = self._nodes[state.node_name]
            end = _END_OF_TIMED_OUT[self._rooms.place_of(node.make)]
            text = f"TimeoutError: {state.node_name} ran longer than its timeout of {node.timeout} s{end}"
            if not isinstance(error.__cause__, TimeoutError | None):
                text += f"; on its way out it raised {describe_exception(error.__cause__, redact)}"
        elif isinstance(error, ProcessFailure):
            # It was redacted in its process.
            text = str(error)
        elif isinstance(error, StateError | OutputError | APIError):
            text = describe_refusal(error, redact)
        else:
            text = describe_exception(error, redact, names_of_models(self._nodes[state.node_name].make))
        place = error.place if isinstance(error, ProcessFailure) else place_of(error.__cause__ or error, redact)
        return self._logged(state, text, place)

    def _logged(self, state: ClaimedState, text: str, place: str) -> str:
        fields = log_fields(self._namespace, state)
        logger.warning(
            "event=state_errored node=%s identifier=%s state_id=%s run_id=%s attempt=%s at='%s' retry='%s' error=%s",
            state.node_name,
            state.identifier,
            state.state_id,
            state.run_id or "unknown",
            state.attempt or "unknown",
            place or self._nodes[state.node_name].place,
            RETRY_POLICY,
            text.partition("\n")[0],
            extra=fields,
        )
        # The redacted text has the last frames; a traceback of the logger's own would show values.
        logger.debug("event=state_traceback state_id=%s text=\n%s", state.state_id, text, extra=fields)
        return text


def _checked_size(
    data: Sequence[dict[str, Any]], with_places: Callable[[Sequence[dict[str, Any]]], Iterable[_Field]]
) -> int:
    """Return about how many characters a report's data has; refuse what no service takes.

    Args:
        data: the fields, by output.
        with_places: gives them named by their places in the report, which only a refusal needs.
    """
    size = outcomes.size_of(data)
    # A character has four bytes at the most: only what might be too large is counted in bytes.
    if 4 * size > outcomes.MAX_REPORT_BYTES and (problem := outcomes.oversize(with_places(data))):
        raise StateError(problem)
    return size
