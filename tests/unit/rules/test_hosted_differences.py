"""What is told about graphs that fare otherwise on the hosted service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from exospherehost._rules.graph_check import check_template
from exospherehost._rules.hosted_differences import hosted_differences
from exospherehost._rules.model import GraphSpec

MakeGraph = Callable[..., GraphSpec]


@pytest.mark.parametrize(
    "arguments",
    [
        {"edges": {"a": "b c", "b": "d", "c": "d", "d": ""}},
        {"edges": {"a": "b c", "b": "u", "c": "u", "u": "d", "d": ""}, "unites": {"u": "a"}},
        # Chains, of the same node and from within, work there too.
        {"edges": {"a": "b", "b": "u", "u": "v", "v": ""}, "unites": {"u": "a", "v": "a"}},
        {
            "edges": {"a": "b", "b": "c", "c": "u", "u": "d", "d": "v", "v": ""},
            "unites": {"u": "b", "v": "a"},
        },
        {
            "edges": {"a": "b", "b": "u", "u": "c", "c": ""},
            "unites": {"u": "a"},
            "inputs": {"c": {"x": "${{a.outputs.y}}${{store.k}}"}},
        },
    ],
)
def test_nothing_is_told_of_what_works_there(make_graph: MakeGraph, arguments: dict[str, Any]) -> None:
    assert hosted_differences(make_graph(**arguments)) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {
                "edges": {"a": "b", "b": "u", "u": "c", "c": ""},
                "unites": {"u": "a"},
                "inputs": {"c": {"x": "${{u.outputs.y}}", "z": "${{u.outputs.z}}"}},
            },
            ["'c' refers to the uniting node 'u'"],
        ),
        # An unrelated end under the united node.
        (
            {"edges": {"a": "b c", "b": "u", "c": "", "u": ""}, "unites": {"u": "a"}},
            ["Below 'a', branches that end at 'c' do not lead to 'u'"],
        ),
        # Under it on one of two ways only.
        (
            {
                "edges": {"r": "a c", "a": "b c", "b": "u", "c": "", "u": ""},
                "unites": {"u": "a"},
            },
            ["Below 'a', branches that end at 'c' do not lead to 'u'"],
        ),
        # An end under the inner united node that leads only to the outer union.
        (
            {
                "edges": {"r": "a", "a": "b c", "b": "u", "c": "v", "u": "v", "v": ""},
                "unites": {"u": "a", "v": "r"},
            },
            ["Below 'a', branches that end at 'c' do not lead to 'u'"],
        ),
        (
            {
                "edges": {"a": "b c", "b": "u", "c": "v", "u": "", "v": ""},
                "unites": dict.fromkeys("uv", "a"),
            },
            [
                "Below 'a', branches that end at 'u' do not lead to 'v'",
                "Below 'a', branches that end at 'v' do not lead to 'u'",
                "'u', 'v' all unite 'a'",
            ],
        ),
        # A union that another branch joins later.
        (
            {
                "edges": {"a": "b c", "b": "u", "c": "v", "u": "v", "v": ""},
                "unites": {"u": "a", "v": "a"},
            },
            ["'u', 'v' all unite 'a'"],
        ),
        (
            {"edges": {"a": "b", "b": ""}, "namespaces": {"b": "other"}},
            ["'b' is of namespace 'other'"],
        ),
        ({"edges": {"a": ""}, "crons": ("@hourly", "@hourly")}, ["'@hourly' is read in UTC"]),
        (
            {"edges": {"a": ""}, "crons": ("* * * * * 5",)},
            ["'* * * * * 5' is read in UTC", "'* * * * * 5' has seconds"],
        ),
    ],
)
def test_tells_what_differs(make_graph: MakeGraph, arguments: dict[str, Any], words: list[str]) -> None:
    graph = make_graph(**arguments)
    assert [problem for problem in check_template(graph) if "store key" not in problem] == []
    differences = hosted_differences(graph)
    assert len(differences) == len(words), differences
    for expected in words:
        assert any(expected in difference for difference in differences), expected
