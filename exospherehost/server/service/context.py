"""What the service's operations share besides storage."""

from __future__ import annotations

import random
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from exospherehost._rules.model import GraphSpec, NodeSpec
from exospherehost._rules.state_inputs import ChildPlan, entry_problems, plan_child
from exospherehost._rules.topology import Topology
from exospherehost.server.domain.clock import Clock, SystemClock
from exospherehost.server.domain.ids import IdFactory
from exospherehost.server.domain.records import NodeRecord, VersionRecord
from exospherehost.server.domain.store import Reader
from exospherehost.server.security.secret_box import SecretBox

_CACHED_VERSIONS = 512
# What the rules derive from a version takes memory that grows with the square of its nodes.
_CACHED_NODES = 50_000
_GRANTED = "granted_secrets"


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """A graph version as the rules want it.

    Attributes:
        graph: The version itself.
        topology: What follows what in it.
        sealed_secrets: Its secrets by name, sealed.
        granted: The secrets that each node, by name and namespace, declared when the version was put.
    """

    graph: GraphSpec
    topology: Topology
    sealed_secrets: Mapping[str, str]
    granted: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict[tuple[str, str], frozenset[str]])
    _plans: dict[str, tuple[NodeRecord, ChildPlan]] = field(
        default_factory=dict[str, tuple[NodeRecord, ChildPlan]], compare=False, repr=False
    )
    _entry_problems: dict[str, Sequence[str]] = field(
        default_factory=dict[str, Sequence[str]], compare=False, repr=False
    )

    def grants(self, node: NodeRecord, name: str) -> bool:
        """Return whether a node's states may be given a secret."""
        return name in self.granted.get((node.name, node.namespace), ())

    def knows_entries(self, identifiers: Iterable[str]) -> bool:
        """Return whether :meth:`check_entries` has checked all of these identifiers."""
        return self._entry_problems.keys() >= set(identifiers)

    def check_entries(self, identifiers: Iterable[str]) -> None:
        """Find out whether runs can start at some nodes; in a large graph this takes long."""
        for identifier in identifiers:
            if identifier not in self._entry_problems:
                known = self.topology.node(identifier) is not None
                self._entry_problems[identifier] = entry_problems(self.topology, identifier) if known else []

    def entry_problems(self, identifier: str) -> Sequence[str]:
        """Return why a run cannot start at a node that has been checked."""
        return self._entry_problems[identifier]

    def plan(self, identifier: str, registered: NodeRecord | None) -> ChildPlan:
        """Return how to make the inputs of the states at a node, as it is registered now.

        Raises:
            NextStateError: As :func:`~exospherehost._rules.state_inputs.plan_child` says.
        """
        known = self._plans.get(identifier)
        if known is not None and known[0] is registered:
            return known[1]
        plan = plan_child(self.graph, identifier, None if registered is None else node_spec(registered))
        if registered is not None:
            self._plans[identifier] = (registered, plan)
        return plan


class VersionCache:
    """Keeps the graph versions used last, which never change, so that a report need not read them."""

    def __init__(self) -> None:
        self._loaded: OrderedDict[str, LoadedVersion] = OrderedDict()
        self._nodes = 0
        self._lock = threading.Lock()

    def get(self, reader: Reader, version_id: str) -> LoadedVersion:
        """Return a version that is known to exist."""
        with self._lock:
            loaded = self._loaded.get(version_id)
            if loaded is not None:
                self._loaded.move_to_end(version_id)
                return loaded
        return self.add(reader.get_version(version_id))

    def add(self, version: VersionRecord) -> LoadedVersion:
        """Keep a version that has just been read."""
        graph = GraphSpec.from_json(version.document)
        loaded = LoadedVersion(graph, Topology(graph), version.secrets, _granted(version))
        with self._lock:
            if version.id not in self._loaded:
                self._nodes += len(graph.nodes)
            self._loaded[version.id] = loaded
            while len(self._loaded) > 1 and (len(self._loaded) > _CACHED_VERSIONS or self._nodes > _CACHED_NODES):
                _version_id, dropped = self._loaded.popitem(last=False)
                self._nodes -= len(dropped.graph.nodes)
        return loaded


@dataclass(frozen=True, slots=True)
class Context:
    """The server's time, chance, ids, key and caches.

    Attributes:
        secret_box: What secrets are sealed with.
        clock: The time.
        random: Gives numbers from 0 up to, but not including, 1, for the jitter of retries.
        ids: Makes ids.
        versions: The graph versions used last.
    """

    secret_box: SecretBox
    clock: Clock = field(default_factory=SystemClock)
    random: Callable[[], float] = random.random
    ids: IdFactory = field(default_factory=IdFactory)
    versions: VersionCache = field(default_factory=VersionCache)


def granted_secrets(nodes: Iterable[NodeRecord]) -> dict[str, Any]:
    """Return what a version keeps of its nodes' secrets, as a part of its document.

    Frozen, so that a node which is registered anew with more names, perhaps by another tenant, is given nothing more.
    """
    return {_GRANTED: [[node.name, node.namespace, list(node.secrets)] for node in nodes if node.secrets]}


def _granted(version: VersionRecord) -> dict[tuple[str, str], frozenset[str]]:
    # Missing in a version that an older server put after the database was upgraded: it grants nothing until put again.
    kept = version.document.get(_GRANTED, ())
    return {(name, namespace): frozenset(names) for name, namespace, names in kept}


def node_spec(node: NodeRecord) -> NodeSpec:
    """Return a registered node as the rules want it."""
    return NodeSpec(node.name, node.namespace, node.inputs_schema, node.outputs_schema, node.secrets)
