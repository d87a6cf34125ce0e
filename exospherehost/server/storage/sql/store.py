"""The store on SQLAlchemy Core: threads that write, one or several as the database bears it, and a few that read.

Every write goes through one queue. A writing thread takes all that waits, runs each unit as if it were alone, in one
transaction, and commits once, so that the cost of making things durable is shared by those who wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from exospherehost.server.domain.errors import Contention, StoreError, StoreUnavailable
from exospherehost.server.domain.records import WaitingState
from exospherehost.server.domain.store import Reader, StoreObserver, UnitOfWork
from exospherehost.server.storage.sql.writer import Busy, News, Task, Waiter, Writer

_log = logging.getLogger(__name__)
T = TypeVar("T")

READERS = 4
"""How many threads read at once."""
_LARGEST_BATCH = 128
_MOST_ATTEMPTS = 8
_LONGEST_BUSY_SECONDS = 30.0
_WAITING, _RUNS = "waiting", "runs"
DEFAULT_WRITERS = 2
"""How many transactions write at once where the database lets several."""


class Database(Protocol):
    """What is particular to a database."""

    @property
    def writers(self) -> int:
        """How many transactions may write at once."""
        ...

    @property
    def was_unattended(self) -> bool:
        """Whether no other server had the database open when this one opened it."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether other servers may work on it meanwhile."""
        ...

    def new_writer(self) -> Writer:
        """Return what a writing thread runs units with."""
        ...

    def read(self, work: Callable[[Reader], T]) -> T:
        """Run ``work`` on a consistent view."""
        ...

    def tell_others(self, kind: str, news: Iterable[tuple[Any, ...]]) -> None:
        """Let other servers know what commits have done, without waiting for them."""
        ...

    def when_told(self, kind: str, take: Callable[[Sequence[tuple[Any, ...]]], None]) -> None:
        """Have ``take`` called, in any thread, with news of a kind from other servers."""
        ...

    def when_missed(self, look: Callable[[], None]) -> None:
        """Have ``look`` called, in any thread, where news of any kind may have been lost."""
        ...

    def stop_waiting(self) -> None:
        """Wait no longer for a database that is away."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class SqlStore:
    """A store on a database that SQLAlchemy reaches.

    Args:
        database: The database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="exosphere-read")
        self._queue: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._closed = False
        self._notify: Callable[[Sequence[WaitingState]], None] | None = None
        self._notify_runs: Callable[[Collection[int]], None] | None = None
        self._observer: StoreObserver | None = None
        self._threads = [
            threading.Thread(target=self._write_loop, name=f"exosphere-write-{number}", daemon=True)
            for number in range(database.writers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def was_unattended(self) -> bool:
        """Whether no other server had the database open when this one opened it."""
        return self._database.was_unattended

    @property
    def is_shared(self) -> bool:
        """Whether other servers may work on the database meanwhile."""
        return self._database.is_shared

    @property
    def writes_waiting(self) -> int:
        """How many units wait for a transaction, about."""
        return self._queue.qsize()

    def observe(self, observer: StoreObserver) -> None:
        """Tell an observer from now on what is written and read."""
        self._observer = observer

    async def read(self, work: Callable[[Reader], T]) -> T:
        """Run ``work`` on a consistent view, in a reading thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    async def write(self, work: Callable[[UnitOfWork], T], *, concerns: str | None = None) -> T:
        """Run ``work`` as one unit in a writing thread, and return once it is durable.

        Args:
            work: The unit.
            concerns: The id of the state that it is about, if that is known: it may then be read ahead.
        """
        task = Task(work, concerns=concerns)
        await self._run([task])
        result: T = await self._settle(task)
        return result

    async def write_each(
        self, units: Sequence[tuple[Callable[[UnitOfWork], T], str | None]]
    ) -> list[T | BaseException]:
        """Run units as :meth:`write` does, but wait for all of them at once.

        Args:
            units: Each with the id of the state that it is about; no two are about the same.

        Returns:
            What each returned, or the error that it raised.
        """
        tasks = [Task(work, concerns=concerns) for work, concerns in units]
        await self._run(tasks)
        again = [task for task in tasks if isinstance(task.error, Contention)]
        late = dict(zip(again, await asyncio.gather(*map(self._settle, again), return_exceptions=True), strict=True))
        return [late.get(task, task.result if task.error is None else task.error) for task in tasks]

    async def _run(self, tasks: Sequence[Task]) -> None:
        """Have units run in writing threads, and return once all of them are over."""
        if self._closed:
            raise StoreError("the store is closed")
        waiter = Waiter(tasks)
        for task in tasks:
            self._queue.put(task)
        await waiter.over()

    async def _settle(self, task: Task) -> Any:
        """Return what a unit returned that is over, having run it again for as long as others were in its way."""
        lost_races = 0
        busy_until: float | None = None
        while (error := task.error) is not None:
            if isinstance(error, Busy):
                now = time.monotonic()
                if busy_until is None:
                    busy_until = now + _LONGEST_BUSY_SECONDS
                if now > busy_until:
                    raise StoreUnavailable(f"the database did not get to it in time: {error}") from error
                # Not all at the same moment: those that were in each other's way would be again.
                await asyncio.sleep(error.pause * (0.5 + random.random()))  # noqa: S311 (guards nothing)
            elif isinstance(error, Contention):
                lost_races += 1
                if lost_races == _MOST_ATTEMPTS:
                    raise error
            else:
                raise error
            task = Task(task.work, concerns=task.concerns, patient=busy_until is not None)
            await self._run([task])
        return task.result

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

        def hear(news: Sequence[tuple[Any, ...]]) -> None:
            tell([WaitingState(*what) for what in news])

        self._notify = tell
        self._database.when_told(_WAITING, hear)

    def when_runs_change(self, notify: Callable[[Collection[int]], None], *, wanted: Callable[[], bool]) -> None:
        """Have ``notify`` called, on the running event loop, with the keys of the runs whose log a commit has added to.

        Args:
            notify: What is called.
            wanted: Tells, in a thread and after the commit, whether anybody wants to know.
        """
        loop = asyncio.get_running_loop()

        def tell(runs: Collection[int]) -> None:
            if wanted():
                _call_on(loop, notify, runs)

        def hear(news: Sequence[tuple[Any, ...]]) -> None:
            tell({key for (key,) in news})

        self._notify_runs = tell
        self._database.when_told(_RUNS, hear)

    def when_news_are_missed(self, look: Callable[[], None]) -> None:
        """Have ``look`` called, on the running event loop, where news of other servers' commits may have been lost."""
        loop = asyncio.get_running_loop()
        self._database.when_missed(lambda: _call_on(loop, lambda _nothing: look(), None))

    def close(self) -> None:
        """Finish the units that wait, then let go of the database."""
        if self._closed:
            return
        self._closed = True
        self._database.stop_waiting()
        for _thread in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._readers.shutdown()
        self._database.close()

    def _read(self, work: Callable[[Reader], T]) -> T:
        began = time.perf_counter()
        try:
            return self._database.read(work)
        finally:
            if self._observer is not None:
                self._observer.read_done(time.perf_counter() - began)

    def _write_loop(self) -> None:
        writer = self._database.new_writer()
        open_ended = True
        while open_ended:
            batch, open_ended = self._next_batch()
            if not batch:
                continue
            self._announce(writer.run(batch))
            _resolve(batch)
        writer.close()

    def _announce(self, news: News) -> None:
        if self._observer is not None:
            for done in news.transactions:
                self._observer.batch_written(done.units, done.seconds, done.commit_seconds, done.notes)
            for _failure in range(news.failures):
                self._observer.batch_failed()
        if news.waiting:
            if self._notify is not None:
                self._notify(news.waiting)
            self._database.tell_others(_WAITING, news.waiting)
        if news.changed_runs:
            if self._notify_runs is not None:
                self._notify_runs(news.changed_runs)
            self._database.tell_others(_RUNS, ((key,) for key in news.changed_runs))

    def _next_batch(self) -> tuple[list[Task], bool]:
        """Wait for a unit and take those behind it; the flag turns false at the end of all."""
        task = self._queue.get()
        batch: list[Task] = []
        while task is not None:
            batch.append(task)
            if len(batch) == _LARGEST_BATCH:
                return batch, True
            try:
                task = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False


def _resolve(batch: list[Task]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[Waiter]] = {}
    for task in batch:
        by_loop.setdefault(task.waiter.loop, []).append(task.waiter)
    for loop, waiters in by_loop.items():
        _call_on(loop, _tell, waiters)


def _call_on(loop: asyncio.AbstractEventLoop, function: Callable[[T], None], value: T) -> None:
    try:
        loop.call_soon_threadsafe(function, value)
    except RuntimeError:
        # The loop is gone, and with it everyone who waited there.
        _log.debug("event=results_dropped function=%s", getattr(function, "__name__", ""))


def _tell(waiters: list[Waiter]) -> None:
    for waiter in waiters:
        waiter.tell()
