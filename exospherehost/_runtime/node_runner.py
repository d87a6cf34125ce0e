"""How a node's `execute` is called: on the event loop, in a thread, or in a process; and for how long."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import threading
import time
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, cast

from exospherehost._nodes.node import BaseNode, NodeContext
from exospherehost._nodes.signals import PruneSignal, ReQueueAfterSignal, lone_signal
from exospherehost._runtime.own_tasks import abandon, start_own_task

if TYPE_CHECKING:
    from exospherehost._runtime.process_pool import ProcessPool

logger = logging.getLogger(__name__)

BLOCKED_SECONDS = 0.25
"""How long one step of a node may keep the event loop before a warning names it."""

MOST_THREADS = 1_000
"""Threads are started as they are needed. More than workers are, where functions go on after a time-out."""

CANCEL_SECONDS = 2.0
"""How long a node may take to end once it has been cancelled for its time-out, before it is left alone."""

OnBlocked = Callable[[float], None]
Place: TypeAlias = Literal["loop", "thread", "process"]


class TimedOut(Exception):
    """A node ran longer than its timeout, and was cancelled; the cause is what it let out then, if anything."""


class NodeRunner:
    """Where nodes run; an async context manager.

    A function in a thread cannot be broken off. One that still runs at the end is left alone: its state has
    been given back or reported.

    Args:
        workers: the most executions at once.
        runtime: the runtime's name, for the threads' names and the log.
        nodes: the classes of the nodes.
    """

    def __init__(self, workers: int, runtime: str, nodes: Iterable[type[BaseNode]]) -> None:
        self._runtime = runtime
        nodes = tuple(nodes)
        # Found out once: it takes as long as all else that is done for a state here.
        self._on_loop = frozenset(
            node for node in nodes if node.execution.kind == "auto" and inspect.iscoroutinefunction(node.execute)
        )
        self._threads = ThreadPoolExecutor(max(workers, MOST_THREADS), thread_name_prefix=f"exospherehost-{runtime}")
        self._in_threads = 0
        self._counting = threading.Lock()
        self._processes: ProcessPool | None = None
        in_processes = [node.execution.concurrency or workers for node in nodes if node.execution.kind == "process"]
        self._most_processes = min(workers, sum(in_processes))

    async def __aenter__(self) -> Self:
        if self._most_processes:
            # Only here, because most runtimes have none.
            from exospherehost._runtime.process_pool import ProcessPool  # noqa: PLC0415

            self._processes = ProcessPool(self._most_processes)
            await self._processes.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=False)
        if self._in_threads:
            logger.warning("event=threads_left runtime=%s count=%d", self._runtime, self._in_threads)
        if self._processes is not None:
            await self._processes.stop()

    def call(self, node: BaseNode, on_blocked: OnBlocked) -> Awaitable[Any]:
        """Call a node's `execute` in this process as its settings say; what it returns is to be awaited.

        Args:
            node: the node, with its inputs, secrets and context.
            on_blocked: told how long a step of it kept the event loop, in seconds, where that was long.

        Raises:
            TimedOut: it ran longer than its timeout.
            BaseException: whatever else it lets out.
        """
        timeout = node.execution.timeout
        if timeout is None:
            return self._here(node, on_blocked)
        return self._limited(node, on_blocked, timeout)

    async def call_in_process(
        self,
        node: type[BaseNode],
        inputs: Mapping[str, Any],
        secrets: Mapping[str, str],
        context: NodeContext,
        protected: Sequence[str],
    ) -> list[dict[str, Any]]:
        """Make a node in a process, call its `execute` there, and return its outputs.

        Args:
            node: the node's class.
            inputs: the state's inputs, as the service sent them.
            secrets: the state's secrets, likewise.
            context: the state's context.
            protected: values that must not leave the node's process in a text.

        Raises:
            ProcessFailure: it failed there.
            ProcessTimeout: it ran longer than its timeout.
            PruneSignal: it raised that; ReQueueAfterSignal likewise.
        """
        assert self._processes is not None  # noqa: S101 - there are processes wherever such a node is
        return await self._processes.call(node, inputs, secrets, context, protected)

    async def _limited(self, node: BaseNode, on_blocked: OnBlocked, seconds: float) -> Any:
        """Call a node in this process, in a task of its own: cancelled when its time is over, and then left alone."""
        returned: list[Any] = []
        task = start_own_task(_keep(self._here(node, on_blocked), returned), f"limited-{type(node).__name__}")
        try:
            ended, _ = await asyncio.wait((task,), timeout=seconds)
            if ended:
                return returned[0] if returned else task.result()
            task.cancel()
            await asyncio.wait((task,), timeout=CANCEL_SECONDS)
        except asyncio.CancelledError:
            # Whoever cancels this waits for the node as long as for one without a time-out.
            task.cancel()
            try:
                await asyncio.wait((task,))
            finally:
                if not task.done():
                    abandon(task)
            return returned[0] if returned else task.result()
        if not task.done():
            # It catches its cancellation and goes on.
            logger.warning(
                "event=timeout_ignored node=%s timeout=%s seconds=%.0f", type(node).__name__, seconds, CANCEL_SECONDS
            )
            abandon(task)
            raise TimedOut
        error = None if task.cancelled() else task.exception()
        if isinstance(lone_signal(error) if error is not None else None, PruneSignal | ReQueueAfterSignal):
            raise error  # type: ignore[misc]
        raise TimedOut from error

    def place_of(self, node: type[BaseNode]) -> Place:
        """Tell where a node runs."""
        if node.execution.kind == "process":
            return "process"
        return "loop" if node in self._on_loop else "thread"

    def _here(self, node: BaseNode, on_blocked: OnBlocked) -> Awaitable[Any]:
        """Call a node in this process."""
        if type(node) in self._on_loop:
            return _timed(cast("Coroutine[Any, Any, Any]", node.execute()), on_blocked)
        return self._apart(node, on_blocked)

    async def _apart(self, node: BaseNode, on_blocked: OnBlocked) -> Any:
        """Call a node in a thread."""
        result, error = await self._in_thread(node, has_own_loop=node.execution.kind == "thread")
        if error is not None:
            raise error
        # A plain function may still return an awaitable, for instance from a partial or a decorator.
        if inspect.iscoroutine(result):
            return await _timed(result, on_blocked)
        return await result if inspect.isawaitable(result) else result

    async def _in_thread(self, node: BaseNode, *, has_own_loop: bool) -> tuple[Any, BaseException | None]:
        context = contextvars.copy_context()

        def work() -> tuple[Any, BaseException | None]:
            try:
                return context.run(_caught, node, has_own_loop)
            finally:
                with self._counting:
                    self._in_threads -= 1

        with self._counting:
            self._in_threads += 1
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


async def _keep(work: Awaitable[Any], returned: list[Any]) -> None:
    # Kept here, because a task whose node has cancelled it at the very end has no result.
    returned.append(await work)


@types.coroutine
def _timed(work: Coroutine[Any, Any, Any], on_blocked: OnBlocked) -> Generator[Any, Any, Any]:
    """Drive a node's coroutine and tell of each step that keeps the event loop for long."""
    send: Callable[[Any], Any] = work.send
    value: Any = None
    clock = time.perf_counter
    while True:
        began = clock()
        try:
            awaited = send(value)
        except StopIteration as end:
            return end.value
        finally:
            lasted = clock() - began
            if lasted > BLOCKED_SECONDS:
                on_blocked(lasted)
        try:
            value = yield awaited
            send = work.send
        except BaseException as error:  # noqa: BLE001 - a cancellation, for instance, belongs to the node first
            value, send = error, work.throw


def _caught(node: BaseNode, has_own_loop: bool) -> tuple[Any, BaseException | None]:
    # As a value, because a future cannot carry every exception: StopIteration would never arrive.
    try:
        result: Any = node.execute()
        if has_own_loop and inspect.iscoroutine(result):
            result = asyncio.run(result)
    except BaseException as error:  # noqa: BLE001 - whatever a node lets out is its state's error
        return None, error
    return result, None
