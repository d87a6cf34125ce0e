"""Joins: when uniting states come into being, in runs that are played through."""

# ruff: noqa: S311 - random numbers only choose what happens in a run

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exospherehost._rules.graph_check import check_template
from exospherehost._rules.joins import (
    Counts,
    child_parents,
    counts_change,
    counts_of,
    ready_uniters,
    united_ancestors,
    uniter_parents,
)
from exospherehost._rules.model import FAILED, PENDING, GraphNodeSpec, GraphSpec, Status, UnitesSpec, UniteStrategy
from exospherehost._rules.topology import Topology
from tests._support.joins import join_ready

MakeGraph = Callable[..., GraphSpec]
BOTH = pytest.mark.parametrize("all_done", ["", "c"], ids=["ALL_SUCCESS", "ALL_DONE"])


@dataclass
class State:
    id: str
    identifier: str
    path: tuple[str, ...]
    """How it came into being; the same whatever the order of events."""
    parents: dict[str, str]
    status: Status
    counts: Counts = field(default_factory=Counts)
    created: list[str] = field(default_factory=list)


class Run:
    """Plays a run in memory by the protocol that the storage follows."""

    def __init__(self, graph: GraphSpec) -> None:
        assert check_template(graph) == []
        self.topology = Topology(graph)
        self.states: dict[str, State] = {}
        self.create(self.topology.root, (self.topology.root,), {})

    def create(
        self,
        identifier: str,
        path: tuple[str, ...],
        parents: dict[str, str],
        status: Status = Status.CREATED,
    ) -> State:
        state = State(str(len(self.states)), identifier, path, parents, status)
        self.states[state.id] = state
        self.count(state, counts_change(None, status))
        return state

    def count(self, state: State, change: Counts) -> None:
        for _, united_id in united_ancestors(self.topology, state.parents):
            self.states[united_id].counts += change

    def only(self, identifier: str) -> State:
        (state,) = self.at(identifier)
        return state

    def set(self, state: State, status: Status) -> None:
        self.count(state, counts_change(state.status, status))
        state.status = status

    def at(self, identifier: str, *statuses: Status) -> list[State]:
        return [
            state
            for state in self.states.values()
            if state.identifier == identifier and (not statuses or state.status in statuses)
        ]

    def under(self, united: State) -> list[State]:
        return [state for state in self.states.values() if state.parents.get(united.identifier) == united.id]

    def succeed(self, state: State, outputs: int = 1) -> None:
        siblings = [state] + [
            self.create(state.identifier, (*state.path, f"#{at}"), state.parents, Status.SUCCESS)
            for at in range(1, outputs)
        ]
        for child in self.topology.children(state.identifier):
            for each in siblings:
                parents = child_parents(each.identifier, each.id, each.parents)
                self.create(child.identifier, (*each.path, child.identifier), parents)
        self.set(state, Status.SUCCESS)
        self.examine(state)

    def end(self, state: State, status: Status) -> None:
        self.set(state, status)
        self.examine(state)

    def retry(self, state: State) -> State:
        again = self.create(state.identifier, (*state.path, "retry"), state.parents)
        self.end(state, Status.RETRY_CREATED)
        return again

    def examine(self, state: State) -> None:
        for identifier, united_id in united_ancestors(self.topology, state.parents):
            united = self.states[united_id]
            statuses = [each.status for each in self.under(united)]
            assert united.counts == counts_of(statuses)
            for node in ready_uniters(self.topology, identifier, united.counts, united.created):
                assert node.unites is not None
                assert join_ready(node.unites.strategy, statuses)
                self.check_those_before(united, node, statuses)
                united.created.append(node.identifier)
                parents = uniter_parents(identifier, united_id, united.parents)
                assert list(parents)[-1] == identifier
                self.create(node.identifier, (*united.path, node.identifier), parents)

    def check_those_before(self, united: State, node: GraphNodeSpec, statuses: Sequence[Status]) -> None:
        for other in self.topology.uniters_of(united.identifier):
            if self.topology.reaches(other.identifier, node.identifier):
                assert other.unites is not None
                assert other.identifier in united.created or not join_ready(other.unites.strategy, statuses)

    @property
    def pending(self) -> list[State]:
        return [state for state in self.states.values() if state.status in PENDING]

    @property
    def failed(self) -> list[State]:
        return [state for state in self.states.values() if state.status in FAILED]

    @property
    def outcome(self) -> Counter[tuple[tuple[str, ...], Status]]:
        return Counter((state.path, state.status) for state in self.states.values())


