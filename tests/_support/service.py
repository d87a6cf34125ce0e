"""Speaks to a state manager as bare HTTP, for tests of what stands on the wire."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import httpx

from exospherehost.server import ServerThread

Json = dict[str, Any]
_namespaces = itertools.count(1)


def schema(*fields: str) -> Json:
    """Return a JSON schema of an object with these text fields."""
    return {"type": "object", "properties": {field: {"type": "string"} for field in fields}, "required": list(fields)}


def registration(
    name: str, inputs: Sequence[str] = (), outputs: Sequence[str] = (), secrets: Sequence[str] = ()
) -> Json:
    """Return a node for a registration."""
    return {
        "name": name,
        "inputs_schema": schema(*inputs),
        "outputs_schema": schema(*outputs),
        "secrets": list(secrets),
    }


class Api:
    """A namespace of its own on a server.

    Args:
        http: The connection, which sends the key.
        namespace: The namespace; a fresh one by default.
    """

    def __init__(self, http: httpx.Client, namespace: str | None = None) -> None:
        self.http = http
        self.namespace = namespace or f"space-{next(_namespaces)}"

    def in_namespace(self, namespace: str) -> Api:
        """Return the same connection in another namespace."""
        return Api(self.http, namespace)

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request to a path below the namespace."""
        return self.http.request(method, f"/v0/namespace/{self.namespace}{path}", **options)

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.call("POST", path, json=body)

    def put(self, path: str, body: Any) -> httpx.Response:
        return self.call("PUT", path, json=body)

    def get(self, path: str) -> httpx.Response:
        return self.call("GET", path)

    # -- the operations, expected to succeed -------------------------------------------------------

    def register(self, *nodes: Json, runtime: str = "runtime") -> None:
        good(self.put("/nodes/", {"runtime_name": runtime, "nodes": list(nodes)}))

    def node(
        self,
        identifier: str,
        inputs: Mapping[str, str] | None = None,
        next_nodes: Iterable[str] = (),
        *,
        node: str = "Step",
        unites: str | None = None,
        strategy: str = "ALL_SUCCESS",
        namespace: str | None = None,
    ) -> Json:
        """Return a node for a graph of this namespace."""
        return {
            "node_name": node,
            "namespace": namespace or self.namespace,
            "identifier": identifier,
            "inputs": dict(inputs or {}),
            "next_nodes": list(next_nodes),
            "unites": None if unites is None else {"identifier": unites, "strategy": strategy},
        }

    def upsert(self, name: str, *nodes: Json, **sections: Any) -> Json:
        """Put a graph and return the answer, VALID or not."""
        answer = self.put(f"/graph/{name}", {"secrets": {}, "nodes": list(nodes), **sections})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def graph(self, name: str, *nodes: Json, **sections: Any) -> Json:
        """Put a graph that must turn out VALID."""
        stored = self.upsert(name, *nodes, **sections)
        assert stored["validation_status"] == "VALID", stored["validation_errors"]
        return stored

    def steps(self) -> None:
        """Register the node ``Step`` without inputs, with an output ``y``."""
        self.register(registration("Step", outputs=["y"]))

    def trigger(self, name: str, **body: Any) -> str:
        return str(good(self.post(f"/graph/{name}/trigger", body))["run_id"])

    def claim(self, *names: str, size: int = 100) -> list[Json]:
        return list(
            good(self.post("/states/enqueue", {"nodes": list(names or ["Step"]), "batch_size": size}))["states"]
        )

    def claim_one(self, *names: str) -> Json:
        states = self.claim(*names, size=1)
        assert len(states) == 1, states
        return states[0]

    def report(self, state_id: str, kind: str, body: Any) -> httpx.Response:
        return self.post(f"/state/{state_id}/{kind}", body)

    def executed(self, state: Json, *outputs: Json) -> None:
        good(self.report(state["state_id"], "executed", {"outputs": list(outputs)}))

    def errored(self, state: Json, error: str = "boom") -> Json:
        return good(self.report(state["state_id"], "errored", {"error": error}))

    def prune(self, state: Json) -> Json:
        return good(self.report(state["state_id"], "prune", {"data": {"why": "test"}}))

    # -- reading -----------------------------------------------------------------------------------

    def run(self, run_id: str) -> Json:
        """Return the run's line of the list."""
        runs = good(self.get("/runs/1/1000"))["runs"]
        return next(run for run in runs if run["run_id"] == run_id)

    def states(self, run_id: str) -> list[Json]:
        """Return the run's states, in order of creation."""
        return list(good(self.get(f"/states/run/{run_id}/graph"))["nodes"])

    def identifiers(self, run_id: str) -> list[str]:
        return sorted(state["identifier"] for state in self.states(run_id))

    def statuses(self, run_id: str) -> list[tuple[str, str]]:
        """Return (identifier, status) of the run's states, sorted."""
        return sorted((state["identifier"], state["status"]) for state in self.states(run_id))

    def state(self, graph: str, run_id: str, state_id: str) -> Json:
        return good(self.get(f"/graph/{graph}/run/{run_id}/node/{state_id}"))

    def work_off(self, act: Callable[[Json], None] | None = None, *names: str) -> list[str]:
        """Claim and execute until nothing is due, and return the identifiers in order."""
        done: list[str] = []
        while states := self.claim(*names):
            for state in states:
                done.append(state["identifier"])
                if act is None:
                    self.executed(state, {"y": state["identifier"]})
                else:
                    act(state)
        return done


def good(answer: httpx.Response) -> Json:
    """Return the body of an answer that must be 200."""
    assert answer.status_code == 200, f"{answer.status_code}: {answer.text}"
    return dict(answer.json())


def connect(server: ServerThread) -> httpx.Client:
    """Return a connection to a server that sends its key."""
    return httpx.Client(base_url=server.url, headers={"x-api-key": server.api_key}, timeout=30)
