"""The state manager's face for code that is not async; what it does is in the async one."""

from __future__ import annotations

import ssl
import weakref
from collections.abc import Coroutine, Generator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeAlias, TypeVar

from exospherehost import _config
from exospherehost._config import ClientCertificate, Timeouts
from exospherehost._graphs.models import CronTrigger, GraphNodeModel, RetryPolicyModel, StoreConfigModel, TriggerState
from exospherehost._state_manager.loop_thread import LoopThread
from exospherehost._state_manager.runs import Run, Transition
from exospherehost._state_manager.state_manager import StateManager
from exospherehost._state_manager.task_iterator import TaskIterator
from exospherehost_client import models

if TYPE_CHECKING:
    from exospherehost_client import AuthenticatedClient

Json: TypeAlias = dict[str, Any]
T = TypeVar("T")


class SyncStateManager:
    """The `StateManager` for scripts, web handlers and notebooks: the same methods, without `await`.

    One object serves all threads of a process, also those in which an event loop runs, although a call holds
    that loop up. It keeps one pool of connections on an event loop in a thread of its own, which the first
    call starts: close it, or use it as a context manager; what is left open is closed at the end of the program.
    Ctrl-C during a call cancels the call.

    The thread does not survive a fork: make the object, or its first call, after it.

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
        self._namespace = namespace
        self._manager = StateManager(
            namespace,
            state_manager_uri,
            key,
            state_manager_version,
            timeouts=timeouts,
            headers=headers,
            proxy=proxy,
            verify=verify,
            cert=cert,
        )
        self._thread = LoopThread(self._manager, f"exospherehost-state-manager-{namespace}")
        # Without waiting, since the garbage collector may run anywhere; the thread itself waits at the program's end.
        weakref.finalize(self, self._thread.close, waits=False).atexit = False

    def __reduce__(self) -> NoReturn:
        raise TypeError(_config.KEEPS_A_KEY.format(type(self).__name__))

    def __repr__(self) -> str:
        return f"SyncStateManager(namespace={self._namespace!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the pool of connections and end the thread; calls that are waiting end with a RuntimeError.

        Calling it again changes nothing; other calls are refused afterwards.
        """
        self._thread.close()

    @property
    def namespace(self) -> str:
        """The namespace that the calls are about."""
        return self._namespace

    @property
    def raw_client(self) -> AuthenticatedClient:
        """The generated client, authenticated, for every endpoint that has no method here.

        Use the plain functions of its endpoints, such as `list_namespaces.sync(client=manager.raw_client)`.
        It is closed with this object.
        """
        return self._call(_raw_client(self._manager))

    # ---- triggering ----------------------------------------------------------------------------

    def trigger(
        self,
        graph_name: str,
        state: TriggerState | None = None,
        states: Sequence[TriggerState] | None = None,
        *,
        inputs: Mapping[str, str] | None = None,
        store: Mapping[str, str] | None = None,
        start_delay: int = 0,
        idempotency_key: str | None = None,
    ) -> Json:
        """Start a run of a graph; see `StateManager.trigger`."""
        return self._call(
            self._manager.trigger(
                graph_name,
                state,
                states,
                inputs=inputs,
                store=store,
                start_delay=start_delay,
                idempotency_key=idempotency_key,
            )
        )

    # ---- graphs and nodes ----------------------------------------------------------------------

    def get_graph(self, graph_name: str) -> Json:
        """Read a graph template and its validation status; see `StateManager.get_graph`."""
        return self._call(self._manager.get_graph(graph_name))

    def upsert_graph(
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
        """Create a graph template, or replace it, and wait until it is verified; see `StateManager.upsert_graph`."""
        return self._call(
            self._manager.upsert_graph(
                graph_name,
                graph_nodes,
                secrets,
                retry_policy,
                store_config,
                triggers,
                validation_timeout,
                polling_interval,
            )
        )

    def list_graphs(self) -> list[models.GraphListItem]:
        """Read all graph templates of the namespace; see `StateManager.list_graphs`."""
        return self._call(self._manager.list_graphs())

    def delete_graph(self, graph_name: str) -> models.DeleteGraphResponse:
        """Delete a graph template, ending its schedules and its runs; see `StateManager.delete_graph`."""
        return self._call(self._manager.delete_graph(graph_name))

    def list_nodes(self) -> list[models.RegisteredNode]:
        """Read all nodes that are registered in the namespace; see `StateManager.list_nodes`."""
        return self._call(self._manager.list_nodes())

    # ---- runs ----------------------------------------------------------------------------------

    def get_run(self, run_id: str) -> Run:
        """Read a run: its status, and all its states; see `StateManager.get_run`."""
        return self._call(self._manager.get_run(run_id))

    def list_runs(self, *, limit: int | None = None) -> Generator[models.RunSummary, None, None]:
        """Iterate over the runs of the namespace, newest first; see `StateManager.list_runs`."""
        return self._each(self._manager.list_runs(limit=limit))

    def get_state(self, state_id: str, *, run_id: str, graph_name: str) -> models.StateDetail:
        """Read one state in full; see `StateManager.get_state`."""
        return self._call(self._manager.get_state(state_id, run_id=run_id, graph_name=graph_name))

    def watch(self, run_id: str, *, last_event_id: str | None = None) -> Generator[Transition, None, None]:
        """Iterate over the transitions of a run's states, to its end; see `StateManager.watch`."""
        return self._each(self._manager.watch(run_id, last_event_id=last_event_id))

    def wait(self, run_id: str, *, timeout: float | None = None) -> Run:
        """Wait until a run has ended, well or not, and return it; see `StateManager.wait`."""
        return self._call(self._manager.wait(run_id, timeout=timeout))

    def retry(self, state_id: str, *, fanout_id: str | None = None) -> models.ManualRetryResponse:
        """Execute a state again; see `StateManager.retry`."""
        return self._call(self._manager.retry(state_id, fanout_id=fanout_id))

    def cancel(self, run_id: str) -> models.CancelRunResponse:
        """End a run; see `StateManager.cancel`."""
        return self._call(self._manager.cancel(run_id))

    # ---- inside --------------------------------------------------------------------------------

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._thread.run(coroutine)

    def _each(self, items: TaskIterator[T]) -> Generator[T, None, None]:
        # Holds this object, so that it is not collected while it is iterated over.
        try:
            while (found := self._call(_next(items))) is not None:
                yield found[0]
        finally:
            items.release()


async def _raw_client(manager: StateManager) -> AuthenticatedClient:
    """Read it where nothing else does meanwhile, so that all threads get the same one."""
    return manager.raw_client


async def _next(items: TaskIterator[T]) -> tuple[T] | None:
    try:
        return (await anext(items),)
    except StopAsyncIteration:
        return None
