"""The writer of a SQLite file."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from sqlalchemy import Connection, Engine

from exospherehost.server.domain.errors import StoreUnavailable
from exospherehost.server.storage.sql.base import Spoilt, TransactionLost
from exospherehost.server.storage.sql.statements import Statements
from exospherehost.server.storage.sql.writer import News, Task, work_on
from exospherehost.server.storage.sqlite.database_file import explained
from exospherehost.server.storage.sqlite.unit import SqliteUnit

_log = logging.getLogger(__name__)


class SqliteWriter:
    """The writer of a database that has one at a time: a transaction for each batch.

    Units run one after the other without savepoints. One that fails before it has acted leaves nothing to undo; after
    that, or where what was put off cannot be written, the transaction is rolled back and its units run again, each in a
    savepoint of its own.

    Args:
        engine: Where to connect.
        statements: The compiled statements of its dialect.
        check_file: Called before each batch; raises :class:`StoreUnavailable` where the file is not what was opened.
        logs_events: Whether every transition is written to the log of its run.
    """

    def __init__(
        self, engine: Engine, statements: Statements, check_file: Callable[[], None], *, logs_events: bool
    ) -> None:
        self._engine = engine
        self._check_file = check_file
        self._fault = ""
        self._statements = statements
        self._logs_events = logs_events
        self._connection: Connection | None = None

    def run(self, batch: Sequence[Task]) -> News:
        """Run units, each as if it were alone; where the transaction as a whole fails, so does every unit."""
        news = News()
        try:
            self._check_file()
            if self._connection is None:
                self._connection = self._engine.connect()
            try:
                self._run(self._connection, batch, news, careful=False)
            except Spoilt:
                self._run(self._connection, batch, news, careful=True)
        except BaseException as error:  # noqa: BLE001 (the thread must outlive any failure, and tell who waits)
            told = explained(error)
            if not isinstance(told, StoreUnavailable):
                _log.error("event=write_failed units=%d", len(batch), exc_info=True)
            for task in batch:
                task.error = explained(task.error or error)
            if self._connection is not None:
                # Whatever state it is in, the next batch gets a fresh one.
                self._connection.invalidate()
                self.close()
            news.failures += 1
        self._note_fault(batch)
        return news

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _note_fault(self, batch: Sequence[Task]) -> None:
        """Log what keeps the database from being written to, and its end, once each."""
        fault = next((str(task.error) for task in batch if isinstance(task.error, StoreUnavailable)), "")
        if fault and fault != self._fault:
            _log.error("event=database_unavailable reason=%r", fault)
        elif self._fault and not fault:
            _log.info("event=database_back")
        self._fault = fault

    def _run(self, connection: Connection, batch: Sequence[Task], news: News, *, careful: bool) -> None:
        began = time.perf_counter()
        with connection.begin():
            unit = SqliteUnit(connection, self._statements)
            unit.logs_events = self._logs_events
            if careful:
                unit.take_care()
            unit.expect([task.concerns for task in batch])
            for task in batch:
                self._run_unit(unit, task, careful=careful)
            # Once for all units, so that those of one run share its rows of the log.
            try:
                unit.flush()
                unit.check()
            except Exception as error:
                if careful:
                    raise
                raise Spoilt from error
            worked = time.perf_counter()
        news.add(unit, len(batch), began=began, worked=worked)

    @staticmethod
    def _run_unit(unit: SqliteUnit, task: Task, *, careful: bool) -> None:
        task.error = None
        unit.begin()
        try:
            work_on(unit, task, careful=careful)
        except (TransactionLost, Spoilt):
            raise
        except Exception as error:
            # A full disk, for one, makes SQLite end the transaction on its own.
            if not careful and (unit.has_acted or not unit.is_open):
                raise Spoilt from error
            unit.forget()
            task.error = explained(error)
        else:
            unit.keep()
