"""Nodes, graphs and schedules in SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, delete, exists, func, insert, literal_column, null, or_, select, update

from exospherehost.server.domain.records import CronRecord, GraphRecord, JsonObject, NodeRecord, VersionRecord
from exospherehost.server.domain.store import NodeKey
from exospherehost.server.security.secret_box import keys_of
from exospherehost.server.storage.sql.base import SqlPart, binds, dump, load
from exospherehost.server.storage.sql.tables import crons, graph_versions, graphs, nodes, runs

_NODE_FIELDS = (
    "id",
    "namespace",
    "name",
    "runtime_name",
    "runtime_namespace",
    "inputs_schema",
    "outputs_schema",
    "secrets",
    "created_at",
    "updated_at",
)
_NODES = select(*(nodes.c[name] for name in _NODE_FIELDS))
_LIST_NODES = _NODES.where(nodes.c.namespace == bindparam("namespace")).order_by(nodes.c.key)
_FIND_NODE = _NODES.where(nodes.c.namespace == bindparam("namespace"), nodes.c.name == bindparam("name"))
_NAMESPACES = select(nodes.c.namespace).distinct()
_REPLACE_NODE = (
    update(nodes)
    .where(nodes.c.namespace == bindparam("of_namespace"), nodes.c.name == bindparam("of_name"))
    .values(binds("runtime_name", "runtime_namespace", "inputs_schema", "outputs_schema", "secrets"))
)
_ADD_NODE = insert(nodes).values(binds(*_NODE_FIELDS))

_VERSION_COLUMNS = (
    graph_versions.c.id,
    graph_versions.c.document,
    graph_versions.c.secrets,
    graph_versions.c.valid,
    graph_versions.c.errors,
)
_GRAPHS = select(
    *_VERSION_COLUMNS,
    graphs.c.key,
    graphs.c.id,
    graphs.c.namespace,
    graphs.c.name,
    graphs.c.valid_version_id,
    graphs.c.created_at,
    graphs.c.updated_at,
).join_from(graphs, graph_versions, graphs.c.latest_version_id == graph_versions.c.id)
_FIND_GRAPH = _GRAPHS.where(graphs.c.namespace == bindparam("namespace"), graphs.c.name == bindparam("name"))
# Where several write at once, a graph that is held is not deleted before the holder's end. (SQLite has one writer.)
_HOLD_GRAPH = _FIND_GRAPH.with_for_update(read=True, key_share=True, of=graphs)
_LIST_GRAPHS = _GRAPHS.where(graphs.c.namespace == bindparam("namespace")).order_by(graphs.c.created_at, graphs.c.key)
_GET_VERSION = select(*_VERSION_COLUMNS).where(graph_versions.c.id == bindparam("id"))
# One without a latest version has been deleted, and stays for the versions that its runs were triggered with.
_GRAPH_KEY = select(graphs.c.key, graphs.c.latest_version_id, graphs.c.valid_version_id).where(
    graphs.c.namespace == bindparam("namespace"), graphs.c.name == bindparam("name")
)
# Where several write at once, it is neither deleted nor given another version until the version is in place.
_GRAPH_TO_PUT = _GRAPH_KEY.with_for_update(key_share=True)
_TAKE_GRAPH = _GRAPH_KEY.where(graphs.c.latest_version_id.is_not(None)).with_for_update()
_ADD_GRAPH = insert(graphs).values(binds("id", "namespace", "name", "created_at", "updated_at")).returning(graphs.c.key)
_ADD_VERSION = insert(graph_versions).values(
    binds("id", "graph_key", "document", "secrets", "valid", "errors", "created_at", "sealed_with")
)
_OF_GRAPH = graphs.c.key == bindparam("of_key")
_SET_LATEST = update(graphs).where(_OF_GRAPH).values(binds("latest_version_id", "updated_at"))
_SET_VALID = update(graphs).where(_OF_GRAPH).values(binds("latest_version_id", "valid_version_id", "updated_at"))
_REVIVE = update(graphs).where(_OF_GRAPH).values(binds("id", "created_at"))
_FORGET = update(graphs).where(_OF_GRAPH).values(latest_version_id=null(), valid_version_id=null())
_DROP_GRAPH = delete(graphs).where(_OF_GRAPH, ~exists().where(graph_versions.c.graph_key == graphs.c.key))
# Read from its end, the index tells at once whether a version has a run. Asked for any run, PostgreSQL may look for one
# from the beginning of the table, through all that have just been deleted.
_LAST_IN_USE = (
    select(runs.c.version_id)
    .where(runs.c.version_id <= graph_versions.c.id)
    .order_by(runs.c.version_id.desc())
    .limit(literal_column("1"))
    .scalar_subquery()
)
_DROP_UNUSED = delete(graph_versions).where(
    ~exists().where(
        graphs.c.key == graph_versions.c.graph_key,
        or_(graphs.c.latest_version_id == graph_versions.c.id, graphs.c.valid_version_id == graph_versions.c.id),
    ),
    graph_versions.c.id.is_distinct_from(_LAST_IN_USE),
)
_DROP_VERSIONS = _DROP_UNUSED.where(graph_versions.c.graph_key == bindparam("of_key"))
DROP_VERSION = _DROP_UNUSED.where(graph_versions.c.id == bindparam("of_id"))

_CRONS = select(crons.c.key, graphs.c.namespace, graphs.c.name, crons.c.expression, crons.c.next_at).join_from(
    crons, graphs, crons.c.graph_key == graphs.c.key
)
_DUE_CRONS = _CRONS.where(crons.c.next_at <= bindparam("now_ms")).order_by(crons.c.next_at, crons.c.key)
_COUNT_CRONS = (
    select(graphs.c.name, func.count())
    .select_from(crons)
    .join(graphs, crons.c.graph_key == graphs.c.key)
    .where(graphs.c.namespace == bindparam("namespace"))
    .group_by(graphs.c.name)
)
_NEXT_CRON = select(func.min(crons.c.next_at))
_CRONS_OF = select(crons.c.expression).where(crons.c.graph_key == bindparam("of_key"))
_ADD_CRON = insert(crons).values(binds("graph_key", "expression", "next_at"))
_DROP_CRON = delete(crons).where(
    crons.c.graph_key == bindparam("of_key"), crons.c.expression == bindparam("of_expression")
)
_AS_READ = (crons.c.key == bindparam("of_key"), crons.c.next_at == bindparam("was_at"))
_MOVE_CRON = update(crons).where(*_AS_READ).values(binds("next_at"))
_END_CRON = delete(crons).where(*_AS_READ)


class SqlGraphs(SqlPart):
    """Nodes, graphs with their versions, and schedules."""

    # By this name another database may change it.
    find_graph_statement = _FIND_GRAPH

    def list_nodes(self, namespace: str) -> list[NodeRecord]:
        """Return a namespace's nodes in the order of their first registration."""
        return [_node(row) for row in self._rows(_LIST_NODES, namespace=namespace)]

    def list_namespaces(self) -> list[str]:
        """Return the namespaces that have a node, sorted by code point."""
        # Sorted here: what ORDER BY means for text is a matter of the database's collation.
        return sorted(row[0] for row in self._rows(_NAMESPACES))

    def find_nodes(self, keys: Collection[NodeKey]) -> dict[NodeKey, NodeRecord]:
        """Return those of the named nodes that are registered."""
        found: dict[NodeKey, NodeRecord] = {}
        for name, namespace in keys:
            row = self._row(_FIND_NODE, name=name, namespace=namespace)
            if row is not None:
                found[name, namespace] = _node(row)
        return found

    def save_node(self, node: NodeRecord) -> None:
        """Register a node, or replace all of a registered one but its id and times."""
        values = {
            "runtime_name": node.runtime_name,
            "runtime_namespace": node.runtime_namespace,
            "inputs_schema": dump(node.inputs_schema),
            "outputs_schema": dump(node.outputs_schema),
            "secrets": dump(node.secrets),
        }
        if not self._run(_REPLACE_NODE, of_namespace=node.namespace, of_name=node.name, **values):
            self._run(
                _ADD_NODE,
                id=node.id,
                namespace=node.namespace,
                name=node.name,
                created_at=node.created_at,
                updated_at=node.updated_at,
                **values,
            )

    def find_graph(self, namespace: str, name: str) -> GraphRecord | None:
        """Return a graph with its latest version."""
        row = self._row(self.find_graph_statement, namespace=namespace, name=name)
        return None if row is None else read_graph(row)

    def list_graphs(self, namespace: str) -> list[GraphRecord]:
        """Return a namespace's graphs in the order of their first PUT."""
        return [read_graph(row) for row in self._rows(_LIST_GRAPHS, namespace=namespace)]

    def get_version(self, version_id: str) -> VersionRecord:
        """Return a graph version that is known to exist."""
        return _version(self._row(_GET_VERSION, id=version_id))

    def save_version(
        self,
        *,
        graph_id: str,
        version_id: str,
        namespace: str,
        name: str,
        document: JsonObject,
        secrets: Mapping[str, str],
        errors: Sequence[str],
        now_ms: int,
    ) -> GraphRecord:
        """Make a version the latest of its graph, and the one that runs use if it has no errors."""
        graph_key, latest, valid = self._row(_GRAPH_TO_PUT, namespace=namespace, name=name) or (None, None, None)
        if graph_key is None:
            graph_key = self._scalar(
                _ADD_GRAPH, id=graph_id, namespace=namespace, name=name, created_at=now_ms, updated_at=now_ms
            )
        elif latest is None:
            self._run(_REVIVE, of_key=graph_key, id=graph_id, created_at=now_ms)
        self._run(
            _ADD_VERSION,
            id=version_id,
            graph_key=graph_key,
            document=dump(document),
            secrets=dump(dict(secrets)),
            sealed_with=keys_of(secrets),
            valid=int(not errors),
            errors=dump(list(errors)),
            created_at=now_ms,
        )
        if errors:
            self._run(_SET_LATEST, of_key=graph_key, latest_version_id=version_id, updated_at=now_ms)
        else:
            self._run(
                _SET_VALID,
                of_key=graph_key,
                latest_version_id=version_id,
                valid_version_id=version_id,
                updated_at=now_ms,
            )
        # Those before them have runs, and go with the last of those.
        for replaced in {latest, valid} - {None}:
            self._run(DROP_VERSION, of_id=replaced)
        return read_graph(self._row(self.find_graph_statement, namespace=namespace, name=name))

    def hold_graph(self, namespace: str, name: str) -> GraphRecord | None:
        """Return a graph as :meth:`find_graph` does, which is not deleted before this unit has ended."""
        row = self._row(_HOLD_GRAPH, namespace=namespace, name=name)
        return None if row is None else read_graph(row)

    def take_graph(self, namespace: str, name: str) -> int | None:
        """Return a graph's key, once no unit holds it; None if there is none."""
        key: int | None = self._scalar(_TAKE_GRAPH, namespace=namespace, name=name)
        return key

    def drop_graph(self, graph_key: int) -> None:
        """Delete a graph and its schedules, but for the versions that runs were triggered with."""
        self.set_crons(graph_key, {})
        self._run(_FORGET, of_key=graph_key)
        self._run(_DROP_VERSIONS, of_key=graph_key)
        self._run(_DROP_GRAPH, of_key=graph_key)

    def set_crons(self, graph_key: int, next_at: Mapping[str, int]) -> None:
        """Make these the graph's schedules; one that stays keeps the time at which it fires next."""
        present = {row[0] for row in self._rows(_CRONS_OF, of_key=graph_key)}
        for expression in present - next_at.keys():
            self._run(_DROP_CRON, of_key=graph_key, of_expression=expression)
        for expression, at in next_at.items():
            if expression not in present:
                self._run(_ADD_CRON, graph_key=graph_key, expression=expression, next_at=at)

    def count_crons(self, namespace: str, name: str) -> tuple[int, int]:
        """Return how many schedules a graph has, and how many the other graphs of its namespace have."""
        of_graph = {row[0]: int(row[1]) for row in self._rows(_COUNT_CRONS, namespace=namespace)}
        own = of_graph.pop(name, 0)
        return own, sum(of_graph.values())

    def next_cron_at(self) -> int | None:
        """Return when the next schedule fires, in epoch milliseconds."""
        at: int | None = self._scalar(_NEXT_CRON)
        return at

    def due_crons(self, now_ms: int) -> list[CronRecord]:
        """Return the schedules that should have fired by now, the longest due first."""
        return [CronRecord(*row) for row in self._rows(_DUE_CRONS, now_ms=now_ms)]

    def advance_cron(self, cron: CronRecord, next_at: int | None) -> bool:
        """Move a schedule on (or end it, for None) if nobody else has done so since it was read."""
        if next_at is None:
            return bool(self._run(_END_CRON, of_key=cron.key, was_at=cron.next_at))
        return bool(self._run(_MOVE_CRON, of_key=cron.key, was_at=cron.next_at, next_at=next_at))


# Each report reads its next nodes anew, and nearly always finds them as they were. The same row gives the same object,
# which nobody changes.
@lru_cache(maxsize=1_024)
def _node(row: tuple[Any, ...]) -> NodeRecord:
    values: dict[str, Any] = dict(zip(_NODE_FIELDS, row, strict=True))
    for name in ("inputs_schema", "outputs_schema", "secrets"):
        values[name] = load(values[name])
    values["secrets"] = tuple(values["secrets"])
    return NodeRecord(**values)


# As above: each trigger reads the graph's latest version.
@lru_cache(maxsize=128)
def _version(row: tuple[Any, ...]) -> VersionRecord:
    return VersionRecord(row[0], load(row[1]), load(row[2]), bool(row[3]), tuple(load(row[4])))


def read_graph(row: Any) -> GraphRecord:
    """Return the graph of a row of :data:`GRAPHS`."""
    return GraphRecord(row[5], row[6], row[7], row[8], _version(row[:5]), row[9], row[10], row[11])
