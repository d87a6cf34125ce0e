"""A runtime in the foreground: a blocking call with an event loop and stop signals of its own."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

logger = logging.getLogger(__name__)

_stop_signalled = threading.Event()
ONE_STOP_SECONDS = 0.5
"""Stop signals so soon after the first ask for the same stop: one may be sent to a process and to its whole group."""

_STOP_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if isinstance(getattr(signal, name, None), int)
]


def run_in_foreground(name: str, run: Callable[[], Coroutine[Any, Any, None]], stop: Callable[[], None]) -> None:
    """Run a runtime until all has ended, or return at once if a stop signal ended an earlier one of this program.

    Args:
        name: the runtime's name, for log records.
        run: makes the run.
        stop: asks it to stop.
    """
    if _stop_signalled.is_set():
        # The program was told to end, and has not: what it starts now would have to be told again.
        logger.warning("event=start_after_stop_signal runtime=%s", name)
        return
    with asyncio.Runner(loop_factory=_fast_loop_factory()) as runner:
        _block(name, runner.get_loop(), run, stop)


def _block(
    name: str,
    loop: asyncio.AbstractEventLoop,
    run: Callable[[], Coroutine[Any, Any, None]],
    stop: Callable[[], None],
) -> None:
    life = loop.create_task(_run_with_signals(name, _replaceable_signals(), run, stop))
    while True:
        try:
            loop.run_until_complete(life)
        except SystemExit as error:
            if life.done():
                raise
            # Raised by a task that a node has started: asyncio lets it out of the loop, past all others.
            logger.warning("event=exit_ignored runtime=%s status=%r where=task_of_a_node", name, error.code)
        except KeyboardInterrupt:
            # Before the signal is handled on the loop.
            life.cancel()
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(life)
            raise
        else:
            return


async def _run_with_signals(
    name: str,
    signals: Sequence[signal.Signals],
    run: Callable[[], Coroutine[Any, Any, None]],
    stop: Callable[[], None],
) -> None:
    loop = asyncio.get_running_loop()
    running = asyncio.ensure_future(run())
    first_at: float | None = None

    def on_signal() -> None:
        nonlocal first_at
        if not hasattr(sys, "ps1"):
            # Whoever types at a prompt goes on after Ctrl-C.
            _stop_signalled.set()
        if first_at is None:
            first_at = loop.time()
        elif loop.time() - first_at >= ONE_STOP_SECONDS:
            logger.warning("event=grace_period_cut_short runtime=%s by=second_signal", name)
            running.cancel()
        stop()

    with _handled(loop, signals, on_signal):
        try:
            await running
        except asyncio.CancelledError:
            if first_at is None:
                raise


def _replaceable_signals() -> list[signal.Signals]:
    """List the stop signals that this thread can handle and the program has no handler of its own for."""
    if threading.current_thread() is not threading.main_thread():
        return []
    defaults = (signal.SIG_DFL, signal.default_int_handler)
    return [number for number in _STOP_SIGNALS if signal.getsignal(number) in defaults]


@contextmanager
def _handled(
    loop: asyncio.AbstractEventLoop, signals: Sequence[signal.Signals], on_signal: Callable[[], None]
) -> Generator[None, None, None]:
    """Have signals call a function on the event loop."""

    def pass_on(_number: int, _frame: object) -> None:
        loop.call_soon_threadsafe(on_signal)

    by_loop: list[signal.Signals] = []
    before: dict[signal.Signals, Any] = {}
    for number in signals:
        try:
            loop.add_signal_handler(number, on_signal)
            by_loop.append(number)
        except NotImplementedError:  # the event loops of Windows
            before[number] = signal.signal(number, pass_on)
    try:
        yield
    finally:
        for number in by_loop:
            loop.remove_signal_handler(number)
        for number, handler in before.items():
            signal.signal(number, handler)


def _fast_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        from uvloop import new_event_loop  # noqa: PLC0415 - optional, and not needed before
    except ImportError:
        return None
    return new_event_loop
