"""What a new state gets as inputs: at the root, at an entry of a trigger, below a parent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from exospherehost._rules import schemas
from exospherehost._rules.model import GraphSpec, NodeSpec, Refused
from exospherehost._rules.placeholders import (
    OutputReference,
    PlaceholderError,
    Reference,
    StoreReference,
    Template,
    parse,
    render,
)
from exospherehost._rules.topology import Topology


class NextStateError(Exception):
    """A next state cannot be created; the states that it was to follow failed."""


class _Unresolved(Exception):
    """A reference stands for nothing that can be put into a text."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a trigger asks a run to start, and with which inputs over the template's."""

    identifier: str
    inputs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EntryState:
    """A state to create at the start of a run, with empty ``parents``."""

    identifier: str
    node_name: str
    namespace: str
    inputs: Mapping[str, str]


def root_inputs(topology: Topology, inputs: Mapping[str, str], store: Mapping[str, str]) -> dict[str, str]:
    """Return the inputs of a run's root state.

    They are the template's, each replaced by the trigger's value where that has the same key.
    What the trigger gives beyond is dropped.

    Args:
        topology: The graph.
        inputs: The inputs that the trigger gives, which may refer to the store.
        store: The store that the trigger gives.

    Raises:
        Refused: 400, when an input cannot be resolved from the store, or, checked after that, when
            a required store key is missing.
    """
    root = topology.node(topology.root)
    if root is None:
        raise ValueError("the graph has no root: it did not pass its checks")
    chosen = {name: inputs.get(name, text) for name, text in root.inputs.items()}
    resolved = _from_store(topology.graph, chosen, store, "Invalid input: ")
    _require_store_keys(topology.graph, store)
    return resolved


def entry_states(
    topology: Topology,
    entries: Sequence[Entry],
    store: Mapping[str, str],
    problems_of: Callable[[str], Sequence[str]] | None = None,
) -> list[EntryState]:
    """Return the states that a trigger with ``states`` creates, one for each entry, in order.

    An entry's inputs replace the template's inputs of the same name, and add to them.

    Args:
        topology: The graph.
        entries: The entries; an identifier may come several times.
        store: The store that the trigger gives.
        problems_of: What :func:`entry_problems` returned for an identifier, if it is known already.

    Raises:
        Refused: 404 for an unknown identifier; 400 if a node below an entry would need a state above the entry, if an
            input cannot be resolved from the store, or if a required store key is missing. Checked in this order.
    """
    problems_of = problems_of or partial(entry_problems, topology)
    for identifier in dict.fromkeys(entry.identifier for entry in entries):
        if topology.node(identifier) is None:
            raise Refused(404, f"The graph has no node with identifier '{identifier}'")
    for identifier in dict.fromkeys(entry.identifier for entry in entries):
        problems = problems_of(identifier)
        if problems:
            raise Refused(400, "\n".join(problems))
    states: list[EntryState] = []
    for at, entry in enumerate(entries):
        node = topology.node(entry.identifier)
        if node is None:
            raise Refused(404, f"The graph has no node with identifier '{entry.identifier}'")
        prefix = f"Invalid input: entry {at} ('{entry.identifier}'): "
        resolved = _from_store(topology.graph, {**node.inputs, **entry.inputs}, store, prefix)
        states.append(EntryState(entry.identifier, node.node_name, node.namespace, resolved))
    _require_store_keys(topology.graph, store)
    return states


# Without slots, which would leave no place for what is worked out once.
@dataclass(frozen=True)
class ChildPlan:
    """How to make the inputs of the states at one node; made once, resolved for each state."""

    identifier: str
    defaults: Mapping[str, str]
    templates: Mapping[str, Template]

    @cached_property
    def references(self) -> frozenset[str]:
        """The identifiers of the states whose outputs are needed."""
        return frozenset(
            reference.identifier
            for template in self.templates.values()
            for reference in template.references
            if isinstance(reference, OutputReference)
        )

    def resolve(self, outputs: Mapping[str, Mapping[str, Any]], store: Mapping[str, str]) -> dict[str, str]:
        """Return the inputs of one state.

        Args:
            outputs: The outputs by identifier, of at least the states that ``references`` names,
                as far as the new state will have them in ``parents``.
            store: The run's store.

        Raises:
            NextStateError: A reference stands for nothing, or for something other than text.
        """

        def value(reference: Reference) -> str:
            if isinstance(reference, StoreReference):
                return _store_value(reference, store, self.defaults)
            return _output_value(reference, outputs)

        resolved: dict[str, str] = {}
        for name, template in self.templates.items():
            try:
                resolved[name] = render(template, value)
            except _Unresolved as error:
                raise NextStateError(f"Input '{name}' of node '{self.identifier}' cannot be made: {error}") from error
        return resolved


