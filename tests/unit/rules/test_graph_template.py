"""Template-level rules of a PUT (400), group by group."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from exospherehost._rules.graph_check import check_template
from exospherehost._rules.model import GraphSpec, StoreSpec

MakeGraph = Callable[..., GraphSpec]


def out(identifier: str, field: str = "y") -> str:
    return f"${{{{{identifier}.outputs.{field}}}}}"


def refers(node: str, *identifiers: str) -> dict[str, dict[str, str]]:
    return {node: {"x": " ".join(out(identifier) for identifier in identifiers)}}


ACCEPTED: list[dict[str, Any]] = [
    {"edges": {"a": ""}},
    {"edges": {"a": "b c", "b": "d", "c": "d", "d": ""}},
    {"edges": {"a": "b", "b": "c", "c": ""}, "inputs": refers("c", "a", "b")},
    # A node below a meeting node may refer to what all branches pass.
    {
        "edges": {"a": "b c", "b": "d", "c": "d", "d": "e", "e": ""},
        "inputs": refers("e", "a", "d"),
    },
    # A union may refer to what it unites and to what is above that.
    {
        "edges": {"r": "a", "a": "b c", "b": "u", "c": "u", "u": ""},
        "unites": {"u": "a"},
        "inputs": refers("u", "r", "a"),
    },
    # What comes after a union may refer to it.
    {
        "edges": {"a": "b", "b": "u", "u": "c", "c": ""},
        "unites": {"u": "a"},
        "inputs": refers("c", "u", "a"),
    },
    # A chain of unions of the same node.
    {
        "edges": {"a": "b", "b": "u", "u": "v", "v": ""},
        "unites": {"u": "a", "v": "a"},
        "inputs": refers("v", "a"),
    },
    # A union inside what another unites.
    {
        "edges": {"a": "b", "b": "c", "c": "u", "u": "d", "d": "v", "v": ""},
        "unites": {"u": "b", "v": "a"},
        "inputs": refers("d", "a", "b", "u"),
    },
    # A union that unites another.
    {
        "edges": {"a": "b", "b": "u", "u": "c", "c": "v", "v": ""},
        "unites": {"u": "a", "v": "u"},
        "inputs": refers("v", "u", "a"),
    },
    {"edges": {"a": ""}, "inputs": {"a": {"x": "", "y": "text }} {{a}}"}}},
    {
        "edges": {"a": ""},
        "inputs": {"a": {"x": "${{store.k}}${{store.d}}"}},
        "store": StoreSpec(("k",), {"d": ""}),
    },
    # An empty field is left to the verification.
    {"edges": {"a": "b", "b": ""}, "inputs": {"b": {"x": "${{a.outputs.}}"}}},
]


@pytest.mark.parametrize("arguments", ACCEPTED)
def test_accepts(make_graph: MakeGraph, arguments: dict[str, Any]) -> None:
    assert check_template(make_graph(**arguments)) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"edges": {"a": ""}, "name": " "}, ["name must not be blank"]),
        ({"edges": {"a": ""}, "namespace": " "}, ["namespace must not be blank"]),
        ({"edges": {"a": ""}, "secrets": (" ",)}, ["name of a secret"]),
        ({"edges": {"a": "x y"}}, ["next node 'x'", "next node 'y'"]),
        ({"edges": {"a": "b", "b": ""}, "unites": {"b": "x"}}, ["'b' unites 'x'"]),
        ({"edges": {"a": "b", "b": ""}, "unites": {"b": "b"}}, ["'b' unites itself"]),
        ({"edges": {}}, ["no nodes"]),
        ({"edges": {"a": "", "b": ""}}, ["'a', 'b'"]),
        ({"edges": {"a": "b", "b": "a"}}, ["each node comes after another"]),
        ({"edges": {"a": "a"}}, ["each node comes after another"]),
        # Uniters that wait for each other, and one that waits for what comes after it.
        (
            {"edges": {"a": "u v", "u": "v", "v": "u"}, "unites": {"u": "v", "v": "u"}},
            ["'u' unites 'v', which is disconnected", "'v' unites 'u', which is disconnected"],
        ),
        (
            {"edges": {"a": "u", "u": "b", "b": ""}, "unites": {"u": "b"}},
            ["'u' unites 'b', which is disconnected"],
        ),
        ({"edges": {"a": "", "b": "c", "c": "b"}}, ["'b' cannot be", "'c' cannot be"]),
        (
            {"edges": {"a": "b", "b": "", "u": ""}, "unites": {"u": "a"}},
            ["no node leads to it"],
        ),
        ({"edges": {"a": "b", "b": "c", "c": "b"}}, ["'c' closes: b -> c -> b"]),
        ({"edges": {"a": "b", "b": "b"}}, ["'b' closes: b -> b"]),
        # The united node comes after the uniter by one way.
        ({"edges": {"a": "b c", "b": "u", "u": "c", "c": ""}, "unites": {"u": "c"}}, ["cycle"]),
        (
            {"edges": {"a": "b u", "b": "u", "u": ""}, "unites": {"u": "a"}},
            ["'u' is a direct next node of 'a'"],
        ),
        # The united node is on another branch.
        (
            {"edges": {"a": "b c", "b": "", "c": "u", "u": ""}, "unites": {"u": "b"}},
            ["branch through 'c' does not carry 'b'"],
        ),
        # It is on one branch of two.
        (
            {"edges": {"a": "b c", "b": "d", "c": "u", "d": "u", "u": ""}, "unites": {"u": "b"}},
            ["branch through 'c' does not carry 'b'"],
        ),
        # It is on one branch of two that meet before the uniter.
        (
            {"edges": {"a": "b c", "b": "d", "c": "d", "d": "u", "u": ""}, "unites": {"u": "b"}},
            ["branch through 'd' does not carry 'b'"],
        ),
        # It was united away in between.
        (
            {
                "edges": {"a": "b", "b": "c", "c": "u", "u": "d", "d": "v", "v": ""},
                "unites": {"u": "a", "v": "b"},
            },
            ["branch through 'd' does not carry 'b'"],
        ),
    ],
)
def test_refuses_the_shape(make_graph: MakeGraph, arguments: dict[str, Any], words: list[str]) -> None:
    problems = check_template(make_graph(**arguments))
    assert len(problems) == len(words)
    for problem, expected in zip(problems, words, strict=True):
        assert expected in problem


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"edges": {"a": ""}, "inputs": refers("a", "a")}, "the node itself"),
        ({"edges": {"a": ""}, "inputs": refers("a", "x")}, "no such identifier"),
        ({"edges": {"a": ""}, "inputs": {"a": {"x": "${{{a.outputs.y}}}"}}}, "'{a'"),
        ({"edges": {"a": "b", "b": ""}, "inputs": refers("a", "b")}, "does not run before it"),
        (
            {"edges": {"a": "b c", "b": "", "c": ""}, "inputs": refers("b", "c")},
            "does not run before it",
        ),
        # Each instance of a meeting node has only its own branch, and so has what is below it.
        (
            {"edges": {"a": "b c", "b": "d", "c": "d", "d": ""}, "inputs": refers("d", "b")},
            "not every branch",
        ),
        (
            {
                "edges": {"a": "b c", "b": "d", "c": "d", "d": "e", "e": ""},
                "inputs": refers("e", "c"),
            },
            "not every branch",
        ),
        (
            {"edges": {"a": "b c", "b": "c", "c": ""}, "inputs": refers("c", "b")},
            "not every branch",
        ),
        (
            {
                "edges": {"a": "b", "b": "u", "u": ""},
                "unites": {"u": "a"},
                "inputs": refers("u", "b"),
            },
            "one of the branches that it unites",
        ),
        (
            {"edges": {"a": "b", "b": "c", "c": "u", "u": ""}, "unites": {"u": "a"}, "inputs": refers("u", "b")},
            "one of the branches that it unites",
        ),
        (
            {
                "edges": {"a": "b", "b": "u", "u": "c", "c": ""},
                "unites": {"u": "a"},
                "inputs": refers("c", "b"),
            },
            "not every branch",
        ),
        (
            {
                "edges": {"a": "b", "b": "u", "u": "v", "v": ""},
                "unites": {"u": "a", "v": "a"},
                "inputs": refers("v", "u"),
            },
            "one of the branches that it unites",
        ),
        ({"edges": {"a": ""}, "inputs": {"a": {"x": "${{store.k}}"}}}, "store key 'k'"),
        ({"edges": {"a": ""}, "inputs": {"a": {"x": "${{store.outputs.k}}"}}}, "store key 'k'"),
        ({"edges": {"a": ""}, "inputs": {"a": {"x": "${{a.y}}"}}}, "neither"),
        ({"edges": {"a": ""}, "inputs": {"a": {"x": "${{a.y"}}}, "never closed"),
        ({"edges": {"a": ""}, "inputs": {"a": {"x": 1}}}, "must be text, not a number"),
        ({"edges": {"a": ""}, "inputs": {"a": {"x": True}}}, "must be text, not a boolean"),
        ({"edges": {"a": ""}, "inputs": {"a": {"x": None}}}, "must be text, not null"),
        ({"edges": {"a": ""}, "inputs": {"a": {"x": []}}}, "must be text, not a list"),
        ({"edges": {"a": ""}, "inputs": {"a": {"x": {}}}}, "must be text, not an object"),
    ],
)
def test_refuses_the_input(make_graph: MakeGraph, arguments: dict[str, Any], words: str) -> None:
    (problem,) = check_template(make_graph(**arguments))
    assert words in problem
    assert "Input 'x' of node" in problem


def test_collects_the_problems_of_all_inputs(make_graph: MakeGraph) -> None:
    graph = make_graph(
        {"a": "b", "b": ""},
        inputs={"a": {"x": 1, "y": "${{"}, "b": {"x": "${{c.outputs.y}} ${{store.k}}"}},
    )
    assert len(check_template(graph)) == 4


def test_an_identifier_used_twice_hides_unknown_next_nodes(make_graph: MakeGraph) -> None:
    once = make_graph({"a": "x", "b": ""}, name="")
    twice = GraphSpec("", "ns", (*once.nodes, *once.nodes))
    problems = check_template(twice)
    assert len(problems) == 3
    assert "'a' is used by more than one node" in problems[1]
    assert "'b' is used by more than one node" in problems[2]


def test_an_earlier_group_hides_a_later_one(make_graph: MakeGraph) -> None:
    graph = make_graph({"a": "x", "b": ""}, unites={"b": "b"}, inputs={"a": {"x": 1}})
    assert len(check_template(graph)) == 1


def test_an_empty_secret_is_refused_without_its_neighbours(make_graph: MakeGraph) -> None:
    graph = make_graph({"a": ""}, secrets=("full", "hollow"))
    (problem,) = check_template(graph, empty_secrets=["hollow"])
    assert "Secret 'hollow' is empty" in problem


def test_every_next_of_a_wide_and_deep_graph_is_checked_quickly(make_graph: MakeGraph) -> None:
    """200 nodes in 40 layers, each joined to all of the next: 5**38 paths."""
    layers = [[f"n{layer}-{at}" for at in range(5)] for layer in range(40)]
    edges = {"root": " ".join(layers[0])}
    for layer, following in zip(layers, [*layers[1:], ["u"]], strict=True):
        edges |= dict.fromkeys(layer, " ".join(following))
    edges["u"] = ""
    inputs = {name: {"x": "${{root.outputs.y}}"} for name in edges if name != "root"}
    graph = make_graph(edges, unites={"u": "root"}, inputs=inputs)
    started = time.perf_counter()
    assert check_template(graph) == []
    assert time.perf_counter() - started < 1
