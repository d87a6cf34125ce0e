"""What a store's writing thread runs: units of work that wait together, in one transaction."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from exospherehost.server.domain.errors import Contention
from exospherehost.server.domain.records import WaitingState
from exospherehost.server.domain.store import Note, UnitOfWork
from exospherehost.server.storage.sql.base import Spoilt, savepoint
from exospherehost.server.storage.sql.batch_unit import BatchUnit
from exospherehost.server.storage.sql.unit import SqlUnit

_log = logging.getLogger(__name__)


class Busy(Contention):
    """A unit could not be run now, and nothing of it remains; it is to be run again, after a pause.

    Args:
        reason: Why.
        pause: How long to wait, in seconds.
    """

    def __init__(self, reason: str, *, pause: float) -> None:
        super().__init__(reason)
        self.pause = pause


class Task:
    """One unit that waits for a writer.

    Args:
        work: The unit.
        concerns: The id of the state that it is about; None if there are several, or none.
        patient: Whether it is worth waiting for, having been turned away before.

    Attributes:
        waiter: Who waits for it.
        result: What it returned.
        error: What it raised instead.
    """

    __slots__ = ("concerns", "error", "patient", "result", "waiter", "work")

    waiter: Waiter

    def __init__(
        self, work: Callable[[UnitOfWork], Any], *, concerns: str | None = None, patient: bool = False
    ) -> None:
        self.concerns = concerns
        self.work = work
        self.patient = patient
        self.result: Any = None
        self.error: BaseException | None = None


class Waiter:
    """Who waits, on the running event loop, until some units are over.

    Args:
        tasks: The units.

    Attributes:
        loop: The event loop.
    """

    __slots__ = ("_future", "_left", "loop")

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.loop = asyncio.get_running_loop()
        self._left = len(tasks)
        self._future: asyncio.Future[None] = self.loop.create_future()
        for task in tasks:
            task.waiter = self

    def tell(self) -> None:
        """Tell, on its event loop, that one of them is over."""
        self._left -= 1
        if not self._left and not self._future.done():
            self._future.set_result(None)

    async def over(self) -> None:
        """Return when all are over."""
        if self._left:
            await self._future


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction that is durable.

    Attributes:
        units: How many units of work it ran.
        seconds: How long it took.
        commit_seconds: How long its commit took of that.
        notes: What is to be counted.
    """

    units: int
    seconds: float
    commit_seconds: float
    notes: Sequence[Note]


@dataclass(slots=True)
class News:
    """What a batch came to, beside the results of its units.

    Attributes:
        waiting: The states that it made wait for a claim.
        changed_runs: The keys of the runs whose log it has added to.
        transactions: The transactions that are durable.
        failures: How many transactions failed as a whole.
    """

    waiting: list[WaitingState] = field(default_factory=list[WaitingState])
    changed_runs: set[int] = field(default_factory=set[int])
    transactions: list[Transaction] = field(default_factory=list[Transaction])
    failures: int = 0

    def add(self, unit: SqlUnit, units: int, *, began: float, worked: float) -> None:
        """Add a transaction that has just been committed.

        Args:
            unit: What its units ran on.
            units: How many those were.
            began: When it began, by `time.perf_counter`.
            worked: When its commit began.
        """
        ended = time.perf_counter()
        self.waiting += unit.waiting
        self.changed_runs |= unit.changed_runs
        self.transactions.append(Transaction(units, ended - began, ended - worked, unit.notes))


class Writer(Protocol):
    """Runs units in one writing thread."""

    def run(self, batch: Sequence[Task]) -> News:
        """Run units and give each its result or its error.

        What a unit wrote is durable when this returns, unless it has an error: then nothing of it remains.
        """
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


def work_on(unit: BatchUnit, task: Task, *, careful: bool) -> None:
    """Run a unit; with care in a savepoint, and with its writing, so that whose writing fails fails alone."""
    if not careful:
        task.result = task.work(unit)
        if unit.is_spoilt:
            raise Spoilt
        return
    with savepoint(unit.connection, "unit"):
        task.result = task.work(unit)
        unit.write_put_off()
        unit.check()