# The situations of the contract: b fans out into three, each followed by d; c unites a.


@pytest.fixture
def fan(make_graph: MakeGraph) -> Callable[[str], tuple[Run, list[State]]]:
    def start(all_done: str) -> tuple[Run, list[State]]:
        graph = make_graph({"a": "b", "b": "d", "d": "c", "c": ""}, unites={"c": "a"}, all_done=all_done)
        run = Run(graph)
        run.succeed(run.only("a"))
        run.succeed(run.only("b"), outputs=3)
        assert len(run.at("d")) == 3
        return run, run.at("d")

    return start


Fan = Callable[[str], tuple[Run, list[State]]]


@BOTH
def test_all_succeed(fan: Fan, all_done: str) -> None:
    run, (first, second, third) = fan(all_done)
    run.succeed(second)
    run.succeed(first)
    assert run.at("c") == []
    run.succeed(third)
    (union,) = run.at("c")
    assert union.parents == {"a": run.at("a")[0].id}
    run.succeed(union)
    assert len(run.at("c")) == 1


@BOTH
@pytest.mark.parametrize("last", [False, True], ids=["earlier", "last"])
def test_one_errored(fan: Fan, all_done: str, last: bool) -> None:
    run, (first, second, third) = fan(all_done)
    if not last:
        run.end(first, Status.ERRORED)
    run.succeed(second)
    run.succeed(third)
    assert len(run.at("c")) == (1 if all_done and not last else 0)
    if last:
        run.end(first, Status.ERRORED)
    assert len(run.at("c")) == (1 if all_done else 0)
    run.succeed(run.retry(first))
    assert len(run.at("c")) == 1


@BOTH
@pytest.mark.parametrize("last", [False, True], ids=["earlier", "last"])
def test_one_pruned(fan: Fan, all_done: str, last: bool) -> None:
    run, states = fan(all_done)
    pruned = states[2 if last else 0]
    for state in states:
        assert run.at("c") == []
        if state is pruned:
            run.end(state, Status.PRUNED)
        else:
            run.succeed(state)
    assert len(run.at("c")) == 1


@BOTH
def test_all_pruned(fan: Fan, all_done: str) -> None:
    run, states = fan(all_done)
    for state in states:
        run.end(state, Status.PRUNED)
    assert len(run.at("c")) == 1


@BOTH
def test_a_failure_to_create_next_states_counts_as_failed(fan: Fan, all_done: str) -> None:
    run, (first, second, third) = fan(all_done)
    run.succeed(first)
    run.succeed(second)
    run.end(third, Status.NEXT_CREATED_ERROR)
    assert len(run.at("c")) == (1 if all_done else 0)


@BOTH
def test_an_automatic_retry_keeps_the_join_waiting(fan: Fan, all_done: str) -> None:
    run, (first, second, third) = fan(all_done)
    run.succeed(first)
    run.succeed(second)
    again = run.retry(third)
    assert run.at("c") == []
    run.succeed(again)
    assert len(run.at("c")) == 1


@BOTH
def test_a_state_that_is_re_enqueued_keeps_the_join_waiting(fan: Fan, all_done: str) -> None:
    run, (first, second, third) = fan(all_done)
    run.end(third, Status.QUEUED)
    run.succeed(first)
    run.end(third, Status.CREATED)
    run.succeed(second)
    assert run.at("c") == []
    run.succeed(third)
    assert len(run.at("c")) == 1


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_unrelated_leaf_may_end_last(make_graph: MakeGraph, order: tuple[int, int]) -> None:
    run = Run(make_graph({"a": "b x", "b": "c", "x": "", "c": ""}, unites={"c": "a"}))
    run.succeed(run.only("a"))
    states = [*run.at("b"), *run.at("x")]
    run.succeed(states[order[0]])
    assert run.at("c") == []
    run.succeed(states[order[1]])
    assert len(run.at("c")) == 1


