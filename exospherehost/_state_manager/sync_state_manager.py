"""The state manager for code that is not async: the operations of the async one, on an event loop in a thread."""

from __future__ import annotations

import weakref
from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, Unpack

from exospherehost import _config
from exospherehost._config import ConnectionOptions
from exospherehost._state_manager.loop_thread import LoopThread
from exospherehost._state_manager.state_manager import StateManager
from exospherehost._state_manager.sync_operations import SyncOperations
from exospherehost._state_manager.task_iterator import TaskIterator

if TYPE_CHECKING:
    from exospherehost_client import AuthenticatedClient

T = TypeVar("T")


class SyncStateManager(SyncOperations):
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
        self._namespace = namespace
        self._manager = StateManager(
            namespace,
            state_manager_uri,
            key,
            state_manager_version,
            **connection,
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
