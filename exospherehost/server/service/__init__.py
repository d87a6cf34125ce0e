"""The service: what each operation does, on any store, for any transport."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from exospherehost.server.records import ClaimedRecord, GraphRecord, JsonObject, NodeRecord
from exospherehost.server.rules.model import GraphSpec
from exospherehost.server.service import crons, graphs, nodes, reports, triggering, viewing
from exospherehost.server.service.context import Context
from exospherehost.server.store import Store

_log = logging.getLogger(__name__)

LARGEST_CLAIM = 1_000
"""The most states that one claim hands out."""


class Service:
    """The operations, each one unit of work or one consistent read.

    Those that refuse raise :class:`~exospherehost.server.errors.ServiceError`.

    Args:
        store: Where everything is kept.
        context: The server's time, ids, key and caches.
        strict: Refuse graphs that the hosted service would refuse or treat otherwise.
    """

    def __init__(self, store: Store, context: Context, *, strict: bool = False) -> None:
        self._store = store
        self._context = context
        self._strict = strict
        self._graphs_changed: Callable[[], None] = lambda: None
        # Once for each graph is enough: a warning at each trigger would be read by nobody.
        self._triggered_with_entries: set[tuple[str, str]] = set()

    def when_graphs_change(self, notify: Callable[[], None]) -> None:
        """Have ``notify`` called after every PUT of a graph, which may have changed schedules."""
        self._graphs_changed = notify

    async def list_namespaces(self) -> Sequence[str]:
        """Return the namespaces that have a node."""
        return await self._store.read(lambda reader: reader.list_namespaces())

    async def register_nodes(self, namespace: str, runtime_name: str, offered: Sequence[nodes.Registration]) -> None:
        """Register nodes or replace what is registered."""
        context = self._context
        await self._store.write(lambda unit: nodes.register(unit, context, namespace, runtime_name, offered))

    async def list_nodes(self, namespace: str) -> Sequence[NodeRecord]:
        """Return a namespace's nodes."""
        return await self._store.read(lambda reader: reader.list_nodes(namespace))

    async def upsert_graph(self, graph: GraphSpec, secrets: dict[str, str]) -> GraphRecord:
        """Check, verify and store a graph, its secrets encrypted."""
        await asyncio.to_thread(graphs.check, graph, secrets, strict=self._strict)
        sealed = self._context.secret_box.seal_all(secrets)
        stored = await self._store.write(lambda unit: graphs.put(unit, self._context, graph, sealed))
        self._graphs_changed()
        return stored

    async def get_graph(self, namespace: str, name: str) -> GraphRecord:
        """Return a graph as it was last put."""
        return await self._store.read(lambda reader: graphs.get(reader, namespace, name))

    async def list_graphs(self, namespace: str) -> Sequence[GraphRecord]:
        """Return a namespace's graphs."""
        return await self._store.read(lambda reader: reader.list_graphs(namespace))

    async def trigger_graph(self, namespace: str, graph_name: str, start: triggering.Start) -> triggering.StartedRun:
        """Start a run."""
        context = self._context
        run = await self._store.write(lambda unit: triggering.trigger(unit, context, namespace, graph_name, start))
        if start.entries is not None and (namespace, graph_name) not in self._triggered_with_entries:
            self._triggered_with_entries.add((namespace, graph_name))
            _log.warning(
                "event=hosted_difference namespace=%s graph=%s difference=%s",
                namespace,
                graph_name,
                "a trigger with states: the hosted service takes no notice of them and starts at the root",
            )
        return run

    async def claim_states(self, namespace: str, node_names: Sequence[str], batch_size: int) -> Sequence[ClaimedRecord]:
        """Hand out due states, at most :data:`LARGEST_CLAIM`."""
        limit = min(batch_size, LARGEST_CLAIM)
        if limit <= 0 or not node_names:
            return ()
        now_ms = self._context.clock.now_ms()
        return await self._store.write(lambda unit: unit.claim(namespace, node_names, limit=limit, now_ms=now_ms))

    async def report_executed(self, namespace: str, state_id: str, outputs: Sequence[JsonObject]) -> None:
        """Take a success report."""
        context = self._context
        await self._store.write(lambda unit: reports.executed(unit, context, namespace, state_id, outputs))

    async def report_errored(self, namespace: str, state_id: str, error: str) -> bool:
        """Take a failure report, and tell whether a retry was created."""
        context = self._context
        return await self._store.write(lambda unit: reports.errored(unit, context, namespace, state_id, error))

    async def prune_state(self, namespace: str, state_id: str, data: JsonObject) -> reports.SignalAnswer:
        """Take a prune signal."""
        context = self._context
        return await self._store.write(lambda unit: reports.prune(unit, context, namespace, state_id, data))

    async def requeue_state(self, namespace: str, state_id: str, delay_ms: int) -> reports.SignalAnswer:
        """Take a signal to run a state later."""
        context = self._context
        return await self._store.write(lambda unit: reports.requeue(unit, context, namespace, state_id, delay_ms))

    async def retry_state(self, namespace: str, state_id: str, fanout_id: str) -> str:
        """Replace a state by a new attempt and return that one's id."""
        context = self._context
        return await self._store.write(lambda unit: reports.manual_retry(unit, context, namespace, state_id, fanout_id))

    async def get_state_secrets(self, namespace: str, state_id: str) -> dict[str, str]:
        """Return the secrets that a state's node declares, in clear."""
        context = self._context
        return await self._store.read(lambda reader: viewing.secrets_of_state(reader, context, namespace, state_id))

    async def list_runs(self, namespace: str, page: int, size: int) -> viewing.RunPage:
        """Return one page of a namespace's runs."""
        return await self._store.read(lambda reader: viewing.list_runs(reader, namespace, page, size))

    async def get_run_graph(self, namespace: str, run_id: str) -> viewing.RunView:
        """Return a run's states and edges."""
        return await self._store.read(lambda reader: viewing.run_graph(reader, namespace, run_id))

    async def get_state(self, namespace: str, graph_name: str, run_id: str, state_id: str) -> viewing.StateView:
        """Return a state in full."""
        return await self._store.read(
            lambda reader: viewing.state_in_run(reader, namespace, graph_name, run_id, state_id)
        )

    async def fire_crons(self) -> int | None:
        """Fire the schedules that are due and return when the next one is (epoch milliseconds)."""
        return await self._store.write(lambda unit: crons.fire_due(unit, self._context))
