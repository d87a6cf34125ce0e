"""Graph templates: put, read, listed."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from exospherehost._rules import cron, graph_check
from exospherehost._rules.model import GraphSpec, NodeSpec
from exospherehost.server.domain.clock import as_datetime, as_epoch_ms
from exospherehost.server.domain.errors import KeysUnreadable, ServiceError
from exospherehost.server.domain.records import GraphRecord, JsonObject, NodeRecord
from exospherehost.server.domain.store import NodeKey, Reader, Store, UnitOfWork
from exospherehost.server.service.context import Context, granted_secrets, node_spec
from exospherehost_client.limits import SCHEDULES_MAX_ITEMS

logger = logging.getLogger(__name__)

_MOST_VERIFICATIONS = 8
_MOST_DIFFERENCES = 20
_MOST_GRAPHS_TOLD = 1_000


def graph_not_found(namespace: str, name: str) -> ServiceError:
    """Return the refusal for a graph that does not exist."""
    return ServiceError(404, f"Graph template '{name}' not found in namespace '{namespace}'")


def keys_unreadable() -> ServiceError:
    """Return the refusal while the secrets keys cannot be read."""
    return ServiceError(
        503, "The server cannot read its secrets keys. Its log says why; try again once they are restored"
    )


def check(graph: GraphSpec, secrets: Mapping[str, str], *, strict: bool) -> list[str]:
    """Check a graph as far as its text alone allows, before anything is stored; return what to warn of.

    Args:
        graph: The graph to be put.
        secrets: Its secrets, in clear.
        strict: Refuse, rather than warn of, what the hosted service would refuse or treat otherwise.

    Raises:
        ServiceError: The graph is refused (400), with every reason of the first kind that applies.
    """
    empty = [name for name, value in secrets.items() if not value]
    problems = graph_check.check_template(graph, empty_secrets=empty)
    if problems:
        raise ServiceError(400, "Error validating graph template:\n" + "\n".join(problems))
    differences = graph_check.hosted_differences(graph)
    if len(differences) > _MOST_DIFFERENCES:
        left_out = f"and {len(differences) - _MOST_DIFFERENCES} more differences"
        differences = [*differences[:_MOST_DIFFERENCES], left_out]
    if differences and strict:
        raise ServiceError(400, "Not as on the hosted service (strict mode):\n" + "\n".join(differences))
    return differences


class DifferenceLog:
    """Warns of what the hosted service would treat otherwise, once for each graph and difference.

    Programs put their graphs at every start: a warning each time would be read by nobody.
    """

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, str], frozenset[str]] = OrderedDict()

    def warn(self, namespace: str, name: str, differences: Sequence[str]) -> None:
        """Warn of those differences of a graph that it did not have when it was put before."""
        told = self._told.pop((namespace, name), frozenset())
        if differences:
            self._told[namespace, name] = frozenset(differences)
        if len(self._told) > _MOST_GRAPHS_TOLD:
            self._told.popitem(last=False)
        for difference in differences:
            if difference not in told:
                logger.warning(
                    "event=hosted_difference namespace=%s graph=%s difference=%s", namespace, name, difference
                )


async def put(store: Store, context: Context, graph: GraphSpec, secrets: Mapping[str, str]) -> GraphRecord:
    """Store a graph that passed :func:`check`, verified against the nodes that are registered.

    Everything that takes long is done on a snapshot, outside the unit of work that stores the graph: others can write
    meanwhile. Where the snapshot is out of date by then, the graph is verified anew. A graph that turns out INVALID
    becomes the latest version; runs keep the version that they were triggered with.

    Args:
        store: The store.
        context: The server's context.
        graph: The graph.
        secrets: Its secrets, in clear.

    Raises:
        ServiceError: The namespace would have too many schedules (400), or the graph's nodes are registered anew
            faster than it can be verified, or the secrets keys cannot be read (503).
    """
    keys = {(node.node_name, node.namespace) for node in graph.nodes}
    for _ in range(_MOST_VERIFICATIONS):
        found = await store.read(lambda reader: reader.find_nodes(keys))
        try:
            verified = await asyncio.to_thread(_verify, context, graph, secrets, found)
            stored = await store.write(partial(_store, context=context, verified=verified))
        except KeysUnreadable as error:
            raise keys_unreadable() from error
        if stored is not None:
            return stored
    raise ServiceError(503, "The nodes of this graph are registered anew again and again: put it once they are stable")


@dataclass(frozen=True, slots=True)
class _Verified:
    """A graph that is ready to be stored, and what that depends on.

    Attributes:
        graph: The graph.
        document: The graph as it is stored.
        sealed: Its secrets, sealed.
        sealed_with: The id of the key that sealed them.
        nodes: The nodes that it was verified against, by name and namespace.
        errors: Why it is INVALID, if it is.
        due: When each of its schedules fires next, in epoch milliseconds.
    """

    graph: GraphSpec
    document: JsonObject
    sealed: Mapping[str, str]
    sealed_with: str
    nodes: Mapping[NodeKey, NodeSpec]
    errors: Sequence[str]
    due: Mapping[str, int]


def _verify(
    context: Context, graph: GraphSpec, secrets: Mapping[str, str], found: Mapping[NodeKey, NodeRecord]
) -> _Verified:
    now = as_datetime(context.clock.now_ms())
    nodes = {key: node_spec(node) for key, node in found.items()}
    errors = graph_check.verify(graph, nodes, now)
    due = {} if errors else {expression: cron.next_after(expression, now) for expression in graph.crons}
    return _Verified(
        graph,
        graph.to_json() | granted_secrets(found.values()),
        sealed_with=context.secret_box.current if secrets else "",
        sealed=context.secret_box.seal_all(secrets),
        nodes=nodes,
        errors=errors,
        due={expression: as_epoch_ms(at) for expression, at in due.items() if at is not None},
    )


def _store(unit: UnitOfWork, *, context: Context, verified: _Verified) -> GraphRecord | None:
    """Store a verified graph; return None if a node or the key of secrets has changed since."""
    # A version sealed under an older key than the current one would be missed by a rotation.
    if verified.sealed and verified.sealed_with != context.secret_box.current:
        return None
    graph = verified.graph
    keys = {(node.node_name, node.namespace) for node in graph.nodes}
    if {key: node_spec(node) for key, node in unit.find_nodes(keys).items()} != verified.nodes:
        return None
    _require_room(unit, graph, verified.due)
    stored = unit.save_version(
        graph_id=context.ids.new_id(),
        version_id=context.ids.new_id(),
        namespace=graph.namespace,
        name=graph.name,
        document=verified.document,
        secrets=verified.sealed,
        errors=verified.errors,
        now_ms=context.clock.now_ms(),
    )
    unit.set_crons(stored.key, verified.due)
    return stored


def _require_room(unit: UnitOfWork, graph: GraphSpec, due: Mapping[str, int]) -> None:
    """Refuse a graph whose schedules are too many for its namespace.

    Raises:
        ServiceError: They are, and more than the graph has now (400).
    """
    if not due:
        return
    of_graph, elsewhere = unit.count_crons(graph.namespace, graph.name)
    if len(due) > of_graph and elsewhere + len(due) > SCHEDULES_MAX_ITEMS:
        raise ServiceError(
            400,
            f"Namespace '{graph.namespace}' would have {elsewhere + len(due)} schedules, {len(due)} of this graph: at "
            f"most {SCHEDULES_MAX_ITEMS} are kept. Remove triggers, here or from other graphs",
        )


def get(reader: Reader, namespace: str, name: str) -> GraphRecord:
    """Return a graph as it was last put.

    Raises:
        ServiceError: It does not exist (404).
    """
    graph = reader.find_graph(namespace, name)
    if graph is None:
        raise graph_not_found(namespace, name)
    return graph
