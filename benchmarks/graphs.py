"""Graphs on the embedded server: put there over the wire, and watched until their runs have ended."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import KEY, MeasurementError, Server

SPACE = "/v0/namespace/bench"
_LOOK_SECONDS = 0.02
_PATIENCE_SECONDS = 300.0


@contextlib.contextmanager
def embedded_server(without: Sequence[str] = ()) -> Iterator[Server]:
    """Run the embedded server on a new database, without some of its extensions."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Server("embedded_server", str(Path(folder, "bench.db")), KEY, ",".join(without)) as server,
    ):
        yield server


def put_chain(server: Server, *names: str) -> None:
    """Store a graph `chain` of nodes, each of which passes on its `text`; the client need not have started."""
    schema = {"type": "object", "properties": {"text": {"type": "string"}, "step": {"type": "string"}}}
    inputs = {"type": "object", "properties": {"text": {"type": "string"}}}
    nodes = [{"name": name, "inputs_schema": inputs, "outputs_schema": schema, "secrets": []} for name in names]
    server.call("PUT", f"{SPACE}/nodes/", {"runtime_name": "bench", "nodes": nodes})
    body = [
        {
            "node_name": name,
            "namespace": "bench",
            "identifier": name,
            "inputs": {"text": f"${{{{{names[place - 1]}.outputs.text}}}}" if place else ""},
            "next_nodes": list(names[place + 1 : place + 2]),
        }
        for place, name in enumerate(names)
    ]
    stored = server.call("PUT", f"{SPACE}/graph/chain", {"secrets": {}, "nodes": body})
    if stored["validation_status"] != "VALID":
        raise MeasurementError(f"the graph is not valid: {stored['validation_errors']}")


def trigger(server: Server, text: str) -> str:
    """Start a run with a text; returns its id."""
    run_id: str = server.call("POST", f"{SPACE}/graph/chain/trigger", {"inputs": {"text": text}})["run_id"]
    return run_id


def fan_out(server: Server, states: int, node: str) -> None:
    """Have as many states of a node due as are asked for: the outputs of one state before them."""
    put_chain(server, "Seed", node)
    trigger(server, "seed")
    claimed = server.call("POST", f"{SPACE}/states/enqueue", {"nodes": ["Seed"], "batch_size": 1})["states"]
    outputs = [{"text": "some text to work on"}] * states
    server.call("POST", f"{SPACE}/state/{claimed[0]['state_id']}/executed", {"outputs": outputs})
    # Besides the states themselves there are those that the seed's outputs became.
    wait_for_run(server, lambda run: run["total_count"] >= 2 * states)


@dataclass(frozen=True)
class Seen:
    """A run as the server told it.

    Attributes:
        run: its line of the list.
        at: when, monotonic clock, seconds.
    """

    run: dict[str, Any]
    at: float


def wait_for_run(server: Server, is_so: Callable[[dict[str, Any]], bool]) -> Seen:
    """Wait until something is so of the newest run."""
    limit = time.monotonic() + _PATIENCE_SECONDS
    while not is_so(run := server.call("GET", f"{SPACE}/runs/1/1")["runs"][0]):
        if time.monotonic() > limit:
            raise MeasurementError(f"the run stays as it is: {run}")
        time.sleep(_LOOK_SECONDS)
    return Seen(run, time.monotonic())
