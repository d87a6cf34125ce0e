"""The states of the in-memory server: which are due, which are claimed, and what became of each."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Any

NAMESPACE = "bench"
LEASE_EXPIRES_AT = "2099-01-01T00:00:00.000000Z"
REPORTS = {
    "executed": b'{"status":"EXECUTED"}',
    "errored": b'{"status":"ERRORED","retry_created":false}',
    "prune": b'{"status":"PRUNED","enqueue_after":1}',
    "re-enqueue-after": b'{"status":"CREATED","enqueue_after":1}',
}
"""What a report is answered, by the last part of its path."""

# They mean nothing, and make the answers as long as a real service's.
_RUN_ID = "6f1c2f7e-0d5c-4a57-9d0e-2a1f0d8f4b11"
_CREATED_AT = "2026-01-01T00:00:00.000000Z"


class Supply:
    """The states: which are due, which are claimed, and what became of each.

    Args:
        endless: whether there is always one more.
        states: how many are due from the start.
        payload: how many bytes of inputs each has.
        extensions: what the service offers.
    """

    def __init__(self, *, endless: bool, states: int, payload: int, extensions: frozenset[str]) -> None:
        self.endless = endless
        self.left = states
        self.due: deque[tuple[int, str, str]] = deque()
        self.made = 0
        self.handed_out = bytearray()
        self.counts: dict[str, int] = dict.fromkeys(
            ("claims", "claimed", "reported", "duplicates", "unknown", "runs", *REPORTS), 0
        )
        self.claimed_at = 0.0
        self.steps: list[str] = []
        self.became_due: Callable[[], None] = lambda: None
        self.run_ended: Callable[[], None] = lambda: None
        self._text = "some text to work on"[:payload] + "x" * max(0, payload - 20)
        self._context = "context" in extensions

    def take(self, node: str, count: int, *, leased: bool) -> bytes | None:
        """Hand out up to `count` states as a claim's answer; None when nothing is due."""
        taken = [self.due.popleft() for _ in range(min(count, len(self.due)))]
        fresh = count - len(taken) if self.endless else min(count - len(taken), self.left)
        if not taken and not fresh:
            return None
        self.counts["claims"] += 1
        self.counts["claimed"] += len(taken) + fresh
        self.claimed_at = time.perf_counter()
        more = f',"graph_name":"graph","run_id":"{_RUN_ID}","attempt":1' if self._context else ""
        if self._context and leased:
            more += f',"lease_expires_at":"{LEASE_EXPIRES_AT}"'
        end = f'"}},"created_at":"{_CREATED_AT}"{more}}}'
        parts = [
            f'{{"state_id":"{number:024x}","node_name":"{name}","identifier":"{name}","inputs":{{"text":"{text}{end}'
            for number, name, text in taken
        ]
        if fresh:
            first = self._make(fresh)
            self.left -= fresh
            end = f'","node_name":"{node}","identifier":"{node}","inputs":{{"text":"{self._text}{end}'
            parts += [f'{{"state_id":"{number:024x}{end}' for number in range(first, first + fresh)]
        for number, _, _ in taken:
            self.handed_out[number] = 1
        head = f'{{"count":{len(parts)},"namespace":"{NAMESPACE}","status":"QUEUED","states":['
        return f"{head}{','.join(parts)}]}}".encode()

    def report(self, state_id: bytes | str, kind: str) -> None:
        """Note what became of a state."""
        self.counts[kind] += 1
        number = int(state_id, 16)
        if number >= self.made or not self.handed_out[number]:
            self.counts["unknown" if number >= self.made else "duplicates"] += 1
            return
        self.handed_out[number] = 0
        if kind != "re-enqueue-after":
            self.counts["reported"] += 1

    def add(self, text: str, step: int = 0) -> None:
        """Make a state of a step due."""
        number = self._make(1)
        self.handed_out[number] = 0
        self.due.append((number, self.steps[step], text))
        self.became_due()

    def go_on(self, name: str, text: str) -> None:
        """Make the step after a reported one due, or end the run."""
        step = self.steps.index(name) + 1
        if step < len(self.steps):
            self.add(text, step)
        else:
            self.counts["runs"] += 1
            self.run_ended()

    def _make(self, count: int) -> int:
        first = self.made
        self.made += count
        self.handed_out.extend(b"\x01" * count)
        return first


class Arrivals:
    """Makes states due at the times that a seed gives, the same for everyone who is measured.

    Args:
        supply: where they go.
        plan: `steps`, names of nodes; `count`; `seed`; and either `rate`, arrivals a second at random, or
            `pauses`, the shortest and longest time between the end of one run and the next.
    """

    def __init__(self, supply: Supply, plan: dict[str, Any]) -> None:
        self._supply = supply
        self._left: int = plan["count"]
        self._random = random.Random(plan["seed"])  # noqa: S311 - no secret
        self._rate: float | None = plan.get("rate")
        self._pauses: tuple[float, float] = tuple(plan.get("pauses", (0, 0)))
        supply.steps = plan["steps"]
        supply.run_ended = self._ended
        self._next_at = time.monotonic()
        for _ in range(plan.get("at_once", 1)):
            self._plan_next()

    def _plan_next(self) -> None:
        if not self._left:
            return
        self._left -= 1
        if self._rate is not None:
            self._next_at += self._random.expovariate(self._rate)
            delay = max(0.0, self._next_at - time.monotonic())
        else:
            delay = self._random.uniform(*self._pauses)
        asyncio.get_running_loop().call_later(delay, self._arrive)

    def _arrive(self) -> None:
        self._supply.add(str(time.monotonic_ns()))
        if self._rate is not None:
            self._plan_next()

    def _ended(self) -> None:
        if self._rate is None:
            self._plan_next()
