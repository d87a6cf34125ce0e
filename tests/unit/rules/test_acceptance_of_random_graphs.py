"""Acceptance of graphs, compared with all ways in which their states can come into being."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exospherehost._rules.graph_check import check_template
from exospherehost._rules.hosted_differences import hosted_differences
from exospherehost._rules.model import GraphNodeSpec, GraphSpec, Refused, UnitesSpec
from exospherehost._rules.state_inputs import Entry, entry_states
from exospherehost._rules.topology import Topology

Carried = frozenset[int]

# Drawing is slow on a machine that runs other tests too, which says nothing about these.
BUSY = [HealthCheck.too_slow]


@st.composite
def graphs(draw: st.DrawFn) -> GraphSpec:
    """Draw a graph whose one root is node 0 and whose edges lead to higher numbers.

    Most of its joins are sound and most of its references near the truth, or few would be accepted.
    """
    size = draw(st.sampled_from([8, 7, 6, 5, 5, 4, 4, 3, 2, 1]))
    edges: list[set[int]] = [set() for _ in range(size)]
    root: set[int] = set()
    common = [root]
    unites: list[UnitesSpec | None] = [None]
    inputs: list[dict[str, str]] = [{}]
    for at in range(1, size):
        most = draw(st.sampled_from([1, 1, 2, 3]))
        before: set[int] = draw(st.sets(st.integers(0, at - 1), min_size=1, max_size=most))
        for each in before:
            edges[each].add(at)
        sound: list[int] = sorted(set.intersection(*(common[each] for each in before)))
        kind = draw(st.sampled_from(["plain"] * 4 + ["sound"] * 5 + ["any"]))
        united = None
        if kind == "sound" and sound:
            united = draw(st.sampled_from(sound))
        elif kind == "any" and draw(st.booleans()):
            united = draw(st.sampled_from([other for other in range(size) if other != at]))
        unites.append(None if united is None else UnitesSpec(str(united)))
        if united is not None and united < at:
            common.append(common[united] | {united})
        else:
            common.append(set.intersection(*(common[each] | {each} for each in before)))
        anywhere = st.integers(0, size - 1)
        near = st.sampled_from(sorted(common[at])) if common[at] else anywhere
        referred: set[int] = draw(st.sets(near if draw(st.integers(0, 9)) > 0 else anywhere, max_size=2))
        inputs.append({str(each): f"${{{{{each}.outputs.y}}}}" for each in referred})
    return GraphSpec(
        "g",
        "ns",
        tuple(
            GraphNodeSpec("N", "ns", str(at), inputs[at], tuple(map(str, sorted(edges[at]))), unites[at])
            for at in range(size)
        ),
    )


def all_ways(graph: GraphSpec, start: int) -> dict[int, set[Carried]] | None:
    """Enumerate what the states of each node can carry; None if a branch misses a united node."""
    ways: dict[int, set[Carried]] = {start: {frozenset()}}
    for at in range(start + 1, len(graph.nodes)):
        before = [
            (int(node.identifier), carried)
            for node in graph.nodes
            if str(at) in node.next_nodes
            for carried in ways.get(int(node.identifier), ())
        ]
        if not before:
            continue
        unites = graph.nodes[at].unites
        if unites is None:
            ways[at] = {carried | {creator} for creator, carried in before}
            continue
        united = int(unites.identifier)
        if not all(united in carried for _, carried in before):
            return None
        ways[at] = {carried | {united} for carried in ways[united]}
    return ways


def resolvable(graph: GraphSpec, start: int) -> bool:
    ways = all_ways(graph, start)
    return ways is not None and all(
        int(referred) in carried for at, each in ways.items() for carried in each for referred in graph.nodes[at].inputs
    )


def shuffled(graph: GraphSpec, seed: int) -> GraphSpec:
    random = Random(seed)  # noqa: S311 - only shuffles
    nodes = [
        replace(node, next_nodes=tuple(random.sample(node.next_nodes, len(node.next_nodes)))) for node in graph.nodes
    ]
    random.shuffle(nodes)
    return replace(graph, nodes=tuple(nodes))


@settings(max_examples=600, deadline=None, suppress_health_check=BUSY)
@given(graphs())
def test_a_graph_is_accepted_exactly_if_every_branch_can_resolve_everything(
    graph: GraphSpec,
) -> None:
    assert (check_template(graph) == []) == resolvable(graph, 0), check_template(graph)


@settings(max_examples=300, deadline=None, suppress_health_check=BUSY)
@given(graphs(), st.integers())
def test_the_order_of_nodes_and_next_nodes_never_matters(graph: GraphSpec, seed: int) -> None:
    problems = check_template(graph)
    assert sorted(check_template(shuffled(graph, seed))) == sorted(problems) or (
        # Which of several cycles is told depends on where the search starts.
        "cycle" in problems[0]
    )


@settings(max_examples=300, deadline=None, suppress_health_check=BUSY)
@given(graphs(), st.integers())
def test_what_the_hosted_service_differs_in_does_not_depend_on_order(graph: GraphSpec, seed: int) -> None:
    if check_template(graph):
        return
    count = len(hosted_differences(graph))
    assert len(hosted_differences(shuffled(graph, seed))) == count


@settings(max_examples=600, deadline=None, suppress_health_check=BUSY)
@given(graphs(), st.data())
def test_an_entry_is_accepted_exactly_if_all_below_it_can_resolve_everything(
    graph: GraphSpec, data: st.DataObject
) -> None:
    if check_template(graph):
        graph = replace(graph, nodes=tuple(replace(n, unites=None, inputs={}) for n in graph.nodes))
        below = data.draw(st.integers(0, len(graph.nodes) - 1))
        candidates = sorted(Topology(graph).visible(str(below)))
        if candidates:
            referred = data.draw(st.sampled_from(candidates))
            inputs = {referred: f"${{{{{referred}.outputs.y}}}}"}
            changed = replace(graph.nodes[below], inputs=inputs)
            nodes = [*graph.nodes[:below], changed, *graph.nodes[below + 1 :]]
            graph = replace(graph, nodes=tuple(nodes))
    start = data.draw(st.integers(0, len(graph.nodes) - 1))
    try:
        entry_states(Topology(graph), [Entry(str(start), {})], {})
        accepted = True
    except Refused:
        accepted = False
    assert accepted == resolvable(graph, start)


@settings(max_examples=300, deadline=None, suppress_health_check=BUSY)
@given(graphs())
def test_what_is_visible_is_what_all_ways_have_in_common(graph: GraphSpec) -> None:
    ways = all_ways(graph, 0)
    if ways is None:
        return
    topology = Topology(graph)
    for at, each in ways.items():
        common = frozenset.intersection(*each)
        union = frozenset.union(*each)
        assert topology.visible(str(at)) == {str(entry) for entry in common}
        assert topology.ever_visible(str(at)) == {str(entry) for entry in union}
