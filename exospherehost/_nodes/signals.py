"""What a node raises to end its state other than by an output or an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, cast

from exospherehost._errors import ConfigurationError


class PruneSignal(Exception):
    """Raise it in `execute` to end the state without next states.

    Args:
        data: kept with the state by the service, which shows it nowhere. Default: nothing.
    """

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        self.data: dict[str, Any] = dict(data or {})
        super().__init__("prune this state; leave this exception to the runtime")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.data,)


class ReQueueAfterSignal(Exception):
    """Raise it in `execute` to give the state back, to be due again after a delay.

    Args:
        delay: how long; above zero. The service counts in whole milliseconds, and what is below
            one is sent as one.

    Raises:
        ConfigurationError: the delay is not a timedelta above zero.
    """

    def __init__(self, delay: timedelta) -> None:
        if not isinstance(delay, timedelta) or delay <= timedelta(0):
            raise ConfigurationError(
                f"delay={delay!r} is not a timedelta above zero; pass for instance timedelta(seconds=30)"
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
    """Return the signal that a group of exceptions holds alone, as a `TaskGroup` raises it; else the error itself."""
    inner = error
    while isinstance(inner, BaseExceptionGroup):
        members: Sequence[BaseException] = cast("BaseExceptionGroup[BaseException]", inner).exceptions
        if len(members) != 1:
            return error
        inner = members[0]
    return inner if isinstance(inner, PruneSignal | ReQueueAfterSignal) else error
