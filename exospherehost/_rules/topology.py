"""The shape of a graph: which node precedes which, and which ``parents`` the states of a node carry.

Two relations matter. *Next* is the graph's ``next_nodes``. *Creation* is how states come into being: each predecessor
creates an ordinary node's states, and only the united node creates a uniting node's states. The ``parents`` of a state
are the nodes on its creation path; hence every state of a node carries the identifiers that all creation paths to the
node share. Sets of nodes are integers used as bit masks: no path is enumerated, the time grows with the edges, and a
graph of 5,000 nodes takes 3 MB for each relation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property

from exospherehost._rules.model import GraphNodeSpec, GraphSpec


class Identifiers(AbstractSet[str]):
    """A set of a graph's identifiers, kept as a bit mask.

    Args:
        index: The position of each identifier of the graph.
        mask: The positions that are in the set.
    """

    __slots__ = ("_index", "mask")

    def __init__(self, index: Mapping[str, int], mask: int) -> None:
        self._index = index
        self.mask = mask

    def __contains__(self, identifier: object) -> bool:
        at = self._index.get(identifier) if isinstance(identifier, str) else None
        return at is not None and bool(self.mask >> at & 1)

    def __iter__(self) -> Iterator[str]:
        return (identifier for identifier, at in self._index.items() if self.mask >> at & 1)

    def __len__(self) -> int:
        return self.mask.bit_count()


@dataclass(frozen=True, slots=True)
class LostUnion:
    """A branch that arrives at a uniting node without the united node in its ``parents``."""

    uniter: str
    united: str
    predecessor: str


@dataclass(frozen=True, slots=True)
class Reach:
    """The nodes that can be created below a start node.

    Attributes:
        start: The identifier of the start node, whose ``parents`` are empty.
        visible: For each node that can be created, the start included, the identifiers that all its states carry in
            ``parents``.
        lost: The branches that a uniting node cannot take up.
    """

    start: str
    visible: Mapping[str, Identifiers]
    lost: tuple[LostUnion, ...]


class Topology:
    """The relations between the nodes of one graph.

    Args:
        graph: A graph with unique identifiers, whose ``next_nodes`` and ``unites`` name only nodes that it has. This
            suffices for ``roots``, ``unreached``, ``stalled`` and ``cycle``; everything else needs a graph in which
            these find no fault.
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
        """Return the nodes whose ``next_nodes`` list this node."""
        return tuple(self._name(at) for at in self._predecessors[self._index[identifier]])

    def children(self, identifier: str) -> tuple[GraphNodeSpec, ...]:
        """Return the next nodes for which a success creates states, in the order listed.

        Uniting nodes are left out: a join creates their states.
        """
        return tuple(
            self.graph.nodes[at] for at in self._successors[self._index[identifier]] if self._united_by[at] is None
        )

    def uniters_of(self, identifier: str) -> tuple[GraphNodeSpec, ...]:
        """Return the nodes that unite this node."""
        return tuple(self.graph.nodes[at] for at in self._uniters[self._index[identifier]])

    def reaches(self, first: str, second: str) -> bool:
        """Return whether ``next_nodes`` lead from the first node to the second, over any distance."""
        return bool(self._below[self._index[first]] >> self._index[second] & 1)

    def visible(self, identifier: str) -> Identifiers:
        """Return the identifiers that every state of this node carries in ``parents``.

        Its inputs may refer to these.
        """
        return self._from_root.visible.get(identifier, self._nothing)

    def ever_visible(self, identifier: str) -> Identifiers:
        """Return the identifiers that some state of this node may carry in ``parents``."""
        return Identifiers(self._index, self._ever_visible[self._index[identifier]])

    def lost_ends(self, uniter: str) -> Identifiers:
        """Return the nodes at which branches below the united node end without leading to the uniting node."""
        at = self._index[uniter]
        united = self._united_by[at]
        if united is None:
            return self._nothing
        leading = _mask(self._predecessors[at]) | self._below[at] | 1 << at
        return Identifiers(self._index, self._ends_below.get(united, 0) & ~leading)

    def competing_uniters(self, united: str) -> Identifiers:
        """Return the nodes that unite a node such that, of some two of them, neither follows the other."""
        uniters = self._uniters[self._index[united]]
        place = {at: number for number, at in enumerate(self._order)} if len(uniters) > 1 else {}
        before = competing = 0
        for at in sorted(uniters, key=lambda at: place.get(at, 0)):
            # One node follows another if each of its branches comes from that one; it can only follow an earlier one.
            followed = _common(
                [1 << each | self.visible(self._name(each)).mask for each in self._predecessors[at]] or [0]
            )
            if apart := before & ~followed:
                competing |= apart | 1 << at
            before |= 1 << at
        return Identifiers(self._index, competing)

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
        visible = {self._name(at): Identifiers(self._index, mask) for at, mask in masks.items()}
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
    def _ever_visible(self) -> list[int]:
        masks = [0] * len(self.graph.nodes)
        for at in self._order:
            united = self._united_by[at]
            for creator in self._predecessors[at] if united is None else [united]:
                masks[at] |= masks[creator] | 1 << creator
        return masks

    @cached_property
    def _ends_below(self) -> dict[int, int]:
        """For each united node, the nodes after whose states nothing follows below it."""
        united = _mask(at for at, uniters in enumerate(self._uniters) if uniters)
        ends: dict[int, int] = {}
        for at, successors in enumerate(self._successors):
            targets = [target for after in successors if (target := self._united_by[after]) is not None]
            if len(targets) < len(successors):
                continue
            # A join follows under what the next nodes unite, and under all that stands above that.
            followed = 0
            for target in targets:
                followed |= 1 << target | self._ever_visible[target]
            for above in _bits(self._ever_visible[at] & united & ~followed):
                ends[above] = ends.get(above, 0) | 1 << at
        return ends

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

    @cached_property
    def _nothing(self) -> Identifiers:
        return Identifiers(self._index, 0)

    def _name(self, at: int) -> str:
        return self.graph.nodes[at].identifier


def _mask(positions: Iterable[int]) -> int:
    mask = 0
    for at in positions:
        mask |= 1 << at
    return mask


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
