"""Signals: a node raises one to end its state without an output and without an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, cast

from exospherehost._errors import ConfigurationError
from exospherehost._redaction import Message


class PruneSignal(Exception):
    """Raise it in `execute` to end the state without next states.

    Args:
        data: a mapping, which the service keeps with the state and shows nowhere. Default: nothing.

    Raises:
        ConfigurationError: the data is not a mapping.
    """

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        if not isinstance(data, Mapping | None):
            raise ConfigurationError(
                Message(
                    "PruneSignal takes a mapping as data, and got {}; pass for instance "
                    'PruneSignal({{"reason": "duplicate"}})',
                    type(data).__name__,
                )
            )
        self.data: dict[str, Any] = dict(data or {})
        super().__init__("prune this state; leave this exception to the runtime")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.data,)


class ReQueueAfterSignal(Exception):
    """Raise it in `execute` to give the state back; it is due again after a delay.

    Args:
        delay: above zero. The service counts in whole milliseconds; a shorter delay is sent as one.

    Raises:
        ConfigurationError: the delay is not a timedelta above zero.
    """

    def __init__(self, delay: timedelta) -> None:
        if not isinstance(delay, timedelta) or delay <= timedelta(0):
            raise ConfigurationError(
                Message("delay={} is not a timedelta above zero; pass for instance timedelta(seconds=30)", repr(delay))
            )
        self.delay = delay
        super().__init__(f"re-enqueue this state after {delay}; leave this exception to the runtime")

    @property
    def delay_ms(self) -> int:
        """The delay in whole milliseconds, at least 1."""
        return max(1, self.delay // timedelta(milliseconds=1))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.delay,)


def lone_signal(error: BaseException) -> BaseException:
    """Return the only member of a group of exceptions if it is a signal, as a `TaskGroup` raises it; else the error."""
    inner = error
    while isinstance(inner, BaseExceptionGroup):
        members: Sequence[BaseException] = cast("BaseExceptionGroup[BaseException]", inner).exceptions
        if len(members) != 1:
            return error
        inner = members[0]
    return inner if isinstance(inner, PruneSignal | ReQueueAfterSignal) else error
