"""The service: what each operation does, on any store, for any transport."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial

from exospherehost._rules.model import GraphSpec
from exospherehost.server.domain.records import ClaimedRecord, EventCursor, GraphRecord, JsonObject, NodeRecord
from exospherehost.server.domain.store import Store
from exospherehost.server.service import (
    cancellation,
    crons,
    graphs,
    nodes,
    reading,
    report_batches,
    retention,
    state_reports,
    trigger_keys,
    triggers,
)
from exospherehost.server.service.claims import Claim, Claims
from exospherehost.server.service.context import Context
from exospherehost.server.service.followers import Followers, RunUpdate
from exospherehost.server.service.leases import HeldLease, Leases
from exospherehost.server.service.secret_rotation import list_doubtful, unreadable_graphs
from exospherehost.server.service.waiting_claims import Patience, WaitingRoom

logger = logging.getLogger(__name__)


class Service:
    """The operations, each one unit of work or one consistent read.

    Those that refuse raise :class:`~exospherehost.server.domain.errors.ServiceError`.

    Args:
        store: Where everything is kept.
        context: The server's time, ids, key and caches.
        strict: Refuse graphs that the hosted service would refuse or treat otherwise.
    """

    def __init__(self, store: Store, context: Context, *, strict: bool = False) -> None:
        self._store = store
        self._context = context
        self._strict = strict
        self._waiting_room = WaitingRoom(store, context.clock)
        self._claims = Claims(store, context.clock, self._waiting_room)
        self._leases = Leases(store, context)
        self._followers = Followers(store, context.clock)
        self._graphs_changed: Callable[[], None] = lambda: None
        self._lease_given: Callable[[int], None] = lambda _expires_at: None
        self._differences = graphs.DifferenceLog()
        # Once for each graph is enough: a warning at each trigger would be read by nobody.
        self._triggered_with_entries: set[tuple[str, str]] = set()

    def when_graphs_change(self, notify: Callable[[], None]) -> None:
        """Have ``notify`` called after every PUT of a graph, which may have changed schedules."""
        self._graphs_changed = notify

    def when_leases_are_given(self, notify: Callable[[int], None]) -> None:
        """Have ``notify`` called with when a lease runs out (epoch milliseconds), after each claim or renewal."""
        self._lease_given = notify

    @property
    def waiting_room(self) -> WaitingRoom:
        """Where claims wait for states."""
        return self._waiting_room

    @property
    def followers(self) -> Followers:
        """Who follows runs."""
        return self._followers

    def close(self) -> None:
        """Answer the claims that wait, end the streams of events, and let nobody wait or follow any more."""
        self._waiting_room.close()
        self._followers.close()

    async def list_namespaces(self) -> Sequence[str]:
        """Return the namespaces that have a node."""
        return await self._store.read(lambda reader: reader.list_namespaces())

    async def register_nodes(
        self, namespace: str, runtime_name: str, offered: Sequence[nodes.Registration]
    ) -> list[str]:
        """Register nodes or replace what is registered; return what to warn of."""
        return await nodes.register(self._store, self._context, namespace, runtime_name, offered)

    async def list_nodes(self, namespace: str) -> Sequence[NodeRecord]:
        """Return a namespace's nodes."""
        return await self._store.read(lambda reader: reader.list_nodes(namespace))

    async def upsert_graph(self, graph: GraphSpec, secrets: dict[str, str]) -> GraphRecord:
        """Check, verify and store a graph, its secrets encrypted."""
        differences = await asyncio.to_thread(graphs.check, graph, secrets, strict=self._strict)
        self._differences.warn(graph.namespace, graph.name, differences)
        stored = await graphs.put(self._store, self._context, graph, secrets)
        self._graphs_changed()
        return stored

    async def get_graph(self, namespace: str, name: str) -> GraphRecord:
        """Return a graph as it was last put."""
        return await self._store.read(lambda reader: graphs.get(reader, namespace, name))

    async def list_graphs(self, namespace: str) -> Sequence[GraphRecord]:
        """Return a namespace's graphs."""
        return await self._store.read(lambda reader: reader.list_graphs(namespace))

    async def delete_graph(self, namespace: str, name: str) -> int:
        """Delete a graph with its schedules and return how many runs were cancelled with it."""
        context = self._context
        return await self._store.write(lambda unit: cancellation.delete_graph(unit, context, namespace, name))

    async def trigger_graph(
        self, namespace: str, graph_name: str, start: triggers.Start, *, key: str | None = None
    ) -> triggers.StartedRun:
        """Start a run, under an idempotency key at most one."""
        work = partial(triggers.trigger, context=self._context, namespace=namespace, graph_name=graph_name, start=start)
        if key is not None:
            digest = await asyncio.to_thread(trigger_keys.digest, start)
            work = partial(trigger_keys.trigger_once, **work.keywords, key=key, body_digest=digest)
        run = await triggers.with_checked_entries(self._store, work)
        if start.entries is not None and (namespace, graph_name) not in self._triggered_with_entries:
            self._triggered_with_entries.add((namespace, graph_name))
            logger.warning(
                "event=hosted_difference namespace=%s graph=%s difference=%s",
                namespace,
                graph_name,
                "a trigger with states: the hosted service takes no notice of them and starts at the root",
            )
        return run

    async def claim_states(self, claim: Claim, patience: Patience | None = None) -> Sequence[ClaimedRecord]:
        """Hand out due states.

        Args:
            claim: What is asked for.
            patience: How long to wait while no state is due; None for not at all.
        """
        claimed = await self._claims.take(claim, patience)
        if claimed and claimed[0].lease_expires_at is not None:
            self._lease_given(claimed[0].lease_expires_at)
        return claimed

    async def renew_leases(
        self, namespace: str, state_ids: Sequence[str], lease_ms: int, claim_tokens: Mapping[str, str]
    ) -> Sequence[HeldLease]:
        """Extend leases to so many milliseconds from now, and return those that are still held.

        Args:
            namespace: The namespace of the states.
            state_ids: The states.
            lease_ms: How long the leases are to last from now on, in milliseconds.
            claim_tokens: The claims that must hold the states, by the states' ids.
        """
        held = await self._leases.renew(namespace, state_ids, lease_ms, claim_tokens)
        if held:
            self._lease_given(held[0].expires_at)
        return held

    async def warn_of_unreadable_secrets(self) -> None:
        """Log which graphs have secrets that no key of this server opens, as after a restore with another key."""
        box = self._context.secret_box
        doubtful = await self._store.read(lambda reader: list_doubtful(reader, box))
        unreadable = await asyncio.to_thread(unreadable_graphs, doubtful, box)
        if unreadable:
            logger.warning(
                "event=secrets_unreadable count=%d first=%s what=%s",
                len(unreadable),
                unreadable[0],
                "no key of this server opens them: start it with the key that sealed them, or store the graphs again "
                "with their secrets",
            )

    async def spare_leases_after_start(self) -> None:
        """Give every holder of a lease time to renew it, after the server was down."""
        await self._leases.spare_after_start()

    async def end_expired_leases(self) -> int | None:
        """End the leases that have run out and return when the next one does (epoch milliseconds)."""
        return await self._leases.end_expired()

    async def report_states(
        self, namespace: str, batch: Sequence[report_batches.Report]
    ) -> Sequence[report_batches.Result]:
        """Take several reports, each as if it had come alone, and return what became of each, in order."""
        return await report_batches.take(self._store, self._context, namespace, batch)

    async def report_executed(self, target: state_reports.Target, outputs: Sequence[JsonObject]) -> None:
        """Take a success report."""
        context = self._context
        await self._store.write(
            lambda unit: state_reports.executed(unit, context, target, outputs), concerns=target.state_id
        )

    async def report_errored(self, target: state_reports.Target, error: str) -> bool:
        """Take a failure report, and tell whether a retry was created."""
        context = self._context
        return await self._store.write(
            lambda unit: state_reports.errored(unit, context, target, error), concerns=target.state_id
        )

    async def prune_state(self, target: state_reports.Target, data: JsonObject) -> state_reports.SignalledState:
        """Take a prune signal."""
        context = self._context
        return await self._store.write(
            lambda unit: state_reports.prune(unit, context, target, data), concerns=target.state_id
        )

    async def requeue_state(self, target: state_reports.Target, delay_ms: int) -> state_reports.SignalledState:
        """Take a signal to run a state later."""
        context = self._context
        return await self._store.write(
            lambda unit: state_reports.requeue(unit, context, target, delay_ms), concerns=target.state_id
        )

    async def retry_state(self, namespace: str, state_id: str, fanout_id: str) -> str:
        """Replace a state by a new attempt and return that one's id."""
        context = self._context
        return await self._store.write(
            lambda unit: state_reports.manual_retry(unit, context, namespace, state_id, fanout_id), concerns=state_id
        )

    async def cancel_run(self, namespace: str, run_id: str) -> cancellation.CancelledRun:
        """Prune what waits or runs of a run, and have nothing follow."""
        context = self._context
        return await self._store.write(lambda unit: cancellation.cancel(unit, context, namespace, run_id))

    async def follow_run(self, namespace: str, run_id: str, after: EventCursor) -> AsyncGenerator[RunUpdate, None]:
        """Return what yields a run's transitions from a place in its log on, until its end."""
        run = await self._store.read(lambda reader: cancellation.find_run(reader, namespace, run_id))
        return self._followers.follow(run, after)

    async def get_state_secrets(self, namespace: str, state_id: str) -> dict[str, str]:
        """Return the secrets that a state's node declares, in clear."""
        context = self._context
        return await self._store.read(lambda reader: reading.secrets_of_state(reader, context, namespace, state_id))

    async def list_runs(self, namespace: str, page: int, size: int) -> reading.RunPage:
        """Return one page of a namespace's runs."""
        return await self._store.read(lambda reader: reading.list_runs(reader, namespace, page, size))

    async def get_run_graph(self, namespace: str, run_id: str) -> reading.RunView:
        """Return a run's states and edges."""
        return await self._store.read(lambda reader: reading.run_graph(reader, namespace, run_id))

    async def get_state(self, namespace: str, graph_name: str, run_id: str, state_id: str) -> reading.StateView:
        """Return a state in full."""
        return await self._store.read(
            lambda reader: reading.state_in_run(reader, namespace, graph_name, run_id, state_id)
        )

    async def fire_crons(self) -> int | None:
        """Fire the schedules that are due and return when the next one is (epoch milliseconds)."""
        return await crons.fire_due(self._store, self._context)

    async def delete_old_runs(self, older_than: timedelta) -> int:
        """Delete the runs that ended so long ago, and return when to look again (epoch milliseconds)."""
        await retention.delete_old_runs(self._store, self._context.clock, older_than)
        return retention.next_look_ms(self._context.clock.now_ms(), older_than)
