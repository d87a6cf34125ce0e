"""One run of a runtime: what it opens, how it registers, and what it sets to work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

from exospherehost._errors import ConfigurationError
from exospherehost._runtime.coordinator import Coordinator
from exospherehost._runtime.journal import Journal
from exospherehost._runtime.node_runner import NodeRunner
from exospherehost._runtime.poller import Poller
from exospherehost._runtime.registration import register
from exospherehost._runtime.settings import RuntimeSettings
from exospherehost._runtime.state_executor import StateExecutor
from exospherehost._runtime.stats import Counters
from exospherehost._runtime.telemetry import observed
from exospherehost._transport.carrier_choice import fastest_carrier
from exospherehost._transport.runtime_session import RuntimeSession

logger = logging.getLogger(__name__)


async def run_runtime(
    stop_asked: asyncio.Event,
    plan: RuntimeSettings,
    counters: Counters,
    *,
    registered: Callable[[], None],
    ready: Callable[[], None],
) -> None:
    """Run until asked to stop; returns when all has ended.

    Args:
        stop_asked: set to end the run in good order. Cancelling the task cuts the grace period short.
        plan: what to do.
        counters: where to count.
        registered: called when the nodes are registered.
        ready: called before the first claim.

    Raises:
        APIStatusError: the service refused the registration.
        ConfigurationError: the journal cannot be used.
    """
    namespace = plan.settings.namespace
    async with AsyncExitStack() as stack:
        journal = None
        if plan.journal is not None:
            journal = await stack.enter_async_context(Journal(plan.journal, namespace))
        rooms = NodeRunner(plan.workers, plan.name, plan.nodes.values())
        await stack.enter_async_context(rooms)
        session = await stack.enter_async_context(RuntimeSession(plan.settings, fastest_carrier))
        if not await _unless(stop_asked, register(session, plan)):
            return
        registered()
        # Learn the extensions before the first claim: a claim without a lease cannot be recovered after a crash.
        if not await _unless(stop_asked, session.learn_extensions()):
            return
        shared = None if plan.lifespan is None else await _open(stack, plan.lifespan, stop_asked, plan)
        if stop_asked.is_set():
            return
        ready()
        logger.info(
            "event=runtime_started namespace=%s runtime=%s nodes=%s workers=%d",
            namespace,
            plan.name,
            ",".join(plan.nodes),
            plan.workers,
        )
        coordinator = _assemble(stack, session, rooms, journal, shared, plan=plan, counters=counters)
        await _run_and_log(coordinator, stop_asked, plan, counters)


def _assemble(
    stack: AsyncExitStack,
    session: RuntimeSession,
    rooms: NodeRunner,
    journal: Journal | None,
    shared: Any,
    *,
    plan: RuntimeSettings,
    counters: Counters,
) -> Coordinator:
    """Put together what claims, executes and reports."""
    namespace = plan.settings.namespace
    poller = Poller(
        session,
        counters,
        batch_size=plan.batch_size,
        poll_interval=plan.poll_interval,
        lease=plan.lease,
        read_timeout=plan.settings.timeouts.read,
    )
    executor = StateExecutor(session, namespace, plan.nodes, plan.settings.protected_values(), rooms, shared)
    return Coordinator(
        session,
        poller,
        stack.enter_context(observed(executor, counters, namespace=namespace, runtime=plan.name)),
        counters,
        namespace=namespace,
        nodes=plan.nodes,
        workers=plan.workers,
        most_ahead=plan.batch_size,
        lease=plan.lease,
        journal=journal,
    )


async def _run_and_log(
    coordinator: Coordinator, stop_asked: asyncio.Event, plan: RuntimeSettings, counters: Counters
) -> None:
    """Run until asked to stop, and log how it ended."""
    ended_by = "stop"
    try:
        await coordinator.run(stop_asked, plan.grace_period)
    except asyncio.CancelledError:
        ended_by = "cancellation"
        raise
    finally:
        stats = counters.snapshot()
        logger.info(
            "event=runtime_ended runtime=%s by=%s claimed=%d succeeded=%d errored=%d pruned=%d requeued=%d "
            "refused=%d lost_leases=%d undelivered=%d",
            plan.name,
            ended_by,
            stats.claimed,
            stats.succeeded,
            stats.errored,
            stats.pruned,
            stats.requeued,
            stats.refused,
            stats.lost_leases,
            stats.undelivered,
        )


async def _open(
    stack: AsyncExitStack,
    lifespan: Callable[[], AbstractAsyncContextManager[Any]],
    stop_asked: asyncio.Event,
    plan: RuntimeSettings,
) -> Any:
    """Enter the lifespan; from a stop on it has the grace period for that."""
    loop = asyncio.get_running_loop()
    scope = asyncio.timeout(None)

    def limit(stopped: asyncio.Task[Any]) -> None:
        if not stopped.cancelled():
            scope.reschedule(loop.time() + plan.grace_period)

    stop = asyncio.ensure_future(stop_asked.wait())
    try:
        # In this task and no other, since what it opens may have to be closed in the same.
        async with scope:
            stop.add_done_callback(limit)
            try:
                manager = lifespan()
                if not isinstance(manager, AbstractAsyncContextManager):
                    raise ConfigurationError(
                        f"lifespan= gave a {type(manager).__name__} and no async context manager; "
                        "decorate an async generator with contextlib.asynccontextmanager"
                    )
                return await stack.enter_async_context(manager)
            finally:
                stop.remove_done_callback(limit)
    except TimeoutError:
        if not scope.expired():
            raise
        logger.warning("event=lifespan_broken_off runtime=%s seconds=%.0f after=stop", plan.name, plan.grace_period)
        return None
    finally:
        stop.cancel()


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
