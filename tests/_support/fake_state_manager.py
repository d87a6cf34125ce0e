"""A state manager without rules: it gives out the states that a test puts in and records the reports."""

from __future__ import annotations

import itertools
import re
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from tests._support.http_service import Answer, Asked, HttpService

_ROUTE = re.compile(r"/[^/]+/namespace/(?P<namespace>[^/]*)/(?P<rest>.*)")
_STATE = re.compile(r"state/(?P<state_id>[^/]+)/(?P<action>executed|errored|prune|re-enqueue-after|secrets)")
_ACTIONS = {"executed": "executed", "errored": "errored", "prune": "prune", "requeue": "re-enqueue-after"}
_ENDED = {"executed": "EXECUTED", "errored": "ERRORED", "prune": "PRUNED", "re-enqueue-after": "CREATED"}


def offering(*extensions: str) -> dict[str, Any]:
    """A document to serve, that names extensions."""
    return {"openapi": "3.1.0", "paths": {name: {"x-exosphere-extension": name} for name in extensions}}


@dataclass(frozen=True)
class Report:
    """An outcome that the service was told; `action` is the last part of the path."""

    action: str
    state_id: str
    body: Any


class FakeStateManager(HttpService):
    """Answers as the contract says, without a graph behind it.

    Attributes:
        registrations: bodies of the registrations.
        claims: bodies of the claims.
        reports: the outcomes, in the order of their arrival.
        secrets: given for every state.
        document: served at /openapi.json; None for a 404.
        graphs: answers to GET and PUT of a graph, by name.
        triggers: bodies of the triggers.
        before: called first with each request; what it returns is answered in place of the usual.
        renewals: bodies of the renewals of leases.
        lost: ids of states whose leases have run out; a renewal does not find them held.
        batches: the reports of each request that had several, or could have had.
        judge: called with each report of such a request; what it returns is its result in place of the usual.
        spoil_claim: called with the answer to each claim that brings states; what it returns is answered.
        holds: whether a claim that prefers to wait is held until a state is due.
        preferences: the header Prefer of each claim as it arrives, empty where there is none.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(self._respond, tls=tls)
        self.registrations: list[Any] = []
        self.claims: list[Any] = []
        self.reports: list[Report] = []
        self.secrets: dict[str, str] = {}
        self.document: Any = None
        self.graphs: dict[str, Any] = {}
        self.triggers: list[Any] = []
        self.before: Callable[[Asked], Answer | None] = lambda _: None
        self.renewals: list[Any] = []
        self.lost: set[str] = set()
        self.batches: list[list[Any]] = []
        self.judge: Callable[[Any], dict[str, Any] | None] = lambda _: None
        self.spoil_claim: Callable[[dict[str, Any]], Any] = lambda answer: answer
        self.holds = False
        self.preferences: list[str] = []
        self._states: dict[str, dict[str, Any]] = {}
        self._waiting: list[dict[str, Any]] = []
        self._numbers = itertools.count(1)
        self._queue_lock = threading.Lock()

    def put_state(
        self, node_name: str, inputs: dict[str, Any] | None = None, *, identifier: str = "only", **more: Any
    ) -> str:
        """Make a state due, with more fields where given, and return its id."""
        state_id = f"{next(self._numbers):024x}"
        state = {
            "state_id": state_id,
            "node_name": node_name,
            "identifier": identifier,
            "inputs": inputs or {},
            "created_at": "2025-01-02T03:04:05",
            **more,
        }
        self._states[state_id] = state
        self.put_again(state_id)
        return state_id

    def put_again(self, state_id: str) -> None:
        """Make a state due that was put before."""
        with self._queue_lock:
            self._waiting.append(self._states[state_id])

    def report_of(self, state_id: str) -> Report | None:
        """The last outcome of a state."""
        return next((report for report in reversed(self.reports) if report.state_id == state_id), None)

    def _respond(self, asked: Asked) -> Answer:
        instead = self.before(asked)
        if instead is not None:
            return instead
        if asked.path == "/openapi.json" and self.document is not None:
            return Answer(200, self.document)
        route = _ROUTE.fullmatch(asked.path)
        return Answer(404, {"detail": "Not Found"}) if route is None else self._routed(route, asked)

    def _routed(self, route: re.Match[str], asked: Asked) -> Answer:
        rest = route["rest"]
        if (state := _STATE.fullmatch(rest)) is not None:
            return self._state(state["state_id"], state["action"], asked)
        match rest:
            case "nodes/":
                return self._register(asked.json)
            case "states/enqueue":
                return self._held_claim(unquote(route["namespace"]), asked)
            case "states/renew":
                return self._renew(asked.json)
            case "states/report":
                return self._report_together(asked.json)
            case _:
                return self._graph(rest, asked)

    def _register(self, body: Any) -> Answer:
        self.registrations.append(body)
        return Answer(200, {"runtime_name": body["runtime_name"], "registered_nodes": body["nodes"]})

    def _claim(self, namespace: str, body: Any) -> Answer:
        self.claims.append(body)
        with self._queue_lock:
            taken = [state for state in self._waiting if state["node_name"] in body["nodes"]][: body["batch_size"]]
            self._waiting = [state for state in self._waiting if state not in taken]
        answer = {"count": len(taken), "namespace": namespace, "status": "QUEUED", "states": taken}
        return Answer(200, self.spoil_claim(answer) if taken else answer)

    def _held_claim(self, namespace: str, asked: Asked) -> Answer:
        headers = {name.lower(): value for name, value in asked.headers.items()}
        preference = headers.get("prefer", "")
        self.preferences.append(preference)
        preferred = preference.removeprefix("wait=")
        deadline = time.monotonic() + (float(preferred) if self.holds and preferred else 0.0)
        while not self._is_due(asked.json["nodes"]) and time.monotonic() < deadline:
            time.sleep(0.002)
        return self._claim(namespace, asked.json)

    def _is_due(self, nodes: list[str]) -> bool:
        with self._queue_lock:
            return any(state["node_name"] in nodes for state in self._waiting)

    def _renew(self, body: Any) -> Answer:
        self.renewals.append(body)
        held = [
            {"state_id": state_id, "lease_expires_at": "2125-01-02T03:04:05Z"}
            for state_id in body["state_ids"]
            if state_id not in self.lost
        ]
        return Answer(200, {"held": held})

    def _report_together(self, body: Any) -> Answer:
        self.batches.append(body["reports"])
        return Answer(200, {"results": [self._judged(report) for report in body["reports"]]})

    def _judged(self, report: dict[str, Any]) -> dict[str, Any]:
        judgement = self.judge(report)
        if judgement is not None:
            return {"state_id": report["state_id"], **judgement}
        (kind,) = set(report) - {"state_id"}
        self.reports.append(Report(_ACTIONS[kind], report["state_id"], report[kind]))
        return {"state_id": report["state_id"], "status": 200}

    def _state(self, state_id: str, action: str, asked: Asked) -> Answer:
        if action == "secrets":
            return Answer(200, {"secrets": self.secrets})
        self.reports.append(Report(action, state_id, asked.json))
        answer: dict[str, Any] = {"status": _ENDED[action]}
        if action == "errored":
            answer["retry_created"] = False
        if action in ("prune", "re-enqueue-after"):
            answer["enqueue_after"] = 1
        return Answer(200, answer)

    def _graph(self, rest: str, asked: Asked) -> Answer:
        parts = [unquote(part) for part in rest.split("/")]
        match parts:
            case ["graph", name, "trigger"]:
                self.triggers.append(asked.json)
                answer: dict[str, Any] = {"status": "CREATED", "run_id": "0b0c5f0e-9f5b-4d0e-8a5e-0d3b1f6d2f11"}
                if "states" in asked.json:
                    answer["states"] = [
                        {"state_id": f"{number:024x}", "node_name": "N", **entry}
                        for number, entry in enumerate(asked.json["states"])
                    ]
                return Answer(200, answer)
            case ["graph", name] if name in self.graphs:
                return Answer(201 if asked.method == "PUT" else 200, self.graphs[name])
            case _:
                return Answer(404, {"detail": f"no such thing: {rest}"})
