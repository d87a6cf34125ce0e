"""The shape of a graph: what precedes what, and what a state at each node carries in ``parents``.

Two relations matter. *Next* is what ``next_nodes`` says. *Creation* is how states come into being:
an ordinary node is created by each of its predecessors, a uniting node only by the node it unites.
The ``parents`` of a state are the nodes on its creation path, so the identifiers that every state
of a node carries are those on all creation paths to it. Sets of nodes are integers used as bit
masks, which keeps this linear in the edges: no path is ever enumerated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from exospherehost._rules.model import GraphNodeSpec, GraphSpec


@dataclass(frozen=True, slots=True)
class LostUnion:
    """A branch that arrives at a uniting node without the united node in its ``parents``."""

    uniter: str
    united: str
    predecessor: str


@dataclass(frozen=True, slots=True)
class Reach:
    """What comes into being below a start node.

    Attributes:
        start: The identifier of the start node, whose ``parents`` are empty.
        visible: For each node that can be created (the start included), the identifiers that
            all its states carry in ``parents``.
        lost: The branches that a uniting node cannot take up.
    """

    start: str
    visible: Mapping[str, frozenset[str]]
    lost: tuple[LostUnion, ...]


class Topology:
    """The relations between the nodes of one graph.

    Args:
        graph: A graph with unique identifiers, whose ``next_nodes`` and ``unites`` name only
            nodes that it has. Nothing else is assumed by ``roots``, ``unreached``, ``stalled``
            and ``cycle``; the rest needs a graph that these find no fault with.
    """

    def __init__(self, graph: GraphSpec) -> None:
        self.graph = graph
        self._nodes = {node.identifier: node for node in graph.nodes}
        self._index = {node.identifier: at for at, node in enumerate(graph.nodes)}
        size = len(graph.nodes)
        self._successors: list[list[int]] = [[self._index[entry] for entry in node.next_nodes] for node in graph.nodes]
        self._predecessors: list[list[int]] = [[] for _ in range(size)]
        for at, successors in enumerate(self._successors):
            for successor in successors:
                self._predecessors[successor].append(at)
        self._united_by: list[int | None] = [
            None if node.unites is None else self._index[node.unites.identifier] for node in graph.nodes
        ]
        self._uniters: list[list[int]] = [[] for _ in range(size)]
        for at, united in enumerate(self._united_by):
            if united is not None:
                self._uniters[united].append(at)

    @cached_property
    def roots(self) -> tuple[str, ...]:
        """The nodes that nothing leads to and that unite nothing."""
        return tuple(
            node.identifier
            for at, node in enumerate(self.graph.nodes)
            if not self._predecessors[at] and self._united_by[at] is None
        )

    @property
    def root(self) -> str:
        """The one root of a graph that passed its checks."""
        (root,) = self.roots
        return root

    @cached_property
    def united(self) -> frozenset[str]:
        """The identifiers that some node unites."""
        return frozenset(self._name(at) for at, uniters in enumerate(self._uniters) if uniters)

    def node(self, identifier: str) -> GraphNodeSpec | None:
        """Return the node with that identifier, if there is one."""
        return self._nodes.get(identifier)

    def predecessors(self, identifier: str) -> tuple[str, ...]:
        """Return the nodes whose ``next_nodes`` list this one."""
        return tuple(self._name(at) for at in self._predecessors[self._index[identifier]])

    def children(self, identifier: str) -> tuple[GraphNodeSpec, ...]:
        """Return the next nodes that a success creates states for, in the order listed.

        Uniting nodes are left out: they come into being through a join.
        """
        return tuple(
            self.graph.nodes[at] for at in self._successors[self._index[identifier]] if self._united_by[at] is None
        )

    def uniters_of(self, identifier: str) -> tuple[GraphNodeSpec, ...]:
        """Return the nodes that unite this one."""
        return tuple(self.graph.nodes[at] for at in self._uniters[self._index[identifier]])

    def reaches(self, first: str, second: str) -> bool:
        """Tell whether ``next_nodes`` lead from the first node to the second, however far."""
        return bool(self._below[self._index[first]] >> self._index[second] & 1)

    def visible(self, identifier: str) -> frozenset[str]:
        """Return the identifiers that every state of this node carries in ``parents``.

        These are the ones that its inputs may refer to.
        """
        return self._from_root.visible.get(identifier, frozenset())

    def ever_visible(self, identifier: str) -> frozenset[str]:
        """Return the identifiers that some state of this node may carry in ``parents``."""
        return self._ever_visible[self._index[identifier]]

    @property
    def lost_unions(self) -> tuple[LostUnion, ...]:
        """The branches of a whole run that a uniting node cannot take up."""
        return self._from_root.lost

    @cached_property
    def unreached(self) -> tuple[str, ...]:
        """The nodes that no walk from the root arrives at, in the graph's order."""
        return tuple(node.identifier for at, node in enumerate(self.graph.nodes) if not self._walk >> at & 1)

    @cached_property
    def stalled(self) -> tuple[str, ...]:
        """The uniting nodes that a walk arrives at while what they unite is never arrived at."""
        return tuple(
            self._name(at)
            for at, united in enumerate(self._united_by)
            if united is not None
            and not self._walk >> united & 1
            and any(self._walk >> before & 1 for before in self._predecessors[at])
        )

    @cached_property
    def cycle(self) -> tuple[str, ...]:
        """A cycle of ``next_nodes`` and ``unites``, its first node repeated at the end; or nothing."""
        if len(self._order) == len(self.graph.nodes):
            return ()
        left = set(range(len(self.graph.nodes))).difference(self._order)
        # Each node that Kahn's walk left over has a dependency that was left over too.
        trail: list[int] = []
        at = min(left)
        while at not in trail:
            trail.append(at)
            at = next(before for before in self._dependencies(at) if before in left)
        found = [*trail[trail.index(at) :], at]
        return tuple(self._name(entry) for entry in reversed(found))

    def from_entry(self, identifier: str) -> Reach:
        """Return what comes into being when a run starts at this node with empty ``parents``."""
        start = self._index[identifier]
        masks: dict[int, int] = {start: 0}
        lost: list[LostUnion] = []
        for at in self._order:
            if at == start:
                continue
            reached = [before for before in self._predecessors[at] if before in masks]
            if not reached:
                continue
            united = self._united_by[at]
            if united is None:
                masks[at] = _common([masks[before] | 1 << before for before in reached])
                continue
            lost.extend(
                LostUnion(self._name(at), self._name(united), self._name(before))
                for before in reached
                if not masks[before] >> united & 1
            )
            if united in masks:
                masks[at] = masks[united] | 1 << united
        visible = {self._name(at): self._names(mask) for at, mask in masks.items()}
        return Reach(identifier, visible, tuple(lost))

    @cached_property
    def _from_root(self) -> Reach:
        return self.from_entry(self.root)

    @cached_property
    def _walk(self) -> int:
        """The nodes that a walk from the roots arrives at; a uniter waits for what it unites."""
        visited = 0
        queue = deque(self._index[root] for root in self.roots)
        while queue:
            at = queue.popleft()
            if visited >> at & 1:
                continue
            united = self._united_by[at]
            if united is not None and not (
                visited >> united & 1 and any(visited >> before & 1 for before in self._predecessors[at])
            ):
                continue
            visited |= 1 << at
            queue.extend(self._successors[at])
            queue.extend(self._uniters[at])
        return visited

    @cached_property
    def _order(self) -> tuple[int, ...]:
        """The nodes so that each comes after its predecessors and after what it unites."""
        waiting = [len(self._dependencies(at)) for at in range(len(self.graph.nodes))]
        ready = deque(at for at, count in enumerate(waiting) if not count)
        order: list[int] = []
        while ready:
            at = ready.popleft()
            order.append(at)
            for after in [*self._successors[at], *self._uniters[at]]:
                waiting[after] -= 1
                if not waiting[after]:
                    ready.append(after)
        return tuple(order)

    @cached_property
    def _ever_visible(self) -> list[frozenset[str]]:
        masks = [0] * len(self.graph.nodes)
        for at in self._order:
            united = self._united_by[at]
            for creator in self._predecessors[at] if united is None else [united]:
                masks[at] |= masks[creator] | 1 << creator
        return [self._names(mask) for mask in masks]

    @cached_property
    def _below(self) -> list[int]:
        below = [0] * len(self.graph.nodes)
        for at in reversed(self._order):
            for after in self._successors[at]:
                below[at] |= below[after] | 1 << after
        return below

    def _dependencies(self, at: int) -> list[int]:
        united = self._united_by[at]
        return self._predecessors[at] if united is None else [*self._predecessors[at], united]

    def _name(self, at: int) -> str:
        return self.graph.nodes[at].identifier

    def _names(self, mask: int) -> frozenset[str]:
        return frozenset(self._name(at) for at in _bits(mask))


def _common(masks: list[int]) -> int:
    common = masks[0]
    for mask in masks[1:]:
        common &= mask
    return common


def _bits(mask: int) -> Iterator[int]:
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest
