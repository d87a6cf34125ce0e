"""Processes in which nodes run that keep a processor busy."""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import json
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime, timedelta
from multiprocessing.context import SpawnContext, SpawnProcess
from operator import attrgetter
from typing import Any

from pebble import ProcessExpired
from pebble import ProcessPool as PebblePool

from exospherehost._nodes.node import BaseNode, NodeContext
from exospherehost._nodes.node_models import names_of_models
from exospherehost._nodes.signals import PruneSignal, ReQueueAfterSignal, lone_signal
from exospherehost._redaction import Redactor, describe_exception, describe_refusal, place_of
from exospherehost._runtime.node_outputs import OutputError
from exospherehost._runtime.prepared_node import PreparedNode, StateError

logger = logging.getLogger(__name__)


class ProcessFailure(Exception):
    """Why an execution in a process failed; its text has been redacted there and can be reported.

    Args:
        text: the text.
        place: the file and line of the user's code; empty if it is not known.
    """

    def __init__(self, text: str, place: str = "") -> None:
        super().__init__(text)
        self.place = place


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

    async def call(
        self,
        node: type[BaseNode],
        inputs: Mapping[str, Any],
        secrets: Mapping[str, str],
        context: NodeContext,
        protected: Sequence[str],
    ) -> list[dict[str, Any]]:
        """Make a node in a process and call its `execute` there; cancelling this kills the process.

        The node is named, and all else is JSON: the process imports the class and validates into its models. The
        timeout counts from the moment in which a process has begun with it.

        Args:
            node: the node's class.
            inputs: the state's inputs.
            secrets: the state's secrets.
            context: the state's context; its `shared` and `deadline` stay here.
            protected: values that must not leave the process in a text.

        Returns:
            The outputs, as JSON has them.

        Raises:
            ProcessFailure: it failed there.
            ProcessTimeout: it ran longer than its timeout.
            PruneSignal: it raised that; ReQueueAfterSignal likewise.
        """
        timeout = node.execution.timeout
        # What the runtime's nodes share lives in this process alone.
        facts = context._replace(shared=None, deadline=None)._asdict()
        arguments = [node.__module__, node.__qualname__, json.dumps([inputs, secrets, facts, list(protected)])]
        try:
            try:
                kind, value = await asyncio.wrap_future(self._schedule(_execute, arguments, timeout))
            except BrokenProcessPool:
                # None that was in the pool was known to have begun; at most one of them ended the process.
                kind, value = await asyncio.wrap_future(self._schedule(_execute, arguments, timeout))
        except ProcessExpired as error:
            raise ProcessFailure(
                f"the process of {node.__name__} ended with status {error.exitcode}, before execute returned: "
                "it was killed, ran out of memory, or left by os._exit"
            ) from None
        except BrokenProcessPool:
            raise ProcessFailure(
                f"the process of {node.__name__} ended twice before execute was known to have begun: "
                "it was killed, ran out of memory, or left by os._exit"
            ) from None
        except TimeoutError:
            raise ProcessTimeout from None
        if kind == "failure":
            raise ProcessFailure(*json.loads(value))
        if kind == "prune":
            raise PruneSignal(json.loads(value))
        if kind == "requeue":
            raise ReQueueAfterSignal(timedelta(milliseconds=int(value)))
        outputs: list[dict[str, Any]] = json.loads(value)
        return outputs

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
    return PebblePool(max_workers=count, initializer=_begin, context=_Context())


class _Process(SpawnProcess):
    """A process that is killed outright, since it leaves the stop signals to the runtime."""

    def terminate(self) -> None:
        """Kill it."""
        self.kill()


class _Context(SpawnContext):
    """Makes such processes."""

    Process = _Process


def _begin() -> None:
    """Leave stopping to the runtime: Ctrl-C, SIGTERM to the group and a hang-up reach every process of the program.

    By a handler, and not by ignoring them, which a program that a node starts would inherit.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _leave_to_the_runtime)


def _leave_to_the_runtime(_number: int, _frame: object) -> None:
    pass


def _nothing() -> None:
    """Show that a process has started."""


def _execute(module: str, name: str, arguments: str) -> tuple[str, str]:
    """Execute a node in the process that runs this; what became of it is text, which any process can read."""
    inputs, secrets, facts, protected = json.loads(arguments)
    try:
        node_class = attrgetter(name)(importlib.import_module(module))
        prepared = _prepared(node_class)
    except BaseException as raised:  # noqa: BLE001 - the user's module may raise anything
        described = describe_exception(raised, Redactor(protected))
        return _failure(
            f"{name} cannot be imported from {module} in a process of its own: {described}", raised, protected
        )
    try:
        node = prepared.make()
        prepared.set_inputs(node, inputs)
        prepared.set_secrets(node, secrets)
        node.context = NodeContext(**facts)
        if prepared.timeout is not None:
            node.context = node.context._replace(deadline=datetime.now(UTC) + timedelta(seconds=prepared.timeout))
        result: Any = node.execute()
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
        return "result", json.dumps(prepared.dumped(result))
    except (StateError, OutputError) as error:
        return _failure(describe_refusal(error, Redactor(protected)), error, protected)
    except BaseException as raised:  # noqa: BLE001 - whatever a node lets out is its state's error
        lone = lone_signal(raised)
        if isinstance(lone, ReQueueAfterSignal):
            return "requeue", str(lone.delay_ms)
        if isinstance(lone, PruneSignal):
            return _pruned(node_class, lone, protected)
        text = describe_exception(raised, Redactor(protected), names_of_models(node_class))
        return _failure(text, raised, protected)


def _failure(text: str, error: BaseException, protected: Sequence[str]) -> tuple[str, str]:
    return "failure", json.dumps([text, place_of(error, Redactor(protected))])


@functools.cache
def _prepared(node_class: type[BaseNode]) -> PreparedNode:
    return PreparedNode(node_class)


def _pruned(node_class: type[BaseNode], raised: PruneSignal, protected: Sequence[str]) -> tuple[str, str]:
    try:
        return "prune", json.dumps(raised.data)
    except (TypeError, ValueError, RecursionError) as error:
        described = describe_exception(error, Redactor(protected))
        text = f"{node_class.__name__} pruned its state with data that is not JSON: {described}"
        return _failure(text, raised, protected)
