"""The state manager's face for programs: graphs and triggers."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
import uuid
import warnings
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar, overload

from pydantic import BaseModel
from typing_extensions import deprecated

from exospherehost import _config
from exospherehost._config import ClientCertificate, ConnectionSettings, Timeouts, checked_segment
from exospherehost._errors import (
    APIError,
    APIResponseError,
    ConfigurationError,
    ExosphereError,
    GraphValidationError,
    GraphValidationTimeoutError,
    InvalidTriggerError,
    UnsupportedByServerError,
)
from exospherehost._graph import CronTrigger, GraphNodeModel, RetryPolicyModel, StoreConfigModel, TriggerState
from exospherehost._redaction import Redactor, validated
from exospherehost._session import IDEMPOTENCY, TRIGGER_STATES, ServiceMemory, Session
from exospherehost_client import models
from exospherehost_client.types import Response

if TYPE_CHECKING:
    from exospherehost_client import AuthenticatedClient

Json: TypeAlias = dict[str, Any]
M = TypeVar("M", bound=BaseModel)

LONGEST_KEY = 255

ROOT_CACHE_SECONDS = 60.0


class StateManager:
    """Stores graphs and triggers their runs.

    Use it as an async context manager to keep one pool of connections; used without, each call opens
    and closes its own, and nothing has to be closed.

    Args:
        namespace: the namespace of the graphs.
        state_manager_uri: the service, or several separated by commas: it stays with one and moves on
            when that cannot be reached. Default: `EXOSPHERE_STATE_MANAGER_URI`.
        key: the API key. Default: `EXOSPHERE_API_KEY`.
        state_manager_version: the version that stands in the service's paths.
        timeouts: of each request; seconds for all parts alike, or `Timeouts`.
        headers: sent with every request.
        proxy: the URI of a proxy.
        verify: whether to verify the service's certificate; a path of authorities or an `SSLContext`.
        cert: a client certificate.

    Raises:
        ConfigurationError: (a ValueError) an argument or a variable is missing or malformed.
    """

    def __init__(
        self,
        namespace: str,
        state_manager_uri: str | None = None,
        key: str | None = None,
        state_manager_version: str = _config.DEFAULT_API_VERSION,
        *,
        timeouts: Timeouts | float | None = None,
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
        verify: bool | str | ssl.SSLContext = True,
        cert: ClientCertificate | None = None,
    ) -> None:
        self._settings: ConnectionSettings = _config.resolve_connection(
            namespace=namespace,
            state_manager_uri=state_manager_uri,
            key=key,
            api_version=state_manager_version,
            timeouts=timeouts,
            headers=headers,
            proxy=proxy,
            verify=verify,
            cert=cert,
        )
        self._memory = ServiceMemory()
        self._session: Session | None = None
        self._roots: dict[str, tuple[float, models.GraphNodeDetail]] = {}

    def __repr__(self) -> str:
        return f"StateManager(namespace={self._settings.namespace!r})"

    async def __aenter__(self) -> Self:
        if self._session is not None:
            raise RuntimeError("this StateManager is open already; make another one, or leave the first block")
        self._session = self._new_session()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the pool of connections; calling it again changes nothing."""
        session, self._session = self._session, None
        if session is not None:
            await session.aclose()

    @property
    def raw_client(self) -> AuthenticatedClient:
        """The generated client, authenticated, for every endpoint that has no method here.

        Inside `async with`, it shares this object's pool and is closed with it. Outside, it has a pool
        of its own: use it as a context manager.
        """
        session = self._session if self._session is not None else self._new_session()
        from exospherehost._httpx_carrier import HttpxCarrier  # noqa: PLC0415 - httpx is loaded when it is needed

        carrier = session.carrier
        assert isinstance(carrier, HttpxCarrier)  # noqa: S101 - what _new_session makes
        return carrier.client

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
        *,
        start_delay: int = 0,
    ) -> Json: ...

    async def trigger(
        self,
        graph_name: str,
        state: TriggerState | Mapping[str, str] | None = None,
        states: Sequence[TriggerState] | Mapping[str, str] | None = None,
        *,
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
            inputs: laid over the template's inputs of the root; other keys are dropped by the service.
            store: the run's store.
            start_delay: milliseconds until the first states are due. Default: 0.
            idempotency_key: on a service with the extension `idempotency`, the same key starts no second
                run within 24 hours. Default: a new key for each call.

        Returns:
            The service's answer as JSON, with the `run_id`.

        Raises:
            InvalidTriggerError: (a ValueError) neither form, both forms, or no states; nothing was sent.
            UnsupportedByServerError: the service cannot begin with these states; nothing was sent.
            TriggerOutcomeUnknownError: the connection was lost after sending; the run may exist.
            APIStatusError: the service refused, for instance 404 for an unknown graph.
            APIConnectionError: the service could not be reached.
        """
        checked_segment("graph_name", graph_name)
        state, states, inputs, store = _published_form(state, states, inputs, store)
        entries = _entries(state, states, inputs)
        _check_key(idempotency_key)
        body: Json = {"store": store or {}, "start_delay": start_delay}
        if entries is None:
            body["inputs"] = inputs or {}
        else:
            # Whole, since what was never set would be left out: an entry without inputs has empty ones.
            body["states"] = [entry.model_dump() for entry in entries]
        # Checked before the service is asked for anything.
        request = validated(models.TriggerGraphRequest, body, _as(InvalidTriggerError))
        async with self._connected() as session:
            extensions = await self._known_extensions(session, needed=entries is not None)
            if entries is not None and TRIGGER_STATES not in extensions:
                request.inputs, request.states = await self._as_root_inputs(session, graph_name, entries), None
                entries = None
            honoured = IDEMPOTENCY in extensions
            if idempotency_key is None and honoured:
                idempotency_key = str(uuid.uuid4())
            response = await session.trigger_graph(
                graph_name,
                request,
                idempotency_key=idempotency_key,
                is_honoured=honoured,
            )
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
        request = validated(models.UpsertGraphRequest, body, _as(ConfigurationError))
        self._roots.pop(graph_name, None)
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
                response = await session.get_graph(graph_name)
        if response.parsed.validation_status != models.ValidationStatus.VALID:
            redact = Redactor((*self._settings.protected_values(), *request.secrets.values()))
            reasons = [redact(reason) for reason in response.parsed.validation_errors]
            raise GraphValidationError(graph_name, str(response.parsed.validation_status), reasons)
        return _json(response)

    # ---- inside --------------------------------------------------------------------------------

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[Session, None]:
        if self._session is not None:
            yield self._session
            return
        async with self._new_session() as session:
            yield session

    def _new_session(self) -> Session:
        # httpx, because the raw client is on it and is to share the pool.
        from exospherehost._httpx_carrier import HttpxCarrier  # noqa: PLC0415 - as above

        return Session(self._settings, HttpxCarrier, self._memory)

    async def _known_extensions(self, session: Session, *, needed: bool) -> frozenset[str]:
        try:
            return await session.extensions()
        except APIError:
            # Plain inputs need no extension: what ails the service shows when they are sent.
            if needed:
                raise
            return frozenset()

    async def _as_root_inputs(
        self, session: Session, graph_name: str, entries: Sequence[TriggerState]
    ) -> dict[str, str]:
        """Turn a single entry into inputs of the root, where nothing of it gets lost by that."""
        root = await self._root(session, graph_name)
        remedy = (
            f"the root of graph {graph_name!r} is {root.identifier!r} with the inputs {sorted(root.inputs)}; give one "
            "state there with only these, or use a service with the extension trigger-states"
        )
        if len(entries) > 1:
            raise UnsupportedByServerError(f"this service begins a run with one state, not {len(entries)}: {remedy}")
        entry = entries[0]
        if entry.identifier != root.identifier:
            raise UnsupportedByServerError(f"this service cannot begin a run at {entry.identifier!r}: {remedy}")
        unknown = sorted(entry.inputs.keys() - root.inputs.keys())
        if unknown:
            raise UnsupportedByServerError(f"this service would drop the inputs {unknown}: {remedy}")
        return entry.inputs

    async def _root(self, session: Session, graph_name: str) -> models.GraphNodeDetail:
        cached = self._roots.get(graph_name)
        now = time.monotonic()
        if cached is not None and now - cached[0] < ROOT_CACHE_SECONDS:
            return cached[1]
        nodes = (await session.get_graph(graph_name)).parsed.nodes
        followers = {name for node in nodes for name in node.next_nodes or ()}
        roots = [node for node in nodes if node.identifier not in followers and node.unites is None]
        if len(roots) != 1:
            raise UnsupportedByServerError(f"graph {graph_name!r} has {len(roots)} roots, so no state can be placed")
        self._roots[graph_name] = now, roots[0]
        return roots[0]


def _published_form(
    state: TriggerState | Mapping[str, str] | None,
    states: Sequence[TriggerState] | Mapping[str, str] | None,
    inputs: Mapping[str, str] | None,
    store: Mapping[str, str] | None,
) -> tuple[TriggerState | None, Sequence[TriggerState] | None, Mapping[str, str] | None, Mapping[str, str] | None]:
    """Read the positional call of 0.0.3, where inputs came second and store third."""
    if not isinstance(state, Mapping) and not isinstance(states, Mapping):
        return state, states, inputs, store
    warnings.warn(
        "trigger(graph, inputs, store) is deprecated; use trigger(graph, inputs=..., store=...)",
        DeprecationWarning,
        stacklevel=3,
    )
    if isinstance(state, TriggerState) or (states is not None and not isinstance(states, Mapping)):
        raise InvalidTriggerError("trigger got trigger states together with a mapping; pass state= or inputs=")
    if (state is not None and inputs is not None) or (states is not None and store is not None):
        raise InvalidTriggerError("trigger got inputs or store twice, by position and by name; pass them by name")
    return None, None, state if state is not None else inputs, states if states is not None else store


def _entries(
    state: TriggerState | None, states: Sequence[TriggerState] | None, inputs: Mapping[str, str] | None
) -> list[TriggerState] | None:
    """Check that exactly one form was given; return its trigger states, or None for inputs."""
    if state is not None and states is not None:
        raise InvalidTriggerError("trigger got both state and states; pass one of them")
    if inputs is not None:
        if state is not None or states is not None:
            raise InvalidTriggerError("trigger got both trigger states and inputs; pass one of them")
        return None
    if state is None and states is None:
        raise InvalidTriggerError("trigger got neither trigger states nor inputs; pass inputs={} for none")
    entries = [state] if state is not None else list(states or ())
    if not entries:
        raise InvalidTriggerError("trigger got an empty list of states; pass at least one, or inputs={}")
    for entry in entries:
        if not isinstance(entry, TriggerState):
            raise InvalidTriggerError(f"trigger got a {type(entry).__name__} in place of a TriggerState")
    return entries


def _check_key(key: str | None) -> None:
    if key is not None and not (
        isinstance(key, str) and 0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()
    ):
        raise InvalidTriggerError(
            f"idempotency_key={key!r} cannot be sent: use 1 to {LONGEST_KEY} printable ASCII letters, such as a UUID"
        )


def _as(error_class: type[ExosphereError]) -> Callable[[str], ExosphereError]:
    return lambda problem: error_class(f"nothing was sent: {problem}")


def _of_kind(kind: type[M], values: Sequence[M], name: str) -> Sequence[M]:
    if not isinstance(values, Iterable):
        raise ConfigurationError(f"{name} is a {type(values).__name__}; pass a list of {kind.__name__}")
    checked = list(values)
    for value in checked:
        if not isinstance(value, kind):
            raise ConfigurationError(f"{name} has a {type(value).__name__} where a {kind.__name__} belongs")
    return checked


def _json(response: Response[Any]) -> Json:
    answer: Json = json.loads(response.content)
    return answer
