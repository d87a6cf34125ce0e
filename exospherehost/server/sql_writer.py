"""What a store's writing thread runs: units of work that wait together, in one transaction."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, Engine

from exospherehost.server.records import WaitingState
from exospherehost.server.sql_base import TransactionLost, savepoint
from exospherehost.server.sql_unit import SqlUnit
from exospherehost.server.statements import Statements
from exospherehost.server.store import Contention, UnitOfWork

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
    """One unit that waits for a writer, and whom to tell.

    Args:
        work: The unit.
        loop: The event loop on which its caller waits.
        concerns: The id of the state that it is about; None if there are several, or none.
        patient: Whether it is worth waiting for, having been turned away before.

    Attributes:
        result: What it returned.
        error: What it raised instead.
    """

    __slots__ = ("concerns", "error", "future", "loop", "patient", "result", "work")

    def __init__(
        self,
        work: Callable[[UnitOfWork], Any],
        loop: asyncio.AbstractEventLoop,
        *,
        concerns: str | None = None,
        patient: bool = False,
    ) -> None:
        self.concerns = concerns
        self.work = work
        self.loop = loop
        self.patient = patient
        self.future: asyncio.Future[Any] = loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None


class Writer(Protocol):
    """Runs units in one writing thread."""

    def run(self, batch: Sequence[Task]) -> Sequence[WaitingState]:
        """Run units and give each its result or its error; return what they made wait for a claim.

        What a unit wrote is durable when this returns, unless it has an error: then nothing of it remains.
        """
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class LoneWriter:
    """The writer of a database that has one at a time: a transaction for each batch, a savepoint for each unit.

    Args:
        engine: Where to connect.
        statements: The compiled statements of its dialect.
    """

    def __init__(self, engine: Engine, statements: Statements) -> None:
        self._engine = engine
        self._statements = statements
        self._connection: Connection | None = None

    def run(self, batch: Sequence[Task]) -> Sequence[WaitingState]:
        """Run units, each as if it were alone; where the transaction as a whole fails, so does every unit."""
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            return self._run(self._connection, batch)
        except BaseException as error:  # noqa: BLE001 (the thread must outlive any failure, and tell who waits)
            _log.error("event=write_failed units=%d", len(batch), exc_info=True)
            for task in batch:
                task.error = task.error or error
            if self._connection is not None:
                # Whatever state it is in, the next batch gets a fresh one.
                self._connection.invalidate()
                self.close()
            return ()

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _run(self, connection: Connection, batch: Sequence[Task]) -> Sequence[WaitingState]:
        with connection.begin():
            unit = SqlUnit(connection, self._statements)
            for task in batch:
                try:
                    with savepoint(connection, "unit"):
                        task.result = task.work(unit)
                except TransactionLost:
                    raise
                except Exception as error:  # noqa: BLE001 (whatever a unit raises belongs to its caller)
                    task.error = error
        return unit.waiting
