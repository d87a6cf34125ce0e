"""An event loop in a thread of its own, for callers that have none."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

T = TypeVar("T")

CLOSING_SECONDS = 10.0
"""How long the end of a program waits at the most for connections to be closed."""


class LoopThread:
    """Runs coroutines for any threads, inside a context manager that is entered and left on the loop.

    The first call starts the thread. It is a daemon, and closed before the interpreter goes.

    Args:
        resource: entered before the first coroutine runs, and left when the thread ends.
        name: of the thread.
    """

    def __init__(self, resource: AbstractAsyncContextManager[object], name: str) -> None:
        self._resource = resource
        self._name = name
        # Reentrant: the garbage collector may close while the lock is held.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._loop: Future[asyncio.AbstractEventLoop] = Future()
        self._stopping: asyncio.Event | None = None
        self._unfinished: set[Future[Any]] = set()
        self._is_closed = False
        self._has_ended = False

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and return what it returns; whatever ends the waiting cancels it.

        Raises:
            RuntimeError: the thread was closed, or was left behind in the parent of a forked process.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("a call from the object's own thread would wait for itself")
        future = self._start(coroutine)
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError("the object was closed while the call was waiting") from None
        except BaseException:
            # Ctrl-C while it waits, for instance; without effect on what has ended by itself.
            future.cancel()
            raise

    def close(self, *, waits: bool = True) -> None:
        """Cancel what is running, leave the context manager, and end the thread; again changes nothing.

        Args:
            waits: whether to return only when all that is done.
        """
        atexit.unregister(self.close)
        with self._lock:
            self._is_closed = True
            thread = self._thread
        # In the child of a fork there is no thread any more, and its loop is shared with the parent.
        if thread is None or not thread.is_alive():
            return
        # It may have been closed already.
        with contextlib.suppress(RuntimeError):
            self._loop.result().call_soon_threadsafe(self._stop)
        if waits and thread is not threading.current_thread():
            thread.join(CLOSING_SECONDS)

    def _start(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        try:
            self._ensure_running()
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop.result())
        except BaseException:
            coroutine.close()
            raise
        with self._lock:
            self._unfinished.add(future)
            is_late = self._has_ended
        future.add_done_callback(self._unfinished.discard)
        if is_late:
            future.cancel()
        return future

    def _ensure_running(self) -> None:
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the object is closed: make another one")
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
                self._thread.start()
                atexit.register(self.close)
            elif not self._thread.is_alive() and not self._has_ended:
                raise RuntimeError("the object was used before the process forked: make one in each process")

    def _serve(self) -> None:
        try:
            # What is still running in the end is cancelled by the runner, which then closes the loop.
            with asyncio.Runner() as runner:
                runner.run(self._until_stopped())
        except BaseException as error:
            if self._loop.done():
                raise
            self._loop.set_exception(error)
        finally:
            with self._lock:
                self._has_ended = True
                too_late = list(self._unfinished)
            for future in too_late:
                future.cancel()

    async def _until_stopped(self) -> None:
        self._stopping = asyncio.Event()
        async with self._resource:
            self._loop.set_result(asyncio.get_running_loop())
            await self._stopping.wait()
            running = asyncio.all_tasks() - {asyncio.current_task()}
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _stop(self) -> None:
        assert self._stopping is not None  # noqa: S101 - set before the loop is known
        self._stopping.set()
