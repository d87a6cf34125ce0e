"""The runtime: what a user makes, starts and stops."""

from __future__ import annotations

import asyncio
import logging
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Unpack

from exospherehost import _config
from exospherehost._config import ConnectionOptions
from exospherehost._logging import configure_default_logging
from exospherehost._nodes.node import BaseNode
from exospherehost._runtime.foreground import run_in_foreground
from exospherehost._runtime.settings import checked_settings
from exospherehost._runtime.stats import Counters, RuntimeStats

if TYPE_CHECKING:
    from exospherehost._runtime.liveness import Liveness

logger = logging.getLogger(__name__)


class Runtime:
    """Executes nodes for a namespace until it is stopped.

    Args:
        namespace: the namespace to register in and claim from.
        name: this runtime's name, for the service's lists.
        nodes: the node classes; their names are the nodes' names.
        state_manager_uri: the service, or several separated by commas: it stays with one and moves on
            when that cannot be reached. Default: `EXOSPHERE_STATE_MANAGER_URI`.
        key: the API key. Default: `EXOSPHERE_API_KEY`.
        batch_size: the most states in one claim.
        workers: the most states executed at once.
        state_manager_version: the version that stands in the service's paths.
        poll_interval: the longest wait between two claims when there is no work, seconds.
        grace_period: how long `stop()` lets running states go on before it cancels them, and then how long
            it goes on delivering their outcomes, seconds.
        lease: on a service with leases, how long a claim holds unless it is renewed, seconds, from 1 to 86,400:
            a crashed runtime's states come back after that. None to ask for none.
        lifespan: makes an async context manager that is entered before the first claim and left after the
            last report; nodes find what it gives in `self.context.shared`.
        journal: a file that keeps claims and undelivered outcomes, so that a crash loses neither.
        liveness: `HOST:PORT` at which `GET /live` and `GET /ready` are answered while it runs; port 0 takes a free
            one, which `liveness_address` tells. None for no such endpoint.
        state_manage_version: the published spelling of `state_manager_version`; deprecated.
        connection: how to reach the service, by name: see `ConnectionOptions`.

    Raises:
        ConfigurationError: (a ValueError) an argument, a variable or a node breaks a rule.
    """

    def __init__(
        self,
        namespace: str,
        name: str,
        nodes: Sequence[type[BaseNode]],
        state_manager_uri: str | None = None,
        key: str | None = None,
        batch_size: int = _config.DEFAULT_BATCH_SIZE,
        workers: int = _config.DEFAULT_WORKERS,
        state_manager_version: str = _config.DEFAULT_API_VERSION,
        poll_interval: float = _config.DEFAULT_POLL_INTERVAL,
        *,
        grace_period: float = _config.DEFAULT_GRACE_PERIOD,
        lease: float | None = _config.DEFAULT_LEASE,
        lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None = None,
        journal: str | Path | None = None,
        liveness: str | None = None,
        state_manage_version: str | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        if state_manage_version is not None:
            warnings.warn(
                "state_manage_version is deprecated; use state_manager_version", DeprecationWarning, stacklevel=2
            )
            state_manager_version = state_manage_version
        settings = _config.resolve_connection(
            namespace=namespace,
            state_manager_uri=state_manager_uri,
            key=key,
            api_version=state_manager_version,
            **connection,
        )
        self._plan = checked_settings(
            settings=settings,
            name=name,
            nodes=nodes,
            batch_size=batch_size,
            workers=workers,
            poll_interval=poll_interval,
            grace_period=grace_period,
            lease=lease,
            lifespan=lifespan,
            journal=journal,
        )
        self._make_liveness = None if liveness is None else _maker_of_liveness(liveness)
        self._liveness: Liveness | None = None
        self._counters = Counters()
        self._lock = threading.Lock()
        self._stopping = False
        self._run: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._task: asyncio.Task[None] | None = None
        self._registered = asyncio.Event()
        self._has_ended = False

    def __reduce__(self) -> NoReturn:
        raise TypeError(_config.KEEPS_A_KEY.format(type(self).__name__))

    def __repr__(self) -> str:
        return (
            f"Runtime(namespace={self._plan.settings.namespace!r}, name={self._plan.name!r}, "
            f"nodes={list(self._plan.nodes)})"
        )

    def start(self) -> asyncio.Task[None] | None:
        """Run until stopped: blocking where no event loop runs, else as a task.

        Blocking in the main thread, SIGINT and SIGTERM stop it as `stop()` does, and a second one, half a second
        later or more, cuts the grace period short. On Windows, Ctrl-C and Ctrl-Break do the same. The event loop is
        uvloop's where that is installed.

        Returns:
            None when it has blocked until all has ended, or at once if a stop signal ended an earlier `start()` of
            this program; inside a running event loop, the task of
            `run()`, which the caller awaits or cancels.

        Raises:
            APIStatusError: the service refused the registration, for instance 401.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is None:
            run_in_foreground(self._plan.name, self.run, self.stop)
            return None
        self._task = loop.create_task(self.run(), name=f"exospherehost-runtime-{self._plan.name}")
        self._task.add_done_callback(self._tell_failure)
        return self._task

    def _tell_failure(self, task: asyncio.Task[None]) -> None:
        """Log why a run has failed whose task perhaps nobody awaits."""
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("event=runtime_failed runtime=%s reason=%s", self._plan.name, error)

    def stop(self) -> None:
        """Stop claiming, let running states finish within the grace period, then end; from any thread.

        Calling it again changes nothing. Called before `run()`, it makes that end at once.
        """
        with self._lock:
            run = self._run
            # After the end there is nothing to stop; and the next run is not to be stopped by this.
            self._stopping = self._stopping or run is not None or not self._has_ended
        if run is not None:
            loop, stop_asked = run
            try:
                loop.call_soon_threadsafe(stop_asked.set)
            except RuntimeError:
                # The loop has been closed since: there is nothing left to stop.
                logger.debug("event=stop_after_end runtime=%s", self._plan.name)

    async def run(self) -> None:
        """Run until `stop()` is called; returns when everything has ended.

        When its task is cancelled, running states are cancelled and handed back first.

        Raises:
            APIStatusError: the service refused the registration, for instance 401.
            RuntimeError: it is running already.
        """
        configure_default_logging()
        stop_asked = asyncio.Event()
        with self._lock:
            if self._run is not None:
                raise RuntimeError(f"runtime {self._plan.name!r} is running already; make another Runtime")
            self._run = asyncio.get_running_loop(), stop_asked
            if self._stopping:
                stop_asked.set()
        # Not before: what only a run needs takes tens of milliseconds to load.
        from exospherehost._runtime.lifecycle import run_runtime  # noqa: PLC0415

        self._counters = Counters()
        try:
            async with AsyncExitStack() as stack:
                if self._make_liveness is not None:
                    stack.callback(setattr, self, "_liveness", None)
                    liveness = self._make_liveness(self.stats, stop_asked.is_set)
                    self._liveness = await stack.enter_async_context(liveness)
                await run_runtime(
                    stop_asked, self._plan, self._counters, registered=self._registered.set, ready=self._note_ready
                )
        finally:
            with self._lock:
                self._run = None
                self._stopping = False
                self._has_ended = True
            # Who still waits must not wait for ever; the next run has an event of its own.
            self._registered.set()
            self._registered = asyncio.Event()

    async def _start(self) -> None:
        """Run until stopped, as 0.0.3 named it; deprecated."""
        warnings.warn("Runtime._start() is deprecated; use `await runtime.run()`", DeprecationWarning, stacklevel=2)
        await self.run()

    def _note_ready(self) -> None:
        if self._liveness is not None:
            self._liveness.started()

    def stats(self) -> RuntimeStats:
        """Return what has been counted since the runtime was started."""
        return self._counters.snapshot()

    @property
    def liveness_address(self) -> str | None:
        """Where the liveness endpoint is, `HOST:PORT`; None while there is none."""
        return None if self._liveness is None else self._liveness.address

    async def ready(self) -> None:
        """Wait until the nodes are registered, so that graphs which use them can be verified.

        To be awaited on the event loop that `run()` is, or will be, on.

        Raises:
            RuntimeError: the run ended before that; its task says why.
        """
        if self._run is None and self._has_ended:
            # A task that has just been made for the next run is to begin first.
            await asyncio.sleep(0)
        if self._run is not None or not self._has_ended:
            await self._registered.wait()
        if self._run is None:
            raise RuntimeError(
                f"runtime {self._plan.name!r} ended before its nodes were registered; await its task for why"
            )


def _maker_of_liveness(address: str) -> Callable[[Callable[[], RuntimeStats], Callable[[], bool]], Liveness]:
    # Only here, since most programs have none and would load an HTTP server with it.
    from exospherehost._runtime.liveness import Liveness, parse_address  # noqa: PLC0415

    return partial(Liveness, parse_address(address))
