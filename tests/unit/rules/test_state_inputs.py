"""The inputs of new states: root, entries of a trigger, children."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from exospherehost._rules.model import GraphSpec, NodeSpec, Refused, StoreSpec
from exospherehost._rules.state_inputs import Entry, EntryState, NextStateError, entry_states, plan_child, root_inputs
from exospherehost._rules.topology import Topology

MakeGraph = Callable[..., GraphSpec]


def topology_of_one(make_graph: MakeGraph, store: StoreSpec, **inputs: str) -> Topology:
    return Topology(make_graph({"a": ""}, inputs={"a": inputs}, store=store))


STORE = StoreSpec(("need",), {"default": "from default", "hollow": ""})


# The root


@pytest.mark.parametrize(
    ("template", "given", "store", "result"),
    [
        ("text", {}, {}, "text"),
        ("${{store.need}}!", {}, {}, "given!"),
        ("${{store.default}}", {}, {}, "from default"),
        ("${{store.default}}", {}, {"default": "from store"}, "from store"),
        ("${{store.default}}", {}, {"default": ""}, ""),
        ("${{store.hollow}}", {}, {}, ""),
        ("text", {"x": "other"}, {}, "other"),
        ("text", {"x": ""}, {}, ""),
        ("${{store.gone}}", {"x": "other"}, {}, "other"),
        ("text", {"x": "${{store.free}}"}, {"free": "from store"}, "from store"),
        ("text", {"x": "${{store.need}}"}, {"need": "${{store.default}}"}, "${{store.default}}"),
        ("text", {"dropped": "${{", "also": "${{a.outputs.y}}"}, {}, "text"),
    ],
)
def test_root_inputs(
    make_graph: MakeGraph,
    template: str,
    given: dict[str, str],
    store: dict[str, str],
    result: str,
) -> None:
    topology = topology_of_one(make_graph, STORE, x=template)
    assert root_inputs(topology, given, {"need": "given", **store}) == {"x": result}


@pytest.mark.parametrize("value", ["${{store.undeclared}}", "${{a.outputs.y}}", "${{", "${{nonsense}}"])
def test_a_root_input_that_cannot_be_resolved_is_refused_first(make_graph: MakeGraph, value: str) -> None:
    topology = topology_of_one(make_graph, STORE, x="text")
    with pytest.raises(Refused) as caught:
        root_inputs(topology, {"x": value}, {})
    assert caught.value.status_code == 400
    assert caught.value.detail.startswith("Invalid input: ")


def test_required_keys_must_be_in_the_store_of_the_trigger(make_graph: MakeGraph) -> None:
    store = StoreSpec(("b", "a", "given"), {"a": "a default does not count"})
    topology = topology_of_one(make_graph, store, x="text")
    with pytest.raises(Refused) as caught:
        root_inputs(topology, {}, {"given": ""})
    assert caught.value.status_code == 400
    assert caught.value.detail == "Missing store keys: {'a', 'b'}"


# Entries


def entries_of(topology: Topology, *identifiers: str) -> list[EntryState]:
    return entry_states(topology, [Entry(identifier, {}) for identifier in identifiers], {})


def test_an_entry_takes_the_inputs_of_the_template_with_the_given_over_them(
    make_graph: MakeGraph,
) -> None:
    topology = Topology(
        make_graph(
            {"a": "b", "b": ""},
            inputs={"b": {"x": "${{a.outputs.y}}", "z": "${{store.default}}"}},
            namespaces={"b": "elsewhere"},
            store=STORE,
        )
    )
    given = [Entry("b", {"x": "1", "new": "${{store.need}}"}), Entry("b", {"x": "2"})]
    assert entry_states(topology, given, {"need": "given"}) == [
        EntryState("b", "Nb", "elsewhere", {"x": "1", "z": "from default", "new": "given"}),
        EntryState("b", "Nb", "elsewhere", {"x": "2", "z": "from default"}),
    ]


def test_an_unknown_entry_is_not_found(make_graph: MakeGraph) -> None:
    topology = Topology(make_graph({"a": ""}, inputs={"a": {"x": "${{store.gone}}"}}))
    with pytest.raises(Refused) as caught:
        entries_of(topology, "a", "x")
    assert caught.value.status_code == 404
    assert "'x'" in caught.value.detail


@pytest.mark.parametrize("value", ["${{a.outputs.y}}", "${{store.gone}}", "${{"])
def test_an_entry_resolves_from_the_store_alone(make_graph: MakeGraph, value: str) -> None:
    topology = Topology(make_graph({"a": "b", "b": ""}))
    with pytest.raises(Refused) as caught:
        entry_states(topology, [Entry("a", {}), Entry("b", {"x": value})], {})
    assert caught.value.status_code == 400
    assert caught.value.detail.startswith("Invalid input: entry 1 ('b'): 'x': ")


def test_entries_need_the_required_store_keys_too(make_graph: MakeGraph) -> None:
    topology = topology_of_one(make_graph, STORE)
    with pytest.raises(Refused, match=r"Missing store keys: \{'need'\}"):
        entries_of(topology, "a")


DIAMOND = {
    "edges": {"a": "b", "b": "c d", "c": "e", "d": "e", "e": "f", "f": ""},
    "inputs": {"f": {"x": "${{b.outputs.y}}${{e.outputs.y}}"}},
}
UNION = {
    "edges": {"r": "a", "a": "b c", "b": "u", "c": "u", "u": "v", "v": ""},
    "unites": {"u": "a"},
    "inputs": {"v": {"x": "${{u.outputs.y}}${{a.outputs.y}}"}},
}
CHAIN = {"edges": {"a": "b", "b": "u", "u": "v", "v": ""}, "unites": {"u": "a", "v": "a"}}


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (DIAMOND, "a"),
        (DIAMOND, "b"),
        (UNION, "r"),
        (UNION, "a"),
        (CHAIN, "a"),
        (CHAIN, "v"),
    ],
)
def test_a_run_may_start_where_all_below_finds_what_it_needs(
    make_graph: MakeGraph, arguments: dict[str, Any], start: str
) -> None:
    assert [state.identifier for state in entries_of(Topology(make_graph(**arguments)), start)] == [start]


@pytest.mark.parametrize(
    ("arguments", "start", "words"),
    [
        (DIAMOND, "c", "node 'f' below it refers to 'b'"),
        (DIAMOND, "e", "node 'f' below it refers to 'b'"),
        (UNION, "b", "node 'u' below it unites 'a'"),
        (UNION, "u", "node 'v' below it refers to 'a'"),
        (CHAIN, "b", "node 'u' below it unites 'a'"),
        (CHAIN, "u", "node 'v' below it unites 'a'"),
    ],
)
def test_a_run_may_not_start_below_what_something_needs(
    make_graph: MakeGraph, arguments: dict[str, Any], start: str, words: str
) -> None:
    topology = Topology(make_graph(**arguments))
    with pytest.raises(Refused) as caught:
        entries_of(topology, topology.root, start)
    assert caught.value.status_code == 400
    assert words in caught.value.detail


# Children


def declares(*fields: str) -> NodeSpec:
    properties = {field: {"type": "string"} for field in fields}
    return NodeSpec("Nb", "ns", {"type": "object", "properties": properties}, {})


@pytest.fixture
def graph(make_graph: MakeGraph) -> GraphSpec:
    inputs = {
        "x": "${{a.outputs.y}}-${{store.default}}",
        "s": "${{store.need}}",
        "surplus": "${{a.outputs.never}}",
    }
    return make_graph({"a": "b", "b": ""}, inputs={"b": inputs}, store=STORE)


def test_a_child_gets_exactly_the_fields_that_its_node_declares(graph: GraphSpec) -> None:
    plan = plan_child(graph, "b", declares("s", "x"))
    assert plan.references == {"a"}
    assert plan.resolve({"a": {"y": "1", "other": 5}}, {"need": "n"}) == {
        "x": "1-from default",
        "s": "n",
    }
    assert plan.resolve({"a": {"y": ""}}, {"need": "n", "default": ""}) == {"x": "-", "s": "n"}
    assert plan_child(graph, "b", declares()).resolve({}, {}) == {}


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ({}, "no state of 'a'"),
        ({"a": {}}, "no output 'y'"),
        ({"a": {"y": None}}, "of type NoneType, not text"),
        ({"a": {"y": 5}}, "of type int, not text"),
        ({"a": {"y": True}}, "of type bool, not text"),
        ({"a": {"y": ["secret-looking"]}}, "of type list, not text"),
        ({"a": {"y": {}}}, "of type dict, not text"),
    ],
)
def test_a_child_needs_text_for_each_reference(
    graph: GraphSpec, outputs: dict[str, dict[str, Any]], words: str
) -> None:
    with pytest.raises(NextStateError, match=words) as caught:
        plan_child(graph, "b", declares("x")).resolve(outputs, {"need": "n"})
    assert "secret-looking" not in str(caught.value)


def test_a_child_needs_a_value_for_each_store_key(graph: GraphSpec) -> None:
    with pytest.raises(NextStateError, match="store key 'need'"):
        plan_child(graph, "b", declares("s")).resolve({}, {})


def test_a_child_needs_a_registered_node_that_fits_the_template(graph: GraphSpec) -> None:
    with pytest.raises(NextStateError, match="'Nb' in namespace 'ns' is not registered"):
        plan_child(graph, "b", None)
    with pytest.raises(NextStateError, match="'added' of node 'b' is not in the graph"):
        plan_child(graph, "b", declares("x", "added"))
    with pytest.raises(NextStateError, match="no node with identifier 'c'"):
        plan_child(graph, "c", declares())
