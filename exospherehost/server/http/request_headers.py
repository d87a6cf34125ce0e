"""What the extensions read from a request's headers."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Receive, Scope

from exospherehost.server.domain.errors import Issue
from exospherehost.server.domain.records import EventCursor
from exospherehost.server.http.event_stream import parse_event_id
from exospherehost.server.http.prefer import wanted_wait
from exospherehost.server.http.responses import Header
from exospherehost_client.limits import IDEMPOTENCY_KEY_MAX_LENGTH, IDEMPOTENCY_KEY_MIN_LENGTH


@dataclass(frozen=True, slots=True)
class Wait:
    """A sender's readiness to wait for its answer.

    Attributes:
        seconds: How long.
        receive: What tells that the sender has gone away, once the body has been read.
    """

    seconds: int
    receive: Receive

    async def gone(self) -> None:
        """Return when the sender has gone away."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    def applied(self) -> list[Header]:
        """Return the header that says that the wait was granted."""
        return [(b"preference-applied", b"wait=%d" % self.seconds)]


def read_wait(scope: Scope, receive: Receive, _issues: list[Issue]) -> Wait | None:
    """Return how long the sender is ready to wait; None if it is not."""
    seconds = wanted_wait(_values(scope, b"prefer"))
    return None if seconds is None else Wait(seconds, receive)


def read_idempotency_key(scope: Scope, _receive: Receive, issues: list[Issue]) -> str | None:
    """Return a request's idempotency key, if it has any; one that cannot be used is added to the issues."""
    values = _values(scope, b"idempotency-key")
    if not values:
        return None
    if len(values) == 1 and IDEMPOTENCY_KEY_MIN_LENGTH <= len(values[0]) <= IDEMPOTENCY_KEY_MAX_LENGTH:
        return values[0]
    issues.append(
        {
            "type": "idempotency_key_invalid",
            "loc": ["header", "Idempotency-Key"],
            "msg": f"Give one key of {IDEMPOTENCY_KEY_MIN_LENGTH} to {IDEMPOTENCY_KEY_MAX_LENGTH} characters",
        }
    )
    return None


def read_last_event_id(scope: Scope, _receive: Receive, issues: list[Issue]) -> EventCursor:
    """Return the place in a run's log after which to go on: its beginning, unless the request names another.

    A name that no event has is added to the issues.
    """
    values = [value for value in _values(scope, b"last-event-id") if value]
    if not values:
        return EventCursor()
    place = parse_event_id(values[0]) if len(values) == 1 else None
    if place is not None:
        return place
    issues.append(
        {
            "type": "last_event_id_invalid",
            "loc": ["header", "Last-Event-ID"],
            "msg": "Give the id of the last event as it came, or leave the header out to begin with the first event",
            "input": ", ".join(values),
        }
    )
    return EventCursor()


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for header, value in scope["headers"] if header == name]
