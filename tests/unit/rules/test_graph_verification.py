"""Verification against the registered nodes (INVALID)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from exospherehost._rules.graph_check import verify
from exospherehost._rules.model import GraphSpec, NodeSpec

MakeGraph = Callable[..., GraphSpec]
NOW = datetime(2026, 11, 23, tzinfo=UTC)
TEXT = {"type": "string"}


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def nodes(**specs: tuple[Mapping[str, Any], Mapping[str, Any]]) -> dict[tuple[str, str], NodeSpec]:
    return {(name, "ns"): NodeSpec(name, "ns", inputs, outputs) for name, (inputs, outputs) in specs.items()}


def chain(make_graph: MakeGraph, **inputs: str) -> GraphSpec:
    return make_graph({"a": "b", "b": ""}, inputs={"b": inputs})


def test_accepts_a_graph_whose_nodes_fit(make_graph: MakeGraph) -> None:
    graph = chain(make_graph, x="${{a.outputs.y}}", surplus="text")
    registered = nodes(Na=(schema(), schema(y=TEXT)), Nb=(schema(x=TEXT), {}))
    assert verify(graph, registered, NOW) == []


@pytest.mark.parametrize(
    "field",
    [
        {"type": "string"},
        {"type": "string", "minLength": 1, "maxLength": 9, "pattern": "a"},
        {"type": "string", "default": "x", "title": "X", "description": "d"},
        {"type": "string", "format": "password"},
    ],
)
def test_plain_strings(make_graph: MakeGraph, field: dict[str, Any]) -> None:
    graph = chain(make_graph, x="${{a.outputs.y}}")
    registered = nodes(Na=({}, schema(y=field)), Nb=(schema(x=field), {}))
    assert verify(graph, registered, NOW) == []


@pytest.mark.parametrize(
    "field",
    [
        {"type": "integer"},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "array", "items": {"type": "string"}},
        {"type": "object"},
        {"type": "null"},
        {"type": ["string", "null"]},
        {"type": "string", "enum": ["a"]},
        {"type": "string", "const": "a"},
        {"type": "string", "format": "date-time"},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"$ref": "#/$defs/X"},
        {},
        {"title": "no type"},
        {"type": None},
        {"type": {}},
        True,
        None,
        "string",
    ],
)
def test_anything_else_is_no_plain_string(make_graph: MakeGraph, field: Any) -> None:
    graph = chain(make_graph, x="${{a.outputs.y}}")
    registered = nodes(Na=({}, schema(y=field)), Nb=(schema(x=field), {}))
    first, second = verify(graph, registered, NOW)
    assert first.startswith("Input 'x' of node 'b' is not a plain string: ")
    assert second.startswith("Input 'x' of node 'b' refers to output 'y' of 'a', which is not a")


@pytest.mark.parametrize(
    "no_fields",
    [{}, {"type": "string"}, {"type": "zzz", "properties": {"x": TEXT}}, {"properties": []}],
)
def test_schemas_without_fields(make_graph: MakeGraph, no_fields: dict[str, Any]) -> None:
    graph = chain(make_graph, x="${{a.outputs.y}}")
    (reason,) = verify(graph, nodes(Na=({}, no_fields), Nb=(no_fields, {})), NOW)
    assert "which that node does not declare" in reason


def test_every_declared_input_must_be_given_even_with_a_default(make_graph: MakeGraph) -> None:
    graph = chain(make_graph, x="text")
    fields = schema(x=TEXT, y={"type": "string", "default": ""}, z=TEXT)
    reasons = verify(graph, nodes(Na=({}, {}), Nb=({**fields, "required": ["x"]}, {})), NOW)
    assert [reason.split(":")[0] for reason in reasons] == [
        "Input 'y' of node 'b' is missing",
        "Input 'z' of node 'b' is missing",
    ]


def test_an_empty_field_name_is_no_output(make_graph: MakeGraph) -> None:
    graph = chain(make_graph, x="${{a.outputs.}}")
    registered = nodes(Na=({}, schema(y=TEXT)), Nb=(schema(x=TEXT), {}))
    (reason,) = verify(graph, registered, NOW)
    assert "output '' of 'a'" in reason


def test_an_unregistered_node_is_told_once_and_at_each_use(make_graph: MakeGraph) -> None:
    graph = make_graph({"a": "b c", "b": "", "c": ""}, namespaces={"c": "other"})
    registered = nodes(Na=({}, {}), Nb=({}, {}))
    missing, use = verify(graph, registered, NOW)
    assert missing.startswith("Node 'Nc' in namespace 'other' is not registered")
    assert missing.endswith(".")
    assert use == "Node 'Nc' in namespace 'other' is not registered, but 'c' uses it"


def test_reasons_come_as_nodes_secrets_inputs_crons(make_graph: MakeGraph) -> None:
    graph = make_graph(
        {"a": "b c", "b": "", "c": ""},
        secrets=("KEY", "extra"),
        crons=("0 0 31 2 *", "* * * * *", "0 0 31 2 *"),
    )
    registered = {
        ("Na", "ns"): NodeSpec("Na", "ns", {}, {}, ("KEY", "key", "key")),
        ("Nb", "ns"): NodeSpec("Nb", "ns", schema(x=TEXT), {}),
    }
    reasons = verify(graph, registered, NOW)
    assert [reason.split(":")[0] for reason in reasons] == [
        "Node 'Nc' in namespace 'ns' is not registered",
        "Secret 'key' is declared by Node 'Na' in namespace 'ns' but missing from the graph's secrets",
        "Input 'x' of node 'b' is missing",
        "Node 'Nc' in namespace 'ns' is not registered, but 'c' uses it",
        "The cron expression '0 0 31 2 *' never comes due",
    ]


def test_a_cron_whose_years_are_over_never_comes_due(make_graph: MakeGraph) -> None:
    graph = make_graph({"a": ""}, crons=("0 0 1 1 * 0 2027",))
    registered = nodes(Na=({}, {}))
    assert verify(graph, registered, NOW) == []
    assert len(verify(graph, registered, NOW.replace(year=2027, month=2))) == 1
