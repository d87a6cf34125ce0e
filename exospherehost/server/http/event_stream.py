"""A run's events as server-sent events: how they are written, named, and sent for as long as somebody reads."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

from starlette.types import Receive, Scope, Send

from exospherehost.server.domain.clock import rfc3339
from exospherehost.server.domain.records import EventCursor, TransitionRecord
from exospherehost.server.service.followers import RunEnd, RunUpdate, Silence

_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    # Proxies that gather an answer before they pass it on would hold the events back.
    (b"x-accel-buffering", b"no"),
]
_COMMENT = b":\n\n"
_SENT_AT_ONCE = 256
_EVENT_ID = re.compile(r"([0-9]{1,19})\.([0-9]{1,19})\.([0-9]{1,9})", re.ASCII)
_LARGEST_NUMBER = 2**63 - 1


class EventStream:
    """An ASGI application that sends what happens in a run until the run, the server or the client ends.

    The next part is asked for once the client has taken the last, so one who reads slowly holds little here.

    Args:
        updates: The updates of the run, in order.
    """

    def __init__(self, updates: AsyncGenerator[RunUpdate, None]) -> None:
        self._updates = updates

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.wait((sending, leaving))
        if not sending.cancelled():
            sending.result()

    async def _send(self, send: Send) -> None:
        async with aclosing(self._updates) as updates:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            async for update in updates:
                for body in _encoded(update):
                    await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def event_id(place: EventCursor) -> str:
    """Return the id of the event at a place in a run's log."""
    return f"{place.written_by}.{place.key}.{place.number}"


def parse_event_id(text: str) -> EventCursor | None:
    """Return the place that an event's id names, or None where it is the id of no event."""
    match = _EVENT_ID.fullmatch(text)
    if match is None:
        return None
    place = EventCursor(*map(int, match.groups()))
    return place if max(place) <= _LARGEST_NUMBER else None


def _encoded(update: RunUpdate) -> Iterator[bytes]:
    if isinstance(update, Silence):
        yield _COMMENT
    elif isinstance(update, RunEnd):
        yield _event("end", update.place, update.occurred_at, status=update.status)
    else:
        for start in range(0, len(update), _SENT_AT_ONCE):
            yield b"".join(map(_transition, update[start : start + _SENT_AT_ONCE]))


def _transition(transition: TransitionRecord) -> bytes:
    place, state_id, identifier, node_name, status, occurred_at = transition
    return _event(
        "state", place, occurred_at, state_id=state_id, identifier=identifier, node_name=node_name, status=status
    )


def _event(kind: str, place: EventCursor, occurred_at: int, **fields: str) -> bytes:
    name = event_id(place)
    # In ASCII, so that no line of the stream ends within a text.
    data = json.dumps({"event_id": name, **fields, "occurred_at": rfc3339(occurred_at)}, separators=(",", ":"))
    return f"id: {name}\nevent: {kind}\ndata: {data}\n\n".encode("ascii")


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
