"""A state manager with runs in it, which stand as a test says and tell their transitions as a test says."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from tests._support.fake_state_manager import offering
from tests._support.http_service import Answer, Asked, HttpService

Json = dict[str, Any]
RUN = "0b0c5f0e-9f5b-4d0e-8a5e-0d3b1f6d2f11"
STATUSES = ("CREATED", "QUEUED", "EXECUTED", "ERRORED", "NEXT_CREATED_ERROR", "SUCCESS", "PRUNED", "RETRY_CREATED")

_GRAPH = re.compile(r"/v0/namespace/ns/states/run/([^/]+)/graph")
_EVENTS = re.compile(r"/v0/namespace/ns/runs/([^/]+)/events")
_LIST = re.compile(r"/v0/namespace/ns/runs/(\d+)/(\d+)")


def state(number: int, status: str, *, identifier: str = "only", error: str | None = None) -> Json:
    """A state of a run's graph."""
    return {"id": f"{number:024x}", "node_name": "Node", "identifier": identifier, "status": status, "error": error}


def run_graph(*states: Json) -> Json:
    """The answer about a run with these states; without any, that about an unknown run."""
    counts = Counter(each["status"] for each in states)
    return {
        "root_states": list(states[:1]),
        "graph_name": "g" if states else "",
        "nodes": list(states),
        "edges": [],
        "node_count": len(states),
        "edge_count": 0,
        "execution_summary": {status: counts[status] for status in STATUSES},
    }


def line(run_id: str, status: str = "SUCCESS", **more: Any) -> Json:
    """A run's line in the list of runs."""
    return {
        "run_id": run_id,
        "graph_name": "g",
        "success_count": 1,
        "pending_count": 1 if status == "PENDING" else 0,
        "errored_count": 0,
        "retried_count": 0,
        "total_count": 1,
        "status": status,
        "created_at": "2025-01-02T03:04:05",
        **more,
    }


def event(event_id: str, number: int | None, status: str) -> bytes:
    """An event of a state, or of the run's end."""
    of_state = "" if number is None else f'"state_id":"{number:024x}","identifier":"only","node_name":"Node",'
    data = f'{{"event_id":"{event_id}",{of_state}"status":"{status}","occurred_at":"2025-01-02T03:04:05Z"}}'
    kind = "end" if number is None else "state"
    return f"id: {event_id}\nevent: {kind}\ndata: {data}\n\n".encode()


def stream(parts: Iterable[bytes]) -> Answer:
    """An answer of events that ends with its parts."""
    return Answer(parts=parts, content_type="text/event-stream")


class FakeRuns(HttpService):
    """Answers about one run and a list of runs.

    Attributes:
        extensions: what the served document marks; None for a 404 in its place.
        looks: how the run stands at each look, the last of them from then on.
        lines: the list of runs, newest first.
        streams: answers to requests for events, one after another, each given the id asked for; the last stays.
        others: answers to other requests, by method and path below the namespace.
        before: called first with each request; what it returns is answered in place of the usual.
    """

    def __init__(self) -> None:
        super().__init__(self._respond)
        self.extensions: tuple[str, ...] | None = ()
        self.looks: list[Json] = []
        self.lines: list[Json] = []
        self.streams: list[Callable[[str | None], Answer]] = []
        self.others: dict[tuple[str, str], Answer] = {}
        self.before: Callable[[Asked], Answer | None] = lambda _: None
        self.last_event_ids: list[str | None] = []
        self._turn = threading.Lock()

    def looked(self) -> int:
        """How often the run was looked at."""
        return sum(_GRAPH.fullmatch(path) is not None for path in self.paths("GET"))

    def listed(self) -> list[str]:
        """The pages and sizes of the list that were asked for."""
        found = (_LIST.fullmatch(path) for path in self.paths("GET"))
        return [f"{match[1]}/{match[2]}" for match in found if match is not None]

    def _respond(self, asked: Asked) -> Answer:
        instead = self.before(asked)
        if instead is not None:
            return instead
        if asked.path == "/openapi.json":
            return Answer(404) if self.extensions is None else Answer(200, offering(*self.extensions))
        with self._turn:
            return self._in_turn(asked)

    def _in_turn(self, asked: Asked) -> Answer:
        if _GRAPH.fullmatch(asked.path):
            return Answer(200, self.looks.pop(0) if len(self.looks) > 1 else self.looks[0])
        if _EVENTS.fullmatch(asked.path) and self.streams:
            headers = {name.lower(): value for name, value in asked.headers.items()}
            self.last_event_ids.append(headers.get("last-event-id"))
            make = self.streams.pop(0) if len(self.streams) > 1 else self.streams[0]
            return make(self.last_event_ids[-1])
        if (match := _LIST.fullmatch(asked.path)) is not None:
            page, size = int(match[1]), int(match[2])
            shown = self.lines[(page - 1) * size : page * size]
            answer = {"namespace": "ns", "total": len(self.lines), "page": page, "size": size, "runs": shown}
            return Answer(200, answer)
        found = self.others.get((asked.method, asked.path.removeprefix("/v0/namespace/ns")))
        return Answer(404, {"detail": "Not Found"}) if found is None else found
