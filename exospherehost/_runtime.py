"""The runtime: registers nodes, claims their states, executes them, and ends in good order."""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
import threading
import warnings
from collections.abc import AsyncGenerator, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any

from exospherehost import _config
from exospherehost._config import ClientCertificate, Timeouts
from exospherehost._errors import APIError, ConfigurationError
from exospherehost._executor import Executor
from exospherehost._logging import configure_default_logging
from exospherehost._node import BaseNode, check_nodes, secret_names
from exospherehost._poller import Poller
from exospherehost._retry import Backoff, is_transient
from exospherehost._session import Session
from exospherehost_client import models

logger = logging.getLogger(__name__)

_REGISTRATION = Backoff(initial=0.25, maximum=15.0)


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
        grace_period: how long `stop()` lets running states go on before it cancels them, seconds.
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
        self._settings = _config.resolve_connection(
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
        self._name = name
        if not isinstance(nodes, Iterable):
            raise ConfigurationError(f"nodes={nodes!r} is not a list of node classes")
        nodes = tuple(nodes)
        check_nodes(nodes)
        self._nodes = {node.__name__: node for node in nodes}
        self._batch_size = _whole("batch_size", batch_size)
        self._workers = _whole("workers", workers)
        self._poll_interval = _seconds("poll_interval", poll_interval, above_zero=True)
        self._grace_period = _seconds("grace_period", grace_period, above_zero=False)
        self._lock = threading.Lock()
        self._stopping = False
        self._run: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._task: asyncio.Task[None] | None = None
        self._registered = asyncio.Event()

    def __repr__(self) -> str:
        return f"Runtime(namespace={self._settings.namespace!r}, name={self._name!r}, nodes={list(self._nodes)})"

    def start(self) -> asyncio.Task[None] | None:
        """Run until stopped: blocking where no event loop runs, else as a task.

        Blocking in the main thread, SIGINT and SIGTERM stop it as `stop()` does, and a second one
        cuts the grace period short.

        Returns:
            None when it has blocked until all has ended; inside a running event loop, the task of
            `run()`, which the caller awaits or cancels.

        Raises:
            APIStatusError: the service refused the registration, for instance 401.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is None:
            asyncio.run(self._run_with_signals(_replaceable_signals()))
            return None
        self._task = loop.create_task(self.run(), name=f"exospherehost-runtime-{self._name}")
        return self._task

    def stop(self) -> None:
        """Stop claiming, let running states finish within the grace period, then end; from any thread.

        Calling it again changes nothing. Called before `run()`, it makes that end at once.
        """
        with self._lock:
            self._stopping = True
            run = self._run
        if run is not None:
            loop, stop_asked = run
            try:
                loop.call_soon_threadsafe(stop_asked.set)
            except RuntimeError:
                # The loop has been closed since: there is nothing left to stop.
                logger.debug("event=stop_after_end runtime=%s", self._name)

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
                raise RuntimeError(f"runtime {self._name!r} is running already; make another Runtime")
            self._run = asyncio.get_running_loop(), stop_asked
            if self._stopping:
                stop_asked.set()
        try:
            await self._run_until(stop_asked)
        finally:
            with self._lock:
                self._run = None
                self._stopping = False
            # Who still waits must not wait for ever; the next run has an event of its own.
            self._registered.set()
            self._registered = asyncio.Event()

    async def ready(self) -> None:
        """Wait until the nodes are registered, so that graphs which use them can be verified.

        To be awaited on the event loop that `run()` is, or will be, on.

        Raises:
            RuntimeError: the run ended before that; its task says why.
        """
        await self._registered.wait()
        if self._run is None:
            raise RuntimeError(f"runtime {self._name!r} ended before its nodes were registered; await its task for why")

    async def _run_with_signals(self, signals: Sequence[signal.Signals]) -> None:
        loop = asyncio.get_running_loop()
        run = asyncio.ensure_future(self.run())
        signalled = False

        def on_signal() -> None:
            nonlocal signalled
            if signalled:
                run.cancel()
            signalled = True
            self.stop()

        for number in signals:
            try:
                loop.add_signal_handler(number, on_signal)
            except NotImplementedError:  # Windows: Ctrl-C cancels this task instead
                break
        try:
            await run
        except asyncio.CancelledError:
            if not signalled:
                raise

    async def _run_until(self, stop_asked: asyncio.Event) -> None:
        names = list(self._nodes)
        async with (
            _threads(self._workers, f"exospherehost-{self._name}", stop_asked) as threads,
            Session(self._settings) as session,
        ):
            if not await _unless(stop_asked, self._register(session)):
                return
            self._registered.set()
            logger.info(
                "event=runtime_started namespace=%s runtime=%s nodes=%s workers=%d",
                self._settings.namespace,
                self._name,
                ",".join(names),
                self._workers,
            )
            poller = Poller(session, names, self._batch_size, self._poll_interval)
            executor = Executor(session, self._nodes, self._settings.protected_values(), threads)
            work = _Work(poller, executor, self._workers)
            grace = self._grace_period
            try:
                await work.go_on(stop_asked)
            except asyncio.CancelledError:
                grace = 0.0
                raise
            finally:
                try:
                    await work.finish(grace)
                finally:
                    logger.info(
                        "event=runtime_ended runtime=%s executed=%d cancelled=%d",
                        self._name,
                        work.started,
                        work.cancelled,
                    )

    async def _register(self, session: Session) -> None:
        """Register the nodes, waiting for a service that cannot be reached yet."""
        body = models.RegisterNodesRequest(
            runtime_name=self._name,
            nodes=[
                models.NodeRegistration(
                    name=name,
                    inputs_schema=node.Inputs.model_json_schema(),
                    outputs_schema=node.Outputs.model_json_schema(mode="serialization"),
                    secrets=secret_names(node),
                )
                for name, node in self._nodes.items()
            ],
        )
        attempt = 0
        while True:
            try:
                await session.register_nodes(body)
            except APIError as error:
                if not is_transient(error):
                    raise
                attempt += 1
                if attempt == 1:
                    logger.warning("event=registration_failing runtime=%s reason=%s", self._name, error)
            else:
                return
            await asyncio.sleep(_REGISTRATION.wait(attempt))


class _Work:
    """The states that a runtime holds: claimed when there is room, executed each in a task of its own."""

    def __init__(self, poller: Poller, executor: Executor, workers: int) -> None:
        self._poller = poller
        self._executor = executor
        self._workers = workers
        self._running: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._room.set()
        self._claim: asyncio.Task[list[models.ClaimedState]] | None = None
        self.started = 0
        self.cancelled = 0

    async def go_on(self, stop_asked: asyncio.Event) -> None:
        """Claim and start states until asked to stop."""
        while await _unless(stop_asked, self._room.wait()):
            # In a task of its own, because a claim that is broken off may have taken states already.
            self._claim = asyncio.ensure_future(self._poller.claim(self._workers - len(self._running)))
            states = await asyncio.shield(self._claim)
            if stop_asked.is_set():
                return
            self._claim = None
            for state in states:
                self._start(state)
            await _unless(stop_asked, self._poller.rest())

    async def finish(self, grace: float) -> None:
        """Hand back what has not started, let the rest end within `grace` seconds, then cancel it."""
        try:
            if self._claim is not None:
                await asyncio.gather(*map(self._executor.hand_back, await self._claim))
            if self._running:
                await asyncio.wait(self._running, timeout=grace)
        finally:
            # Also when a second signal has broken off the wait: each task hands its state back.
            self.cancelled = len(self._running)
            if self._running:
                logger.warning("event=grace_period_over cancelled=%d states=handed back", self.cancelled)
            for task in self._running:
                task.cancel()
            if self._running:
                await asyncio.wait(self._running)

    def _start(self, state: models.ClaimedState) -> None:
        self.started += 1
        task = asyncio.create_task(self._executor.execute(state), name=f"exospherehost-state-{state.state_id}")
        self._running.add(task)
        task.add_done_callback(self._ended)
        if len(self._running) >= self._workers:
            self._room.clear()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if len(self._running) < self._workers:
            self._room.set()
        self._poller.hurry()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Nothing of a state's own gets here, so this is a fault of this package: it must be seen.
            logger.error("event=executor_failed task=%s", task.get_name(), exc_info=error)


@asynccontextmanager
async def _threads(workers: int, prefix: str, stop_asked: asyncio.Event) -> AsyncGenerator[ThreadPoolExecutor, None]:
    """Give threads for plain functions, and wait for what still runs in them without blocking the loop.

    A function cannot be broken off. While it is waited for, signals must still arrive; being cancelled
    after a stop was asked for ends even that wait.
    """
    loop = asyncio.get_running_loop()
    threads = ThreadPoolExecutor(workers, thread_name_prefix=prefix)
    leave = False
    try:
        yield threads
    except asyncio.CancelledError:
        leave = stop_asked.is_set()
        raise
    finally:
        ended = asyncio.Event()

        def shut_down() -> None:
            threads.shutdown()
            with suppress(RuntimeError):  # the loop has not waited, and is closed
                loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=shut_down, name=f"{prefix}-end", daemon=True).start()
        if not leave:
            await ended.wait()


def _replaceable_signals() -> list[signal.Signals]:
    """List the stop signals that this thread can handle and the program has no handler of its own for."""
    if threading.current_thread() is not threading.main_thread():
        return []
    defaults = (signal.SIG_DFL, signal.default_int_handler)
    return [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) in defaults]


async def _unless(stop_asked: asyncio.Event, action: Coroutine[Any, Any, Any]) -> bool:
    """Await an action unless, or until, a stop is asked for; tells whether the action came to its end."""
    doing = asyncio.ensure_future(action)
    stop = asyncio.ensure_future(stop_asked.wait())
    try:
        await asyncio.wait((doing, stop), return_when=asyncio.FIRST_COMPLETED)
        if stop_asked.is_set():
            return False
        doing.result()
        return True
    finally:
        for task in (doing, stop):
            task.cancel()
        await asyncio.gather(doing, stop, return_exceptions=True)


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
