"""The states that a runtime holds: waiting, or executed by one of its workers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from exospherehost._nodes.node import BaseNode
from exospherehost._runtime import outcomes
from exospherehost._runtime.outbox import Outbox
from exospherehost._runtime.outcomes import Outcome, handed_back, log_fields
from exospherehost._runtime.own_context import in_own_context
from exospherehost._runtime.own_tasks import abandon
from exospherehost._runtime.stats import Counters
from exospherehost_client.models import ClaimedState

logger = logging.getLogger(__name__)

PREFETCH_SECONDS = 0.05
"""States are claimed ahead only as far as the workers will have started them within this time."""

CANCEL_SECONDS = 2.0
"""How long a cancelled node may take to end."""

_SMOOTHING = 0.1


class Executes(Protocol):
    """What executes a state."""

    def execute(self, state: ClaimedState, is_given_up: Callable[[], bool]) -> Coroutine[Any, Any, Outcome]:
        """Execute a state to its outcome, or let the cancellation out by which it has been given up."""
        ...


class WorkerPool:
    """A fixed number of tasks that execute waiting states.

    Args:
        executor: executes a state.
        outbox: takes the outcomes.
        counters: where to count.
        namespace: for the log.
        nodes: the node classes by name, for their own limits.
        count: how many states are executed at once.
        most_ahead: the most states claimed ahead of that.
    """

    def __init__(
        self,
        executor: Executes,
        outbox: Outbox,
        counters: Counters,
        *,
        namespace: str,
        nodes: Mapping[str, type[BaseNode]],
        count: int,
        most_ahead: int,
    ) -> None:
        self._executor = executor
        self._outbox = outbox
        self._counters = counters
        self._namespace = namespace
        self._count = count
        self._most_ahead = most_ahead
        self._limits = {
            name: limit for name, node in nodes.items() if (limit := node.execution.concurrency) is not None
        }
        self._names = list(nodes)
        self._waiting: deque[ClaimedState] = deque()
        self._executing: dict[str, tuple[ClaimedState, asyncio.Task[None]]] = {}
        self._held: set[str] = set()
        self._busy: Counter[str] = Counter()
        self._lost: set[str] = set()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._is_waking = False
        self._mean_seconds = float("inf")
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._stopping = False
        self._life: asyncio.Task[Any] | None = None

    # ---- room ----------------------------------------------------------------------------------

    def plan(self, *, sweep: bool = False) -> tuple[list[str], int]:
        """Tell what to claim now: states of which nodes, and how many at the most.

        A claim cannot say how many of each node it wants. While a node with a limit is among those asked
        for, it asks for no more than that node has room for; a sweep asks for the others alone.

        Args:
            sweep: leave nodes with a limit out.
        """
        room = self._room()
        if not self._limits or not room:
            return self._names, room
        held = self._busy + Counter(state.node_name for state in self._waiting)
        left = {name: limit - held[name] for name, limit in self._limits.items()}
        if sweep:
            return [name for name in self._names if name not in left], room
        names = [name for name in self._names if left.get(name, 1) > 0]
        return names, min(room, *(count for count in left.values() if count > 0), room)

    @property
    def has_limits(self) -> bool:
        """Whether some node has a limit of its own."""
        return bool(self._limits)

    def _room(self) -> int:
        ahead = min(self._most_ahead, int(self._count * PREFETCH_SECONDS / max(self._mean_seconds, 1e-6)))
        waiting = len(self._waiting)
        if waiting > ahead // 2:
            # Claiming by the handful costs as many requests as it brings states.
            return 0
        return max(0, self._count + ahead - len(self._executing) - waiting)

    async def wait_for_room(self) -> None:
        """Wait until a state can be taken."""
        while True:
            nodes, room = self.plan()
            if nodes and room:
                return
            self._changed.clear()
            await self._changed.wait()

    # ---- states --------------------------------------------------------------------------------

    def add(self, states: list[ClaimedState]) -> None:
        """Take claimed states."""
        self._waiting.extend(states)
        self._held.update(state.state_id for state in states)
        self._wake()

    def holds(self, state_id: str) -> bool:
        """Tell whether a state is waiting or executed here."""
        return state_id in self._held

    def lose(self, state_id: str) -> bool:
        """Drop a state whose lease was lost: its execution is cancelled and nothing is reported.

        Returns:
            Whether it was waiting or executed here.
        """
        executed = self._executing.get(state_id)
        state = next((each for each in self._waiting if each.state_id == state_id), None)
        if executed is not None:
            state, task = executed
            self._lost.add(state_id)
            task.cancel()
        elif state is not None:
            self._waiting.remove(state)
            self._held.discard(state_id)
            self._count_states()
        else:
            return False
        self._counters.lost_leases += 1
        logger.warning(
            "event=lease_lost node=%s identifier=%s state_id=%s",
            state.node_name,
            state.identifier,
            state_id,
            extra=log_fields(self._namespace, state),
        )
        return True

    # ---- life ----------------------------------------------------------------------------------

    def start(self) -> list[asyncio.Task[None]]:
        """Start the workers; their tasks end when they are cancelled."""
        self._life = asyncio.current_task()
        # Listed by `asyncio.all_tasks`, unlike the runtime's own tasks, so that a debugger shows what is executed.
        self._tasks = [
            asyncio.create_task(self._work(), name=f"exospherehost-worker-{number}") for number in range(self._count)
        ]
        return self._tasks

    def hand_back_waiting(self) -> None:
        """Give back every state that has not been started."""
        while self._waiting:
            state = self._waiting.popleft()
            self._held.discard(state.state_id)
            self._outbox.submit_now(handed_back(state.state_id, log_fields(self._namespace, state)))
        self._count_states()

    async def finished(self) -> None:
        """Wait until nothing is executed."""
        while self._executing:
            self._changed.clear()
            await self._changed.wait()

    async def stop(self) -> None:
        """Cancel the workers; what they execute is cancelled and handed back. Once."""
        self._stopping = True
        if not self._tasks:
            return
        for task in self._tasks:
            task.cancel()
        _, deaf = await asyncio.wait(self._tasks, timeout=CANCEL_SECONDS)
        self._tasks = []
        self._note_change()
        for task in deaf:
            abandon(task)
        for state in [state for state, task in self._executing.values() if task in deaf]:
            # It catches its cancellation and goes on: nothing can end it but the end of the program.
            self._lost.add(state.state_id)
            fields = log_fields(self._namespace, state)
            logger.error(
                "event=cancellation_ignored node=%s identifier=%s state_id=%s seconds=%.0f",
                state.node_name,
                state.identifier,
                state.state_id,
                CANCEL_SECONDS,
                extra=fields,
            )
            self._outbox.submit_now(handed_back(state.state_id, log_fields(self._namespace, state)))

    async def _work(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine of ours runs in a task
        name = task.get_name()
        while not self._stopping:
            state = self._next()
            if state is None:
                task.set_name(name)
                self._note_change()
                turn = asyncio.get_running_loop().create_future()
                self._idle.append(turn)
                await turn
                self._is_waking = False
                continue
            state_id = state.state_id
            task.set_name(f"exospherehost-state-{state_id}")
            self._executing[state_id] = state, task
            if self._limits:
                self._busy[state.node_name] += 1
            self._wake()
            try:
                await self._see_through(state, task)
            finally:
                del self._executing[state_id]
                self._held.discard(state_id)
                if self._limits:
                    self._busy[state.node_name] -= 1
                # Nobody is told, nor woken for what waits: this worker takes the next itself, or tells that it is idle.

    async def _see_through(self, state: ClaimedState, task: asyncio.Task[None]) -> None:
        """Execute a state and submit its outcome, or hand it back; nothing of either when it is lost."""
        outcome: Outcome | None = None
        try:
            outcome = await self._execute(state)
            if task.cancelling() and not self._has_given_up(state.state_id):
                await self._forget_cancellation(task)
            if not self._has_given_up(state.state_id):
                # The state counts as executing until this returns, so that its lease is renewed.
                await self._outbox.submit(outcome)
                return
            # The node ended in spite of a cancellation: what it has done counts, if the state is still ours.
        except asyncio.CancelledError:
            if state.state_id not in self._lost:
                self._outbox.submit_now(outcome or handed_back(state.state_id, log_fields(self._namespace, state)))
            if self._stopping:
                raise
        else:
            if state.state_id not in self._lost:
                self._outbox.submit_now(outcome)
        self._lost.discard(state.state_id)
        await self._forget_cancellation(task)

    async def _execute(self, state: ClaimedState) -> Outcome:
        began = time.monotonic()
        try:
            outcome = await in_own_context(self._executor.execute(state, lambda: self._has_given_up(state.state_id)))
        except Exception as error:
            # Nothing of the state's own gets here, so this is a fault of this package: it must be seen.
            fields = log_fields(self._namespace, state)
            logger.exception("event=worker_failed state_id=%s", state.state_id, extra=fields)
            text = f"the runtime could not execute this state: {type(error).__name__}; its log says more"
            return outcomes.errored(state.state_id, text, fields=fields)
        self._note_duration(time.monotonic() - began)
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug(
                "event=state_executed node=%s identifier=%s state_id=%s outcome=%s",
                state.node_name,
                state.identifier,
                state.state_id,
                outcome.kind,
                extra=outcome.fields,
            )
        return outcome

    def _has_given_up(self, state_id: str) -> bool:
        """Tell whether it is from here that an execution has been cancelled."""
        # Whoever cancels the runtime's task may cancel workers and what nodes have started too, as `asyncio.run` does.
        is_ending = self._life is not None and self._life.cancelling() > 0
        return self._stopping or is_ending or state_id in self._lost

    async def _forget_cancellation(self, task: asyncio.Task[None]) -> None:
        """Have a worker go on after a cancellation that was of its state: a lost lease, or the node's own doing."""
        if self._stopping:
            return
        try:
            # One that has been asked for and not been raised yet comes here.
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if self._stopping:
                raise
        while task.cancelling() and not self._stopping:
            task.uncancel()

    def _next(self) -> ClaimedState | None:
        """Take the first waiting state whose node is below its limit."""
        if not self._limits:
            return self._waiting.popleft() if self._waiting else None
        for index, state in enumerate(self._waiting):
            limit = self._limits.get(state.node_name)
            if limit is None or self._busy[state.node_name] < limit:
                del self._waiting[index]
                return state
        return None

    def _wake(self) -> None:
        """Wake one idle worker where a state waits; each wakes the next when it has taken its own.

        Not another one before that has come to run: nodes that never wait leave nothing for it.
        """
        self._note_change()
        while self._idle and self._waiting and not self._is_waking:
            turn = self._idle.popleft()
            if not turn.done():
                turn.set_result(None)
                self._is_waking = True

    def _note_change(self) -> None:
        self._changed.set()
        self._count_states()

    def _note_duration(self, seconds: float) -> None:
        mean = self._mean_seconds
        self._mean_seconds = seconds if mean == float("inf") else mean + _SMOOTHING * (seconds - mean)

    def _count_states(self) -> None:
        self._counters.running = len(self._executing)
        self._counters.waiting = len(self._waiting)
