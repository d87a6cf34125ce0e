"""The runtime: what a user makes, starts and stops."""

from __future__ import annotations

import asyncio
import inspect
import logging
import signal
import ssl
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from exospherehost import _config
from exospherehost._config import ClientCertificate, Timeouts
from exospherehost._errors import ConfigurationError
from exospherehost._logging import configure_default_logging
from exospherehost._nodes.checks import check_nodes
from exospherehost._nodes.node import BaseNode
from exospherehost._runtime.settings import RuntimeSettings
from exospherehost._runtime.stats import Counters, RuntimeStats
from exospherehost_client.limits import LEASE_MS_MAX, LEASE_MS_MIN

if TYPE_CHECKING:
    from exospherehost._runtime.liveness import Liveness

logger = logging.getLogger(__name__)

_stop_signalled = threading.Event()
_SHORTEST_LEASE, _LONGEST_LEASE = LEASE_MS_MIN / 1_000, LEASE_MS_MAX / 1_000

ONE_STOP_SECONDS = 0.5
"""Stop signals so soon after the first ask for the same stop: one may be sent to a process and to its whole group."""

_STOP_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if isinstance(getattr(signal, name, None), int)
]


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
        timeouts: of each request; seconds for all parts alike, or `Timeouts`.
        headers: sent with every request.
        proxy: the URI of a proxy.
        verify: whether to verify the service's certificate; a path of authorities or an `SSLContext`.
        cert: a client certificate.
        state_manage_version: the published spelling of `state_manager_version`; deprecated.

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
        timeouts: Timeouts | float | None = None,
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
        verify: bool | str | ssl.SSLContext = True,
        cert: ClientCertificate | None = None,
        state_manage_version: str | None = None,
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
            timeouts=timeouts,
            headers=headers,
            proxy=proxy,
            verify=verify,
            cert=cert,
        )
        if not isinstance(nodes, Iterable):
            raise ConfigurationError(f"nodes={nodes!r} is not a list of node classes")
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError(
                f"name={name!r} is empty or no text; pass name= what the service's lists are to show"
            )
        nodes = tuple(nodes)
        if not nodes:
            raise ConfigurationError("nodes is empty: a runtime without nodes executes nothing; pass node classes")
        check_nodes(nodes)
        if lease is not None and not _SHORTEST_LEASE <= _seconds("lease", lease, above_zero=True) <= _LONGEST_LEASE:
            raise ConfigurationError(
                f"lease={lease!r} is not between {_SHORTEST_LEASE:g} and {_LONGEST_LEASE:,.0f} seconds; "
                "None asks for no leases"
            )
        if lifespan is not None and (not callable(lifespan) or inspect.isasyncgenfunction(lifespan)):
            raise ConfigurationError(
                f"lifespan={lifespan!r} is not a function that makes an async context manager; "
                "decorate an async generator with contextlib.asynccontextmanager"
            )
        self._plan = RuntimeSettings(
            settings=settings,
            name=name,
            nodes={node.__name__: node for node in nodes},
            batch_size=_whole("batch_size", batch_size),
            workers=_whole("workers", workers),
            poll_interval=_seconds("poll_interval", poll_interval, above_zero=True),
            grace_period=_seconds("grace_period", grace_period, above_zero=False),
            lease=None if lease is None else float(lease),
            lifespan=lifespan,
            journal=_path("journal", journal),
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
            if _stop_signalled.is_set():
                # The program was told to end, and has not: what it starts now would have to be told again.
                logger.warning("event=start_after_stop_signal runtime=%s", self._plan.name)
                return None
            with asyncio.Runner(loop_factory=_fast_loop_factory()) as runner:
                self._block(runner.get_loop())
            return None
        self._task = loop.create_task(self.run(), name=f"exospherehost-runtime-{self._plan.name}")
        self._task.add_done_callback(self._tell_failure)
        return self._task

    def _block(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run on a loop of its own until all has ended."""
        life = loop.create_task(self._run_with_signals(_replaceable_signals()))
        while True:
            try:
                loop.run_until_complete(life)
            except SystemExit as error:
                if life.done():
                    raise
                # Raised by a task that a node has started: asyncio lets it out of the loop, past all others.
                logger.warning(
                    "event=exit_ignored runtime=%s status=%r where=task_of_a_node", self._plan.name, error.code
                )
            except KeyboardInterrupt:
                # Before the signal is handled on the loop.
                life.cancel()
                with suppress(asyncio.CancelledError):
                    loop.run_until_complete(life)
                raise
            else:
                return

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

    async def _run_with_signals(self, signals: Sequence[signal.Signals]) -> None:
        loop = asyncio.get_running_loop()
        run = asyncio.ensure_future(self.run())
        first_at: float | None = None

        def on_signal() -> None:
            nonlocal first_at
            if not hasattr(sys, "ps1"):
                # Whoever types at a prompt goes on after Ctrl-C.
                _stop_signalled.set()
            if first_at is None:
                first_at = loop.time()
            elif loop.time() - first_at >= ONE_STOP_SECONDS:
                logger.warning("event=grace_period_cut_short runtime=%s by=second_signal", self._plan.name)
                run.cancel()
            self.stop()

        with _handled(loop, signals, on_signal):
            try:
                await run
            except asyncio.CancelledError:
                if first_at is None:
                    raise


def _replaceable_signals() -> list[signal.Signals]:
    """List the stop signals that this thread can handle and the program has no handler of its own for."""
    if threading.current_thread() is not threading.main_thread():
        return []
    defaults = (signal.SIG_DFL, signal.default_int_handler)
    return [number for number in _STOP_SIGNALS if signal.getsignal(number) in defaults]


@contextmanager
def _handled(
    loop: asyncio.AbstractEventLoop, signals: Sequence[signal.Signals], on_signal: Callable[[], None]
) -> Generator[None, None, None]:
    """Have signals call a function on the event loop."""

    def pass_on(_number: int, _frame: object) -> None:
        loop.call_soon_threadsafe(on_signal)

    by_loop: list[signal.Signals] = []
    before: dict[signal.Signals, Any] = {}
    for number in signals:
        try:
            loop.add_signal_handler(number, on_signal)
            by_loop.append(number)
        except NotImplementedError:  # the event loops of Windows
            before[number] = signal.signal(number, pass_on)
    try:
        yield
    finally:
        for number in by_loop:
            loop.remove_signal_handler(number)
        for number, handler in before.items():
            signal.signal(number, handler)


def _fast_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        from uvloop import new_event_loop  # noqa: PLC0415 - optional, and not needed before
    except ImportError:
        return None
    return new_event_loop


def _maker_of_liveness(address: str) -> Callable[[Callable[[], RuntimeStats], Callable[[], bool]], Liveness]:
    # Only here, since most programs have none and would load an HTTP server with it.
    from exospherehost._runtime.liveness import Liveness, parse_address  # noqa: PLC0415

    return partial(Liveness, parse_address(address))


def _path(name: str, value: str | Path | None) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str | Path) or not str(value).strip():
        raise ConfigurationError(f"{name}={value!r} is not the path of a file")
    return Path(value)


def _whole(name: str, value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(f"{name}={value!r} is not a whole number of at least 1")
    return value


def _seconds(name: str, value: float, *, above_zero: bool) -> float:
    valid = isinstance(value, int | float) and (value > 0 if above_zero else value >= 0)
    if not valid:
        bound = "above zero" if above_zero else "of at least zero"
        raise ConfigurationError(f"{name}={value!r} is not a number of seconds {bound}")
    return float(value)
