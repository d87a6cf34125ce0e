"""Processes in which nodes run that keep a processor busy."""

from __future__ import annotations

import asyncio
import inspect
import logging
import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime, timedelta
from typing import Any

from pebble import ProcessExpired
from pebble import ProcessPool as PebblePool
from pydantic import BaseModel

from exospherehost._nodes.node import BaseNode, NodeContext
from exospherehost._nodes.signals import PruneSignal, ReQueueAfterSignal
from exospherehost._redaction import Redactor, describe_exception

logger = logging.getLogger(__name__)


class ProcessFailure(Exception):
    """Why an execution in a process failed; its text has been redacted there and can be reported."""


class ProcessTimeout(Exception):
    """An execution in a process ran longer than its timeout, and the process was killed."""


class ProcessPool:
    """A pool of processes, each of which can be killed.

    Args:
        count: how many there are; all are started with the first.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool = _new_pool(count)
        self._broken: list[PebblePool] = []
        self._stopped = False

    async def start(self) -> None:
        """Start the processes; returns when one is ready."""
        await asyncio.wrap_future(self._schedule(_nothing))

    async def stop(self) -> None:
        """Kill the processes."""
        self._stopped = True
        for pool in (*self._broken, self._pool):
            pool.stop()  # type: ignore[no-untyped-call]
            await asyncio.to_thread(pool.join)

    async def call(self, node: BaseNode, protected: Sequence[str]) -> Any:
        """Call a node's `execute` in a process; cancelling this kills it.

        Its timeout counts from the moment in which a process has begun with it.

        Raises:
            ProcessFailure: it failed there.
            ProcessTimeout: it ran longer than its timeout.
            PruneSignal: it raised that; ReQueueAfterSignal likewise.
        """
        timeout = node.execution.timeout
        # What the runtime's nodes share lives in this process alone.
        context = node.context._replace(shared=None)
        arguments = [type(node), node.inputs, node.secrets, context, tuple(protected)]
        try:
            try:
                kind, value = await asyncio.wrap_future(self._schedule(_execute, arguments, timeout))
            except BrokenProcessPool:
                # None that was in the pool was known to have begun; at most one of them ended the process.
                kind, value = await asyncio.wrap_future(self._schedule(_execute, arguments, timeout))
        except ProcessExpired as error:
            raise ProcessFailure(
                f"the process of {type(node).__name__} ended with status {error.exitcode}, before execute returned: "
                "it was killed, ran out of memory, or left by os._exit"
            ) from None
        except BrokenProcessPool:
            raise ProcessFailure(
                f"the process of {type(node).__name__} ended twice before execute was known to have begun: "
                "it was killed, ran out of memory, or left by os._exit"
            ) from None
        except TimeoutError:
            raise ProcessTimeout from None
        if kind == "signal":
            raise value
        if kind == "failure":
            raise ProcessFailure(value)
        return value

    def _schedule(
        self, function: Callable[..., Any], args: Sequence[Any] = (), timeout: float | None = None
    ) -> Future[Any]:
        # A pool whose last process dies in idleness, or before it has told what it works at, takes nothing any more.
        if not self._pool.active and not self._stopped:
            logger.warning("event=processes_replaced")
            self._broken.append(self._pool)
            self._pool = _new_pool(self._count)
        return self._pool.schedule(function, args=args, timeout=timeout)


def _new_pool(count: int) -> PebblePool:
    # Spawned, because a fork of a program with threads and an event loop may deadlock.
    return PebblePool(max_workers=count, initializer=_begin, context=multiprocessing.get_context("spawn"))


def _begin() -> None:
    # A terminal's Ctrl-C reaches every process of the program, and is for the runtime to deal with.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _nothing() -> None:
    """Show that a process has started."""


def _execute(
    node_class: type[BaseNode],
    inputs: BaseModel,
    secrets: BaseModel,
    context: NodeContext,
    protected: Sequence[str],
) -> tuple[str, Any]:
    """Execute a node in the process that runs this."""
    timeout = node_class.execution.timeout
    try:
        node = node_class()
        node.inputs, node.secrets, node.context = inputs, secrets, context
        if timeout is not None:
            node.context = context._replace(deadline=datetime.now(UTC) + timedelta(seconds=timeout))
        result: Any = node.execute()
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
    except (PruneSignal, ReQueueAfterSignal) as raised:
        return "signal", raised
    except BaseException as error:  # noqa: BLE001 - whatever a node lets out is its state's error
        # As text, because not every exception can be sent to another process.
        return "failure", describe_exception(error, Redactor(protected))
    return "result", result
