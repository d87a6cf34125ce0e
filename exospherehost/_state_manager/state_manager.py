"""The state manager's face for programs: graphs and triggers, beside what it does with runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from secrets import token_hex
from typing import Any, TypeAlias, TypeVar, Unpack, overload

from pydantic import BaseModel
from pydantic_core import from_json
from typing_extensions import deprecated

from exospherehost import _config
from exospherehost._config import ConnectionOptions, checked_segment
from exospherehost._errors import (
    APIError,
    APIResponseError,
    ConfigurationError,
    ExosphereError,
    GraphValidationError,
    GraphValidationTimeoutError,
    InvalidTriggerError,
)
from exospherehost._graphs.models import CronTrigger, GraphNodeModel, RetryPolicyModel, StoreConfigModel, TriggerState
from exospherehost._redaction import Redactor, validated
from exospherehost._state_manager.run_operations import RunOperations
from exospherehost._state_manager.trigger_forms import RootCache, check_key, check_texts, entries_of, published_form
from exospherehost._transport.manager_session import ManagerSession
from exospherehost._transport.service_warnings import WarningLog
from exospherehost_client import models
from exospherehost_client.extensions import DELETE_GRAPH, IDEMPOTENCY, TRIGGER_STATES
from exospherehost_client.types import Response

Json: TypeAlias = dict[str, Any]
M = TypeVar("M", bound=BaseModel)


class StateManager(RunOperations):
    """Stores graphs, starts their runs, and follows, reads, retries and cancels them.

    Use it as an async context manager to keep one pool of connections; used without, each call opens
    and closes its own, and nothing has to be closed. `SyncStateManager` is the same for code that is not async.

    Args:
        namespace: the namespace of the graphs.
        state_manager_uri: the service, or several separated by commas: it stays with one and moves on
            when that cannot be reached. Default: `EXOSPHERE_STATE_MANAGER_URI`.
        key: the API key. Default: `EXOSPHERE_API_KEY`.
        state_manager_version: the version that stands in the service's paths.
        connection: how to reach the service, by name: see `ConnectionOptions`.

    Raises:
        ConfigurationError: (a ValueError) an argument or a variable is missing or malformed.
    """

    def __init__(
        self,
        namespace: str,
        state_manager_uri: str | None = None,
        key: str | None = None,
        state_manager_version: str = _config.DEFAULT_API_VERSION,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        settings = _config.resolve_connection(
            namespace=namespace,
            state_manager_uri=state_manager_uri,
            key=key,
            api_version=state_manager_version,
            **connection,
        )
        super().__init__(settings)
        self._roots = RootCache()
        self._warnings = WarningLog()

    # ---- triggering ----------------------------------------------------------------------------

    @overload
    async def trigger(
        self,
        graph_name: str,
        state: TriggerState | None = None,
        states: Sequence[TriggerState] | None = None,
        *,
        inputs: Mapping[str, str] | None = None,
        store: Mapping[str, str] | None = None,
        start_delay: int = 0,
        idempotency_key: str | None = None,
    ) -> Json: ...

    @overload
    @deprecated("pass inputs= and store= by name")
    async def trigger(
        self,
        graph_name: str,
        state: Mapping[str, str],
        states: Mapping[str, str] | None = None,
        *published: int,
        start_delay: int = 0,
    ) -> Json: ...

    async def trigger(
        self,
        graph_name: str,
        state: TriggerState | Mapping[str, str] | None = None,
        states: Sequence[TriggerState] | Mapping[str, str] | None = None,
        *published: int,
        inputs: Mapping[str, str] | None = None,
        store: Mapping[str, str] | None = None,
        start_delay: int = 0,
        idempotency_key: str | None = None,
    ) -> Json:
        """Start a run of a graph.

        Give either trigger states (`state` or `states`) or the root's `inputs`; `store` and
        `start_delay` go with both. Several states, or a state at a node that is not the root, need a
        service with the extension `trigger-states`, such as the embedded one.

        Args:
            graph_name: the graph.
            state: one state to begin with.
            states: several states to begin with, in one run.
            inputs: laid over the template's inputs of the root.
            published: the start delay, as the fourth argument of 0.0.3; deprecated.
            store: the run's store.
            start_delay: milliseconds until the first states are due. Default: 0.
            idempotency_key: on a service with the extension `idempotency`, the same key starts no second
                run within 24 hours. Default: a new key for each call.

        Returns:
            The service's answer as JSON, with the `run_id`.

        Raises:
            InvalidTriggerError: (a ValueError) neither form, both forms, or no states; an input that the graph does
                not have; a text that the service would expand. Nothing was sent.
            UnsupportedByServerError: the service cannot begin with these states; nothing was sent.
            TriggerOutcomeUnknownError: the connection was lost after sending; the run may exist.
            APIStatusError: the service refused, for instance 404 for an unknown graph.
            APIConnectionError: the service could not be reached.
        """
        checked_segment("graph_name", graph_name)
        state, states, inputs, store, start_delay = published_form(state, states, published, inputs, store, start_delay)
        has_other_arguments = store is not None or start_delay != 0
        entries = entries_of(state, states, inputs, has_other_arguments=has_other_arguments)
        check_key(idempotency_key)
        body: Json = {"store": store or {}, "start_delay": start_delay}
        if entries is None:
            body["inputs"] = inputs or {}
        else:
            # Whole, since what was never set would be left out: an entry without inputs has empty ones.
            body["states"] = [entry.model_dump() for entry in entries]
        # Checked before the service is asked for anything.
        request = validated(models.TriggerGraphRequest.model_validate, body, _as(InvalidTriggerError))
        check_texts(inputs, entries, store)
        has_inputs = bool(inputs) if entries is None else any(entry.inputs for entry in entries)
        async with self._connected() as session:
            extensions = await _known_extensions(session, needed=entries is not None)
            was_known = False
            if has_inputs and (entries is None or TRIGGER_STATES in extensions):
                was_known = await self._roots.learn(session, graph_name)
                # Another service may be in use since.
                extensions = await _known_extensions(session, needed=entries is not None)
            if entries is not None and TRIGGER_STATES not in extensions:
                request.inputs, request.states = await self._roots.as_inputs(session, graph_name, entries), None
                entries = None
            elif has_inputs:
                await self._roots.check_names(session, graph_name, inputs or {}, entries, may_be_stale=was_known)
            honoured = IDEMPOTENCY in extensions
            if idempotency_key is None and honoured:
                idempotency_key = token_hex(16)
            response = await session.trigger_graph(
                graph_name,
                request,
                idempotency_key=idempotency_key,
                is_honoured=honoured,
            )
        self._warnings.tell("trigger_graph", response.parsed.warnings)
        if entries is not None and response.parsed.states is None:
            # A service that has lost the extension since it was asked drops the unknown key.
            self._memory.extensions.clear()
            raise APIResponseError(
                f"the service ignored the states: run {response.parsed.run_id} of graph {graph_name!r} exists and has "
                "begun at the root without them"
            )
        return _json(response)

    # ---- graphs --------------------------------------------------------------------------------

    async def get_graph(self, graph_name: str) -> Json:
        """Read a graph template and its validation status.

        Returns:
            The service's answer as JSON.

        Raises:
            NotFoundError: there is no such graph.
            APIError: the request did not end well.
        """
        checked_segment("graph_name", graph_name)
        async with self._connected() as session:
            return _json(await session.get_graph(graph_name))

    async def upsert_graph(
        self,
        graph_name: str,
        graph_nodes: Sequence[GraphNodeModel],
        secrets: Mapping[str, str],
        retry_policy: RetryPolicyModel | None = None,
        store_config: StoreConfigModel | None = None,
        triggers: Sequence[CronTrigger] | None = None,
        validation_timeout: float = 60,
        polling_interval: float = 1,
    ) -> Json:
        """Create a graph template, or replace it, and wait until it is verified.

        Args:
            graph_name: the graph.
            graph_nodes: its nodes, exactly one of which is the root.
            secrets: secret values by name, for the nodes that declare them.
            retry_policy: what happens when a state fails. Default: the service's (3 retries).
            store_config: the keys of a run's store. Default: none.
            triggers: schedules. Default: none; those of an earlier version end.
            validation_timeout: seconds to wait for the verification.
            polling_interval: seconds between two looks at it.

        Returns:
            The verified template as the service answers it, as JSON.

        Raises:
            ConfigurationError: (a ValueError) an argument is not of its kind; nothing was sent.
            GraphValidationError: the graph is stored and INVALID.
            GraphValidationTimeoutError: the graph is stored and not verified yet.
            BadRequestError: the template breaks a rule; nothing is stored.
            APIError: the request did not end well.
        """
        checked_segment("graph_name", graph_name)
        nodes = _of_kind(GraphNodeModel, graph_nodes, "graph_nodes")
        body: Json = {"secrets": secrets, "nodes": [node.model_dump() for node in nodes]}
        if retry_policy is not None:
            body["retry_policy"] = _of_kind(RetryPolicyModel, [retry_policy], "retry_policy")[0].model_dump()
        if store_config is not None:
            body["store_config"] = _of_kind(StoreConfigModel, [store_config], "store_config")[0].model_dump()
        if triggers is not None:
            crons = _of_kind(CronTrigger, triggers, "triggers")
            body["triggers"] = [cron.to_trigger().model_dump() for cron in crons]
        request = validated(models.UpsertGraphRequest.model_validate, body, _as(ConfigurationError))
        self._roots.forget(graph_name)
        deadline = time.monotonic() + validation_timeout
        async with self._connected() as session:
            response = await session.upsert_graph(graph_name, request)
            while response.parsed.validation_status == models.ValidationStatus.PENDING:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise GraphValidationTimeoutError(
                        f"graph {graph_name!r} is stored and still PENDING after {validation_timeout} s; "
                        "raise validation_timeout, or look again with get_graph"
                    )
                await asyncio.sleep(min(polling_interval, remaining))
                response = await session.get_graph(graph_name, needed=("validation_status",))
        if response.parsed.validation_status != models.ValidationStatus.VALID:
            redact = Redactor((*self._settings.protected_values(), *request.secrets.values()))
            reasons = [redact(reason) for reason in response.parsed.validation_errors or ()]
            raise GraphValidationError(graph_name, str(response.parsed.validation_status), reasons)
        return _json(response)

    async def list_graphs(self) -> list[models.GraphListItem]:
        """Read all graph templates of the namespace, with their validation status.

        The values of `secrets` are masks; the hosted service sends ciphertexts there.

        Raises:
            APIError: the request did not end well.
        """
        async with self._connected() as session:
            return await session.list_graphs()

    async def delete_graph(self, graph_name: str) -> models.DeleteGraphResponse:
        """Delete a graph template: its schedules end, and its running runs as by `cancel`.

        Runs that have ended stay readable. Needs a service with the extension `delete-graph`, such as the
        embedded one.

        Args:
            graph_name: the graph.

        Returns:
            The graph's name, and how many runs were ended.

        Raises:
            UnsupportedByServerError: the service does not have the extension; nothing was sent.
            NotFoundError: there is no such graph.
            APIConnectionError: no response; where its `sent` is true, the graph may have been deleted.
            APIError: the request did not end well.
        """
        checked_segment("graph_name", graph_name)
        self._roots.forget(graph_name)
        async with self._connected() as session:
            return await self._with_extension(session, DELETE_GRAPH, lambda: session.delete_graph(graph_name))

    # ---- nodes ---------------------------------------------------------------------------------

    async def list_nodes(self) -> list[models.RegisteredNode]:
        """Read all nodes that runtimes have registered in the namespace, with their schemas.

        Raises:
            APIError: the request did not end well.
        """
        async with self._connected() as session:
            return await session.list_nodes()


async def _known_extensions(session: ManagerSession, *, needed: bool) -> frozenset[str]:
    try:
        return await session.extensions()
    except APIError:
        # Plain inputs need no extension: what ails the service shows when they are sent.
        if needed:
            raise
        return frozenset()


def _as(error_class: type[ExosphereError]) -> Callable[[str], ExosphereError]:
    return lambda problem: error_class(f"nothing was sent: {problem}")


def _of_kind(kind: type[M], values: Sequence[M], name: str) -> Sequence[M]:
    # A model can be iterated over, too: it gives its fields.
    if not isinstance(values, Iterable) or isinstance(values, BaseModel):
        raise ConfigurationError(f"{name} is a {type(values).__name__}; pass a list of {kind.__name__}")
    checked = list(values)
    for value in checked:
        if not isinstance(value, kind):
            raise ConfigurationError(f"{name} has a {type(value).__name__} where a {kind.__name__} belongs")
    return checked


def _json(response: Response[Any]) -> Json:
    answer: Json = from_json(response.content)
    return answer
