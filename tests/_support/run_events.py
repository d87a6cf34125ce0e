"""Reads the events of a run from an open stream."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from exospherehost_client.models import RunEvent
from tests._support.service import Api

COMMENT = "comment"


@dataclass(frozen=True)
class Event:
    """An event of a stream; a comment has no data."""

    kind: str
    id: str | None = None
    data: RunEvent | None = None

    @property
    def step(self) -> tuple[str | None, str]:
        """The identifier and the status."""
        assert self.data is not None
        return self.data.identifier, self.data.status


class Events:
    """The events of one stream, as they come.

    Attributes:
        response: The stream's response.
    """

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._events = _parsed(response.iter_lines())

    def __iter__(self) -> Iterator[Event]:
        return self._events

    def next(self) -> Event:
        """Wait for the next event."""
        return next(self._events)

    def take(self, number: int) -> list[tuple[str | None, str]]:
        """Wait for so many events and return identifier and status of each."""
        return [self.next().step for _ in range(number)]


@contextmanager
def follow(api: Api, run_id: str, after: str | None = None) -> Generator[Events, None, None]:
    """Open the stream of a run's events."""
    headers = {} if after is None else {"Last-Event-ID": after}
    path = f"/v0/namespace/{api.namespace}/runs/{run_id}/events"
    with api.http.stream("GET", path, headers=headers, timeout=60) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"] == "text/event-stream"
        yield Events(response)


def all_events(api: Api, run_id: str, after: str | None = None) -> list[Event]:
    """Return the events of a run up to the end of the stream, without comments."""
    with follow(api, run_id, after) as events:
        return [event for event in events if event.kind != COMMENT]


def replay(events: Iterable[Event]) -> list[tuple[str | None, str]]:
    """Return what the events make of the run's states, as ``Api.statuses`` gives them."""
    states: dict[str, tuple[str | None, str]] = {}
    for event in events:
        if event.kind == "state":
            assert event.data is not None
            assert event.data.state_id is not None
            states[event.data.state_id] = event.step
    return sorted(states.values(), key=str)


def _parsed(lines: Iterable[str]) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            yield Event(COMMENT)
        elif line:
            name, _, value = line.partition(": ")
            assert name not in fields
            fields[name] = value
        elif fields:
            data = RunEvent.model_validate_json(fields["data"])
            assert data.event_id == fields["id"]
            yield Event(fields["event"], fields["id"], data)
            fields = {}
    assert not fields, "the stream ended within an event"
