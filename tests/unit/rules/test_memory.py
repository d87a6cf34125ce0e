"""What the rules derive from a graph takes little memory, however long the graph's branches are."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from exospherehost._rules import graph_check
from exospherehost._rules.model import GraphSpec

NODES = 2_000
MOST_BYTES = 30_000_000
"""A set of names for each node of a chain took 100 MB more."""


def node(identifier: str, *next_nodes: str, unites: str | None = None) -> dict[str, Any]:
    united = {} if unites is None else {"unites": {"identifier": unites}}
    return {
        "node_name": "a",
        "namespace": "n",
        "identifier": identifier,
        "inputs": {},
        "next_nodes": next_nodes,
        **united,
    }


def chain() -> list[dict[str, Any]]:
    return [node(f"{at}", *([f"{at + 1}"] if at < NODES - 1 else [])) for at in range(NODES)]


def many_that_unite_one() -> list[dict[str, Any]]:
    names = [f"u{at}" for at in range(NODES)]
    return [node("root", "branch"), node("branch", *names), *(node(name, unites="root") for name in names)]


@pytest.mark.parametrize("shape", [chain, many_that_unite_one])
def test_a_graph_of_thousands_of_nodes_takes_megabytes(shape: Callable[[], list[dict[str, Any]]]) -> None:
    graph = GraphSpec.from_request("g", "n", {"nodes": shape(), "secrets": []})
    tracemalloc.start()
    try:
        assert graph_check.check_template(graph) == []
        differences = graph_check.hosted_differences(graph)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_BYTES
    # Nor is what is told of it multiplied.
    assert sum(map(len, differences)) < 1_000 * NODES
