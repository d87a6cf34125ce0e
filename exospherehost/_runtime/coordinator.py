"""The coordinator: claims states, hands them to the workers, and ends a run in good order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from exospherehost._nodes.node import BaseNode
from exospherehost._runtime import outcomes
from exospherehost._runtime.holdings import Holdings
from exospherehost._runtime.journal import Journal
from exospherehost._runtime.lease_keeper import RENEWALS_PER_LEASE, LeaseKeeper
from exospherehost._runtime.outbox import JournaledOutbox, PlainOutbox
from exospherehost._runtime.outcomes import fields_of_unknown, handed_back, log_fields
from exospherehost._runtime.own_tasks import start_own_task
from exospherehost._runtime.poller import Claim, Poller
from exospherehost._runtime.reporter import Reporter
from exospherehost._runtime.stats import Counters
from exospherehost._runtime.worker_pool import Executes, WorkerPool
from exospherehost._transport.runtime_session import RuntimeSession
from exospherehost_client.models import ClaimedState

logger = logging.getLogger(__name__)

MOST_UNDELIVERED_PER_WORKER = 64
"""Finished outcomes that may wait for the service, for each worker, before workers wait too."""

LAST_REPORTS_SECONDS = 3.0
"""How long a last claim is waited for, and outcomes delivered, when the grace period has been cut short."""


class Coordinator:
    """Claims, executes and reports until asked to stop, then ends in good order.

    Args:
        session: carries the requests.
        poller: claims.
        executor: executes.
        counters: where to count.
        namespace: for the log.
        nodes: the node classes by name.
        workers: how many states are executed at once.
        most_ahead: the most states claimed ahead of that.
        lease: the length of a lease, seconds; None for none.
        journal: keeps claims and outcomes, where there is one.
    """

    def __init__(
        self,
        session: RuntimeSession,
        poller: Poller,
        executor: Executes,
        counters: Counters,
        *,
        namespace: str,
        nodes: Mapping[str, type[BaseNode]],
        workers: int,
        most_ahead: int,
        lease: float | None,
        journal: Journal | None,
    ) -> None:
        self._poller = poller
        self._counters = counters
        self._namespace = namespace
        self._reporter = Reporter(
            session, counters, capacity=MOST_UNDELIVERED_PER_WORKER * workers, settled=self._settled
        )
        self._holdings = Holdings()
        self._outbox = (
            PlainOutbox(self._reporter, self._holdings)
            if journal is None
            else JournaledOutbox(self._reporter, self._holdings, journal)
        )
        self._workers = WorkerPool(
            executor,
            self._outbox,
            counters,
            namespace=namespace,
            nodes=nodes,
            count=workers,
            most_ahead=most_ahead,
        )
        self._count_of_nodes = len(nodes)
        self._count_of_workers = workers
        self._lease = lease
        self._keeper = (
            None
            if lease is None
            else LeaseKeeper(session, lease, self._holdings.with_lease, self._lose, self._holdings.tokens)
        )
        self._claim: asyncio.Task[Claim] | None = None

    async def run(self, stop_asked: asyncio.Event, grace: float) -> None:
        """Run until asked to stop; returns when all has ended.

        When the task that runs this is cancelled, the grace period is cut short.
        """
        self._outbox.recover(self._namespace)
        claiming = start_own_task(self._claim_on(), "claims")
        stop = start_own_task(stop_asked.wait(), "stop")
        background: list[asyncio.Task[Any]] = [claiming, start_own_task(self._reporter.run(), "reporter")]
        if self._keeper is not None:
            background.append(start_own_task(self._keeper.run(), "leases"))
        workers = self._workers.start()
        try:
            ended, _ = await asyncio.wait((stop, *background, *workers), return_when=asyncio.FIRST_COMPLETED)
            for task in ended - {stop}:
                # None of these ends by itself, so this is a fault of this package: it must be seen.
                task.result()
            claiming.cancel()
            await self._let_finish(grace)
        finally:
            # Also when that has been broken off: what is left is cancelled, handed back and delivered, in short.
            stop.cancel()
            claiming.cancel()
            await self._workers.stop()
            self._workers.hand_back_waiting()
            self._reporter.hasten()
            try:
                async with asyncio.timeout(LAST_REPORTS_SECONDS):
                    await self._take_claim_back()
                    await self._delivered()
            except TimeoutError:
                self._reporter.give_up()
            if self._claim is not None:
                background.append(self._claim)
            for task in background:
                task.cancel()
            await asyncio.gather(stop, *background, *self._outbox.unfinished(), return_exceptions=True)

    # ---- the end -------------------------------------------------------------------------------

    async def _let_finish(self, grace: float) -> None:
        """Hand back what has not started, let the rest end, and deliver, each within the grace period."""
        logger.info(
            "event=stopping namespace=%s running=%d waiting=%d undelivered=%d grace_period=%.0f",
            self._namespace,
            self._counters.running,
            self._counters.waiting,
            self._counters.undelivered,
            grace,
        )
        self._workers.hand_back_waiting()
        try:
            async with asyncio.timeout(grace):
                await self._take_claim_back()
                await self._workers.finished()
        except TimeoutError:
            logger.warning(
                "event=grace_period_over namespace=%s seconds=%.0f cancelled=%d states=handed_back",
                self._namespace,
                grace,
                self._counters.running,
            )
        await self._workers.stop()
        self._reporter.hasten()
        try:
            async with asyncio.timeout(max(grace, LAST_REPORTS_SECONDS)):
                await self._delivered()
        except TimeoutError:
            logger.warning(
                "event=reports_late namespace=%s undelivered=%d", self._namespace, self._counters.undelivered
            )

    async def _take_claim_back(self) -> None:
        """Wait for a claim under way, and hand back what it brings."""
        self._poller.end()
        if self._claim is None:
            return
        await asyncio.wait((self._claim,))
        claim, self._claim = self._claim, None
        if not claim.cancelled():
            self._report_unreadable(claim.result())
            self._hand_back(self._accepted(claim.result().states))

    async def _delivered(self) -> None:
        """Wait until every outcome is recorded and delivered."""
        await self._outbox.recorded()
        await self._reporter.drained()

    # ---- claims --------------------------------------------------------------------------------

    async def _claim_on(self) -> None:
        sweep = False
        while True:
            await self._workers.wait_for_room()
            if self._lease is not None:
                # Renewing what is executed faster than it can be reported would slow the reports down further.
                await self._reporter.caught_up(self._lease / RENEWALS_PER_LEASE, self._count_of_workers)
            if not await self._outbox.is_ready():
                continue
            nodes, room = self._workers.plan(sweep=sweep)
            if not (nodes and room):
                sweep = False
                continue
            # A held claim would overlook a node that is left out and has room again meanwhile.
            may_hold = len(nodes) == self._count_of_nodes
            # In a task of its own, because a claim that is broken off may have taken states already.
            self._claim = start_own_task(self._poller.claim(nodes, room, may_hold=may_hold), "claim")
            claim = await asyncio.shield(self._claim)
            self._report_unreadable(claim)
            states = self._accepted(claim.states)
            if states and not await asyncio.shield(self._outbox.recorded_claims(states)):
                self._hand_back(states)
                states = []
            self._claim = None
            if claim.leased:
                self._holdings.note_leases(states)
            self._workers.add(states)
            sweep = claim.full and not sweep and self._workers.has_limits
            await self._poller.rest()

    def _accepted(self, states: Sequence[ClaimedState]) -> list[ClaimedState]:
        """Leave out what is held here already: an answer may arrive twice, an operator may give a state back."""
        accepted: dict[str, ClaimedState] = {}
        for state in states:
            state_id = state.state_id
            if state_id in accepted or self._workers.holds(state_id) or not self._reporter.note_claimed(state_id):
                logger.warning(
                    "event=claimed_twice node=%s identifier=%s state_id=%s",
                    state.node_name,
                    state.identifier,
                    state.state_id,
                    extra=log_fields(self._namespace, state),
                )
            else:
                accepted[state_id] = state
                self._holdings.note_claim(state)
        return list(accepted.values())

    def _report_unreadable(self, claim: Claim) -> None:
        """Report as errors the states that cannot be read: handed back, they would be claimed again for ever."""
        for state_id, problem in claim.unreadable.items():
            fields = fields_of_unknown(self._namespace, state_id)
            logger.warning("event=claimed_state_unreadable state_id=%s reason=%r", state_id, str(problem), extra=fields)
            if not self._workers.holds(state_id) and self._reporter.note_claimed(state_id):
                text = f"the runtime cannot read this state as the service sent it: {problem}"
                self._reporter.submit_now(outcomes.errored(state_id, text, fields=fields))

    def _hand_back(self, states: Iterable[ClaimedState]) -> None:
        for state in states:
            outcome = handed_back(state.state_id, log_fields(self._namespace, state))
            outcome.set_claim_token(state.claim_token)
            self._reporter.submit_now(outcome)

    def _lose(self, state_id: str, holding: object) -> None:
        """Drop a state whose lease has run out, unless it has been claimed again since."""
        # What has been executed is delivered all the same: the service decides.
        if self._holdings.end_lease(state_id, holding) and self._workers.lose(state_id):
            self._outbox.settled([state_id])

    def _settled(self, state_ids: Sequence[str]) -> None:
        self._holdings.settle(state_ids)
        self._outbox.settled(state_ids)
        self._poller.hurry()
