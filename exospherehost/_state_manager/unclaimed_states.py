"""Notices that nobody claims the states of a run that is waited for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from exospherehost._state_manager.runs import Transition
from exospherehost_client import models

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 30.0
"""How long states may wait without a claim before a warning; each further one comes after twice the time."""

LOOK_SECONDS = 5.0


@dataclass(slots=True)
class _Node:
    since: float
    count: int = 0
    told_at: float = 0.0


class UnclaimedStates:
    """Watches which nodes of a run have states that nobody claims.

    A service tells of a state that it waits, and not whether a delay holds it back, so a warning says both.

    Args:
        run_id: The run, for the log.
        clock: Tells the time, in seconds.
    """

    def __init__(self, run_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._run_id = run_id
        self._clock = clock
        self._waiting: dict[str, str] = {}
        self._nodes: dict[str, _Node] = {}

    def look(self, states: Iterable[models.RunGraphNode]) -> None:
        """Note how all states of the run stand."""
        waiting = {each.id: each.node_name for each in states if each.status == models.StateStatus.CREATED}
        # A state that no longer waits has been claimed, or was changed by hand.
        for state_id in self._waiting.keys() - waiting.keys():
            self._claimed(state_id)
        for state_id, node_name in waiting.items():
            self._created(state_id, node_name)

    def note(self, transition: Transition) -> None:
        """Note one transition of a state."""
        if transition.status == models.StateStatus.CREATED:
            self._created(transition.state_id, transition.node_name)
        else:
            self._claimed(transition.state_id)

    def describe(self, least_seconds: float = PATIENCE_SECONDS) -> list[str]:
        """Describe each node whose states have waited for a time without a claim."""
        now = self._clock()
        return [
            _described(node_name, node.count, now - node.since)
            for node_name, node in self._nodes.items()
            if now - node.since >= least_seconds
        ]

    def tell(self) -> None:
        """Log a warning for each node whose states have waited for long, less and less often."""
        now = self._clock()
        for node_name, node in self._nodes.items():
            seconds = now - node.since
            if seconds >= max(PATIENCE_SECONDS, 2 * node.told_at):
                node.told_at = seconds
                logger.warning(
                    "event=states_unclaimed run_id=%s node=%s states=%d seconds=%.0f advice=%r",
                    self._run_id,
                    node_name,
                    node.count,
                    seconds,
                    _described(node_name, node.count, seconds),
                )

    @asynccontextmanager
    async def telling(self) -> AsyncGenerator[None, None]:
        """Log such warnings beside the block."""
        telling = asyncio.create_task(self._tell_on(), name="exospherehost-unclaimed-states")
        try:
            yield
        finally:
            telling.cancel()
            await asyncio.wait((telling,))

    async def _tell_on(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.tell()

    def _created(self, state_id: str, node_name: str) -> None:
        if state_id not in self._waiting:
            self._waiting[state_id] = node_name
            self._nodes.setdefault(node_name, _Node(self._clock())).count += 1

    def _claimed(self, state_id: str) -> None:
        node_name = self._waiting.pop(state_id, None)
        if node_name is None:
            return
        count = self._nodes.pop(node_name).count - 1
        if count:
            self._nodes[node_name] = _Node(self._clock(), count)


def _described(node_name: str, count: int, seconds: float) -> str:
    waiting = f"1 state of node {node_name} waits" if count == 1 else f"{count} states of node {node_name} wait"
    return (
        f"{waiting}, and no runtime has claimed {node_name} for {seconds:.0f} s: start a runtime with {node_name} in "
        "this namespace, unless a start delay or the delay of a retry explains it"
    )
