"""When to try again and how long to wait: pure policy, no I/O, no clock."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from exospherehost._errors import APIConnectionError, APIStatusError

_TRANSIENT_STATUSES = frozenset({408, 425, 429})
# Not Implemented and HTTP Version Not Supported: another try will not change either.
_LASTING_FAULTS = frozenset({501, 505})


def is_transient_status(status: int) -> bool:
    """Tell whether a status says that the same request may succeed a little later."""
    # Whatever else is above 500 is a fault of the service or, with numbers of its own, of a proxy before it.
    return status in _TRANSIENT_STATUSES or (status >= 500 and status not in _LASTING_FAULTS)


def is_transient(error: Exception) -> bool:
    """Tell whether the same request may succeed a little later."""
    if isinstance(error, APIStatusError):
        return is_transient_status(error.status_code)
    return isinstance(error, APIConnectionError)


def never_reached_the_service(error: Exception) -> bool:
    """Tell whether sending again cannot do a thing twice: nothing of the first attempt arrived."""
    if isinstance(error, APIStatusError):
        return error.status_code == 429
    return isinstance(error, APIConnectionError) and not error.sent


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter, bounded by attempts and by elapsed time.

    Attributes:
        attempts: how often to try in all.
        max_elapsed: seconds after which no new attempt begins.
        initial: the upper bound of the first wait, seconds.
        maximum: the upper bound of any wait, seconds; also the cap of a server's Retry-After.
    """

    attempts: int = 5
    max_elapsed: float = 30.0
    initial: float = 0.1
    maximum: float = 5.0

    def delay(
        self,
        attempt: int,
        elapsed: float,
        error: Exception,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> float | None:
        """Return the seconds to wait after the given attempt (1 and up), or None to give up."""
        if attempt >= self.attempts or elapsed >= self.max_elapsed:
            return None
        return self.delay_after(attempt, error, uniform)

    def delay_after(
        self, attempt: int, error: Exception, uniform: Callable[[float, float], float] = random.uniform
    ) -> float:
        """Return the seconds to wait after the given attempt (1 and up), without any bound on how many.

        A server's Retry-After goes before the backoff, up to `maximum`.
        """
        retry_after = error.retry_after if isinstance(error, APIStatusError) else None
        if retry_after is not None:
            return min(retry_after, self.maximum)
        return self.wait(attempt, uniform)

    def wait(self, attempt: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
        """Return a jittered wait in seconds for the given attempt (1 and up), without any bound on how many."""
        # The exponent is bounded because 2.0 ** 1025 is an OverflowError.
        return uniform(0, min(self.maximum, self.initial * 2.0 ** min(attempt - 1, 32)))