def test_two_uniters_of_one_node_both_start(make_graph: MakeGraph) -> None:
    graph = make_graph({"a": "b x", "b": "u", "x": "v", "u": "", "v": ""}, unites={"u": "a", "v": "a"})
    run = Run(graph)
    run.succeed(run.only("a"))
    run.succeed(run.only("b"))
    run.succeed(run.only("x"))
    assert [len(run.at("u")), len(run.at("v"))] == [1, 1]
    run.end(run.only("u"), Status.ERRORED)
    run.succeed(run.only("v"))
    assert [len(run.at("u")), len(run.at("v"))] == [1, 1]


def test_a_united_node_that_fans_out_has_a_join_for_each(make_graph: MakeGraph) -> None:
    run = Run(make_graph({"a": "b", "b": "c", "c": ""}, unites={"c": "a"}))
    run.succeed(run.only("a"), outputs=3)
    first, second, third = run.at("b")
    run.succeed(second)
    (union,) = run.at("c")
    assert union.parents == second.parents
    run.end(first, Status.ERRORED)
    run.succeed(third)
    assert [union.parents for union in run.at("c")] == [second.parents, third.parents]


def test_no_join_when_the_united_state_itself_ends_without_next(make_graph: MakeGraph) -> None:
    graph = make_graph({"r": "a", "a": "b", "b": "c", "c": ""}, unites={"c": "a"}, all_done="c")
    for status in (Status.PRUNED, Status.ERRORED):
        run = Run(graph)
        run.succeed(run.only("r"))
        run.end(run.only("a"), status)
        assert run.at("c") == []


CHAIN = {"a": "b x", "b": "u", "u": "v", "x": "v", "v": ""}


@pytest.mark.parametrize("all_done", ["", "v", "u v"])
@pytest.mark.parametrize("order", ["b x", "x b"])
def test_a_uniter_waits_for_another_that_leads_to_it(make_graph: MakeGraph, all_done: str, order: str) -> None:
    run = Run(make_graph(CHAIN, unites={"u": "a", "v": "a"}, all_done=all_done))
    run.succeed(run.only("a"))
    for identifier in order.split():
        assert run.at("u") == []
        run.succeed(run.only(identifier))
    assert [len(run.at("u")), len(run.at("v"))] == [1, 0]
    run.succeed(run.only("u"), outputs=2)
    assert [len(run.at("u")), len(run.at("v"))] == [2, 1]


def test_a_uniter_that_failures_block_holds_back_none_that_takes_failures(
    make_graph: MakeGraph,
) -> None:
    run = Run(make_graph(CHAIN, unites={"u": "a", "v": "a"}, all_done="v"))
    run.succeed(run.only("a"))
    (failed,) = run.at("b")
    run.end(failed, Status.ERRORED)
    run.succeed(run.only("x"))
    assert [len(run.at("u")), len(run.at("v"))] == [0, 1]
    run.succeed(run.only("v"))
    run.succeed(run.retry(failed))
    assert [len(run.at("u")), len(run.at("v"))] == [1, 1]
    run.succeed(run.only("u"))
    assert [len(run.at("u")), len(run.at("v"))] == [1, 1]


def test_an_outer_join_waits_for_what_an_inner_one_creates(make_graph: MakeGraph) -> None:
    graph = make_graph(
        {"a": "b", "b": "c", "c": "u", "u": "d", "d": "v", "v": ""},
        unites={"u": "b", "v": "a"},
        all_done="v",
    )
    run = Run(graph)
    for identifier in "abcud":
        assert run.at("v") == []
        run.succeed(run.only(identifier))
    assert len(run.at("v")) == 1


