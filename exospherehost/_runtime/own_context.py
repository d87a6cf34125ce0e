"""A context of its own for each execution, so that no state sees what another one has set."""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")


@types.coroutine
def in_own_context(work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Await a coroutine in a copy of the current context.

    A task would do the same; making one for each state takes several times as long.
    """
    context = copy_context()
    step: Callable[[Any], Any] = work.send
    value: Any = None
    while True:
        try:
            awaited = context.run(step, value)
        except StopIteration as end:
            result: T = end.value
            return result
        try:
            value = yield awaited
            step = work.send
        except BaseException as error:  # noqa: BLE001 - a cancellation, for instance, belongs to the work
            value, step = error, work.throw
