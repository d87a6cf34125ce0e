"""The store on SQLAlchemy Core: one thread that writes, a few that read.

Every write goes through one queue. Its thread takes all that waits, runs each unit in a savepoint of one
transaction and commits once, so that the cost of making things durable is shared by those who wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from exospherehost.server import sqlite
from exospherehost.server.migrations import upgrade
from exospherehost.server.records import WaitingState
from exospherehost.server.sql_base import TransactionLost
from exospherehost.server.sql_unit import SqlUnit
from exospherehost.server.statements import Statements
from exospherehost.server.store import Contention, Reader, StoreError, StoreObserver, UnitOfWork

_log = logging.getLogger(__name__)
T = TypeVar("T")

_READERS = 4
_LARGEST_BATCH = 128
_MOST_ATTEMPTS = 8


class _Task:
    """One unit that waits for the writer, and whom to tell."""

    __slots__ = ("error", "future", "loop", "result", "work")

    def __init__(self, work: Callable[[UnitOfWork], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None


class SqlStore:
    """A store on a database that SQLAlchemy reaches.

    Args:
        writer: The engine of the one connection that writes.
        reader: The engine to read through.
        logs_events: Whether every transition is written to the log of its run.
    """

    def __init__(self, writer: Engine, reader: Engine, *, logs_events: bool = True) -> None:
        self._writer = writer
        self._reader = reader
        self._write_statements = Statements(writer.dialect)
        self._read_statements = Statements(reader.dialect)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="exosphere-read")
        self._queue: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._closed = False
        self._logs_events = logs_events
        self._notify: Callable[[Sequence[WaitingState]], None] | None = None
        self._observer: StoreObserver | None = None
        self._notify_runs: Callable[[Collection[int]], None] | None = None
        self._thread = threading.Thread(target=self._write_loop, name="exosphere-write", daemon=True)
        self._thread.start()

    async def read(self, work: Callable[[Reader], T]) -> T:
        """Run ``work`` on a consistent view, in a reading thread."""
        began = time.perf_counter()
        result: T = await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)
        if self._observer is not None:
            self._observer.read_done(time.perf_counter() - began)
        return result

    async def write(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run ``work`` as one unit in the writing thread, and return once it is durable."""
        if self._closed:
            raise StoreError("the store is closed")
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            task = _Task(work, asyncio.get_running_loop())
            self._queue.put(task)
            try:
                result: T = await task.future
            except Contention:
                if attempt == _MOST_ATTEMPTS:
                    raise
            else:
                return result
        raise AssertionError("unreachable")

    def when_states_wait(self, notify: Callable[[Sequence[WaitingState]], None], *, wanted: Callable[[], bool]) -> None:
        """Have ``notify`` called, on the running event loop, with the states that a commit has made wait for a claim.

        It may be told of states that do not wait after all: those of a unit that failed within the transaction.

        Args:
            notify: What is called.
            wanted: Tells, in the writing thread and after the commit, whether anybody wants to know.
        """
        loop = asyncio.get_running_loop()

        def tell(waiting: Sequence[WaitingState]) -> None:
            if wanted():
                _call_on(loop, notify, waiting)

        self._notify = tell

    @property
    def writes_waiting(self) -> int:
        """How many units wait for a transaction, about."""
        return self._queue.qsize()

    def observe(self, observer: StoreObserver) -> None:
        """Tell an observer from now on what is written and read."""
        self._observer = observer

    def when_runs_change(self, notify: Callable[[Collection[int]], None], *, wanted: Callable[[], bool]) -> None:
        """Have ``notify`` called, on the running event loop, with the keys of the runs whose log a commit has added to.

        Args:
            notify: What is called.
            wanted: Tells, in the writing thread and after the commit, whether anybody wants to know.
        """
        loop = asyncio.get_running_loop()

        def tell(runs: Collection[int]) -> None:
            if wanted():
                _call_on(loop, notify, runs)

        self._notify_runs = tell

    def close(self) -> None:
        """Finish the units that wait, then let go of the database."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        self._readers.shutdown()
        self._reader.dispose()
        self._writer.dispose()

    def _read(self, work: Callable[[Reader], T]) -> T:
        with self._reader.connect() as connection, connection.begin():
            return work(SqlUnit(connection, self._read_statements))

    def _write_loop(self) -> None:
        connection: Connection | None = None
        open_ended = True
        while open_ended:
            batch, open_ended = self._next_batch()
            if not batch:
                continue
            waiting: Sequence[WaitingState] = ()
            changed_runs: Collection[int] = ()
            try:
                if connection is None:
                    connection = self._writer.connect()
                unit = SqlUnit(connection, self._write_statements)
                unit.logs_events = self._logs_events
                _run_batch(connection, unit, batch, self._observer)
                waiting, changed_runs = unit.waiting, unit.changed_runs
            except BaseException as error:  # noqa: BLE001 (the thread must outlive any failure, and tell who waits)
                _log.error("event=write_failed units=%d", len(batch), exc_info=True)
                if self._observer is not None:
                    self._observer.batch_failed()
                for task in batch:
                    task.error = task.error or error
                if connection is not None:
                    # Whatever state it is in, the next batch gets a fresh one.
                    connection.invalidate()
                    connection.close()
                    connection = None
            if waiting and self._notify is not None:
                self._notify(waiting)
            if changed_runs and self._notify_runs is not None:
                self._notify_runs(changed_runs)
            _resolve(batch)
        if connection is not None:
            connection.close()

    def _next_batch(self) -> tuple[list[_Task], bool]:
        """Wait for a unit and take those behind it; the flag turns false at the end of all."""
        task = self._queue.get()
        batch: list[_Task] = []
        while task is not None:
            batch.append(task)
            if len(batch) == _LARGEST_BATCH:
                return batch, True
            try:
                task = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False


def _run_batch(connection: Connection, unit: SqlUnit, batch: list[_Task], observer: StoreObserver | None) -> None:
    """Run units in one transaction, each as if it were alone.

    Raises:
        Exception: The transaction as a whole failed, and with it every unit.
    """
    began = time.perf_counter()
    with connection.begin():
        for task in batch:
            try:
                with unit.undone_together("unit"):
                    task.result = task.work(unit)
            except TransactionLost:
                raise
            except Exception as error:  # noqa: BLE001 (whatever a unit raises belongs to its caller)
                task.error = error
        # Once for all units, so that those of one run share its rows of the log.
        unit.write_logged()
        worked = time.perf_counter()
    if observer is not None:
        ended = time.perf_counter()
        observer.batch_written(len(batch), ended - began, ended - worked, unit.notes)


def _resolve(batch: list[_Task]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Task]] = {}
    for task in batch:
        by_loop.setdefault(task.loop, []).append(task)
    for loop, tasks in by_loop.items():
        _call_on(loop, _tell, tasks)


def _call_on(loop: asyncio.AbstractEventLoop, function: Callable[[T], None], value: T) -> None:
    try:
        loop.call_soon_threadsafe(function, value)
    except RuntimeError:
        # The loop is gone, and with it everyone who waited there.
        _log.debug("event=results_dropped function=%s", function.__name__)


def _tell(tasks: list[_Task]) -> None:
    for task in tasks:
        if task.future.done():
            continue
        if task.error is None:
            task.future.set_result(task.result)
        else:
            task.future.set_exception(task.error)


def open_store(database: str | Path, *, synchronous: str = "full", logs_events: bool = True) -> SqlStore:
    """Open a database, bring its schema up to date and return the store on it.

    Args:
        database: A file's path, or an SQLAlchemy URL.
        synchronous: For SQLite, whether a commit is on disk before it counts: ``full`` or ``normal``.
        logs_events: Whether every transition is written to the log of its run.

    Raises:
        StoreError: It cannot be opened, is not supported, or was written by a newer version.
    """
    writer, reader = sqlite.open_engines(database_path(database), readers=_READERS, synchronous=synchronous)
    try:
        upgrade(writer)
    except BaseException:
        writer.dispose()
        reader.dispose()
        raise
    return SqlStore(writer, reader, logs_events=logs_events)


def database_path(database: str | Path) -> Path:
    """Return the file that a database setting names.

    Raises:
        StoreError: It is a URL of a database that is not supported, or it names no file.
    """
    path = database if isinstance(database, Path) else Path(_file_in_url(database) if "://" in database else database)
    if not path.name or path.is_dir():
        raise StoreError(f"cannot open the database {path}: it is a folder; give the path of a file in it")
    return path


def _file_in_url(database: str) -> str:
    try:
        url = make_url(database)
    except ArgumentError as error:
        raise StoreError("the database URL cannot be read") from error
    if url.get_backend_name() != "sqlite":
        raise StoreError(f"the database {url.get_backend_name()!r} is not supported: give a path or sqlite:///PATH")
    if not url.database or url.database == ":memory:":
        raise StoreError("the database must be a file: give a path or sqlite:///PATH")
    return url.database