def plan_child(graph: GraphSpec, identifier: str, registered: NodeSpec | None) -> ChildPlan:
    """Return how to make the inputs of a child or of a uniting state.

    Its inputs are exactly the fields of the node as it is registered now; what the template gives
    beyond them is dropped.

    Args:
        graph: The version that the run uses.
        identifier: Where the state is to run.
        registered: The node that runs there, if it is registered.

    Raises:
        NextStateError: The node is unknown, or declares a field that the template does not give.
    """
    node = graph.node(identifier)
    if node is None:
        raise NextStateError(f"The graph has no node with identifier '{identifier}'")
    if registered is None:
        raise NextStateError(f"Node '{node.node_name}' in namespace '{node.namespace}' is not registered")
    templates: dict[str, Template] = {}
    for name in schemas.fields(registered.inputs_schema):
        if name not in node.inputs:
            raise NextStateError(
                f"Input '{name}' of node '{identifier}' is not in the graph template: the node "
                "was registered anew with it"
            )
        try:
            templates[name] = parse(node.inputs[name])
        except PlaceholderError as error:
            raise NextStateError(f"Input '{name}' of node '{identifier}': {error}") from error
    return ChildPlan(identifier, graph.store.default_values, templates)


def _from_store(graph: GraphSpec, texts: Mapping[str, str], store: Mapping[str, str], prefix: str) -> dict[str, str]:
    def value(reference: Reference) -> str:
        if isinstance(reference, StoreReference):
            return _store_value(reference, store, graph.store.default_values)
        raise _Unresolved(
            f"it refers to an output of '{reference.identifier}', but here only the store can be referred to"
        )

    resolved: dict[str, str] = {}
    for name, text in texts.items():
        try:
            resolved[name] = render(parse(text), value)
        except (PlaceholderError, _Unresolved) as error:
            raise Refused(400, f"{prefix}'{name}': {error}") from error
    return resolved


def _require_store_keys(graph: GraphSpec, store: Mapping[str, str]) -> None:
    missing = sorted(set(graph.store.required_keys).difference(store))
    if missing:
        raise Refused(400, "Missing store keys: {" + ", ".join(map(repr, missing)) + "}")


def _store_value(reference: StoreReference, store: Mapping[str, str], defaults: Mapping[str, str]) -> str:
    if reference.key in store:
        return store[reference.key]
    if reference.key in defaults:
        return defaults[reference.key]
    raise _Unresolved(f"store key '{reference.key}' was not given and has no default")


def _output_value(reference: OutputReference, outputs: Mapping[str, Mapping[str, Any]]) -> str:
    if reference.identifier not in outputs:
        raise _Unresolved(f"no state of '{reference.identifier}' is among its parents")
    fields = outputs[reference.identifier]
    if reference.field not in fields:
        raise _Unresolved(f"'{reference.identifier}' has no output '{reference.field}'")
    value = fields[reference.field]
    if not isinstance(value, str):
        raise _Unresolved(
            f"output '{reference.field}' of '{reference.identifier}' is of type {type(value).__name__}, not text"
        )
    return value


def entry_problems(topology: Topology, start: str) -> list[str]:
    """Return why a run cannot start at a node: the nodes below that would need a state above.

    The time grows with the whole graph.
    """
    reach = topology.from_entry(start)
    problems = [
        f"A run cannot start at '{start}': node '{lost.uniter}' below it unites '{lost.united}', "
        f"which does not run then: start at '{lost.united}' or above"
        for lost in reach.lost
    ]
    for identifier, visible in reach.visible.items():
        node = topology.node(identifier)
        # The entry's own inputs are checked once the given ones are over them.
        if node is None or identifier == start:
            continue
        for name, text in node.inputs.items():
            problems += [
                f"A run cannot start at '{start}': input '{name}' of node '{identifier}' below it "
                f"refers to '{reference.identifier}', which does not run then: start at "
                f"'{reference.identifier}' or above"
                for reference in dict.fromkeys(parse(text).references)
                if isinstance(reference, OutputReference) and reference.identifier not in visible
            ]
    return problems