def test_united_ancestors_come_innermost_first(make_graph: MakeGraph) -> None:
    graph = make_graph({"a": "b", "b": "c", "c": "u", "u": "v", "v": ""}, unites={"u": "b", "v": "a"})
    parents = {"a": "1", "b": "2", "c": "3"}
    assert united_ancestors(Topology(graph), parents) == [("b", "2"), ("a", "1")]


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (None, Status.CREATED, Counts(1, 0)),
        (None, Status.SUCCESS, Counts(0, 0)),
        (Status.CREATED, Status.QUEUED, Counts(0, 0)),
        (Status.QUEUED, Status.SUCCESS, Counts(-1, 0)),
        (Status.QUEUED, Status.ERRORED, Counts(-1, 1)),
        (Status.QUEUED, Status.NEXT_CREATED_ERROR, Counts(-1, 1)),
        (Status.QUEUED, Status.RETRY_CREATED, Counts(-1, 0)),
        (Status.ERRORED, Status.RETRY_CREATED, Counts(0, -1)),
        (Status.SUCCESS, Status.NEXT_CREATED_ERROR, Counts(0, 1)),
    ],
)
def test_what_a_transition_adds_to_the_counters(before: Status | None, after: Status, change: Counts) -> None:
    assert counts_change(before, after) == change


# Random runs


@st.composite
def graphs_with_joins(draw: st.DrawFn) -> GraphSpec:
    """Draw a graph that is accepted, with as many joins as there is room for."""
    size = draw(st.integers(2, 8))
    edges: list[list[str]] = [[] for _ in range(size)]
    nothing: set[int] = set()
    carried = [nothing]
    unites: list[UnitesSpec | None] = [None]
    for at in range(1, size):
        before: set[int] = draw(st.sets(st.integers(0, at - 1), min_size=1, max_size=3))
        for each in before:
            edges[each].append(str(at))
        possible: list[int] = sorted(set.intersection(*(carried[each] for each in before)))
        if possible and draw(st.integers(0, 3)) > 0:
            united: int = draw(st.sampled_from(possible))
            unites.append(UnitesSpec(str(united), draw(st.sampled_from(list(UniteStrategy)))))
            carried.append(carried[united] | {united})
        else:
            unites.append(None)
            carried.append(set.intersection(*(carried[each] | {each} for each in before)))
    return GraphSpec(
        "g",
        "ns",
        tuple(GraphNodeSpec("N", "ns", str(at), {}, tuple(edges[at]), unites[at]) for at in range(size)),
    )


def play(run: Run, seed: int, order: Random) -> None:
    """Bring every state to its end, in random order; how each ends depends on the seed alone."""
    while pending := run.pending:
        state = order.choice(pending)
        luck = Random(f"{seed} {state.path}")
        what = luck.choices(["succeed", "error", "prune", "retry"], [12, 2, 2, 1])[0]
        if "retry" in state.path or what == "succeed":
            run.succeed(state, luck.choice([1, 1, 1, 2]))
        elif what == "error":
            run.end(state, Status.ERRORED)
        elif what == "prune":
            run.end(state, Status.PRUNED)
        else:
            run.retry(state)


def check_joins(run: Run) -> None:
    for united in run.states.values():
        under = run.under(united)
        if not under:
            assert united.created == []
            continue
        assert len(united.created) == len(set(united.created))
        for node in run.topology.uniters_of(united.identifier):
            assert node.unites is not None
            if node.identifier not in united.created:
                assert node.unites.strategy is UniteStrategy.ALL_SUCCESS
                assert any(state.status in FAILED for state in under)


@settings(max_examples=300, deadline=None)
@given(graphs_with_joins(), st.integers(0, 2**32), st.integers(0, 2**32))
def test_a_run_ends_the_same_in_any_order_with_every_join_complete(graph: GraphSpec, seed: int, order: int) -> None:
    run, again = Run(graph), Run(graph)
    play(run, seed, Random(order))
    check_joins(run)
    play(again, seed, Random(order + 1))
    assert run.outcome == again.outcome


@settings(max_examples=200, deadline=None)
@given(graphs_with_joins(), st.integers(0, 2**32), st.integers(0, 2**32))
def test_once_every_failure_is_retried_no_join_is_missing(graph: GraphSpec, seed: int, order: int) -> None:
    run, random = Run(graph), Random(order)
    play(run, seed, random)
    while failed := run.failed:
        for state in random.sample(failed, random.randint(1, len(failed))):
            run.retry(state)
        play(run, seed, random)
    check_joins(run)
    for united in run.states.values():
        if run.under(united):
            expected = {node.identifier for node in run.topology.uniters_of(united.identifier)}
            assert set(united.created) == expected
