"""What runs together in a runtime: claiming, executing, reporting and renewing, and how they end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any

from exospherehost._nodes.node import BaseNode
from exospherehost._runtime import outcomes
from exospherehost._runtime.journal import Journal, JournalError
from exospherehost._runtime.lease_keeper import RENEWALS_PER_LEASE, LeaseKeeper
from exospherehost._runtime.outcomes import Outcome, handed_back, log_fields
from exospherehost._runtime.own_tasks import start_own_task
from exospherehost._runtime.poller import Claim, Poller
from exospherehost._runtime.reporter import Reporter
from exospherehost._runtime.stats import Counters
from exospherehost._runtime.worker_pool import Executes, WorkerPool
from exospherehost._transport.retry import Backoff
from exospherehost._transport.runtime_session import RuntimeSession
from exospherehost_client.models import ClaimedState

logger = logging.getLogger(__name__)

MOST_UNDELIVERED_PER_WORKER = 64
"""Finished outcomes that may wait for the service, for each worker, before workers wait too."""

LAST_REPORTS_SECONDS = 3.0
"""How long a last claim is waited for, and outcomes delivered, when the grace period has been cut short."""

_JOURNAL_FAULTS = Backoff(initial=0.25, maximum=30.0)


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
        self._journal = journal
        self._journal_faults = 0
        self._namespace = namespace
        self._reporter = Reporter(
            session, counters, capacity=MOST_UNDELIVERED_PER_WORKER * workers, settled=self._settled
        )
        self._workers = WorkerPool(
            executor,
            self if journal is not None else self._reporter,
            counters,
            namespace=namespace,
            nodes=nodes,
            count=workers,
            most_ahead=most_ahead,
        )
        self._count_of_nodes = len(nodes)
        self._count_of_workers = workers
        self._lease = lease
        self._leases: dict[str, object] = {}
        self._claim_tokens: dict[str, str] = {}
        self._keeper = (
            None if lease is None else LeaseKeeper(session, lease, self._with_lease, self._lose, self._claim_tokens)
        )
        self._claim: asyncio.Task[Claim] | None = None
        self._recording: set[asyncio.Task[None]] = set()

    async def run(self, stop_asked: asyncio.Event, grace: float) -> None:
        """Run until asked to stop; returns when all has ended.

        When the task that runs this is cancelled, the grace period is cut short.
        """
        if self._journal is not None:
            self._recover(self._journal)
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
            await asyncio.gather(stop, *background, *self._recording, return_exceptions=True)

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
        if self._recording:
            await asyncio.wait(self._recording)
        await self._reporter.drained()

    # ---- claims --------------------------------------------------------------------------------

    async def _claim_on(self) -> None:
        sweep = False
        while True:
            await self._workers.wait_for_room()
            if self._lease is not None:
                # Renewing what is executed faster than it can be reported would slow the reports down further.
                await self._reporter.caught_up(self._lease / RENEWALS_PER_LEASE, self._count_of_workers)
            if self._journal_faults and not await self._journal_works_again():
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
            if states and self._journal is not None:
                kept = await asyncio.shield(self._record_claims(self._journal, states))
                if not kept:
                    # Not executed, since a crash would then lose them.
                    self._hand_back(states)
                    states = []
            self._claim = None
            if claim.leased:
                self._leases.update(dict.fromkeys([state.state_id for state in states], object()))
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
                if state.claim_token is not None:
                    self._claim_tokens[state_id] = state.claim_token
        return list(accepted.values())

    def _report_unreadable(self, claim: Claim) -> None:
        """Report as errors the states that cannot be read: handed back, they would be claimed again for ever."""
        for state_id, problem in claim.unreadable.items():
            fields = self._fields_of(state_id)
            logger.warning("event=claimed_state_unreadable state_id=%s reason=%r", state_id, str(problem), extra=fields)
            if not self._workers.holds(state_id) and self._reporter.note_claimed(state_id):
                text = f"the runtime cannot read this state as the service sent it: {problem}"
                self._reporter.submit_now(outcomes.errored(state_id, text, fields=fields))

    def _hand_back(self, states: Iterable[ClaimedState]) -> None:
        for state in states:
            outcome = handed_back(state.state_id, log_fields(self._namespace, state))
            outcome.set_claim_token(state.claim_token)
            self._reporter.submit_now(outcome)

    def _with_lease(self) -> dict[str, object]:
        return dict(self._leases)

    def _lose(self, state_id: str, holding: object) -> None:
        """Drop a state whose lease has run out, unless it has been claimed again since."""
        if self._leases.get(state_id) is not holding:
            return
        del self._leases[state_id]
        # What has been executed is delivered all the same: the service decides.
        if self._workers.lose(state_id) and self._journal is not None:
            self._journal.settled([state_id])

    def _settled(self, state_ids: Sequence[str]) -> None:
        for state_id in state_ids:
            self._leases.pop(state_id, None)
            self._claim_tokens.pop(state_id, None)
        if self._journal is not None:
            self._journal.settled(state_ids)
        self._poller.hurry()

    # ---- the journal ---------------------------------------------------------------------------

    def _recover(self, journal: Journal) -> None:
        """Deliver what an earlier run left, and hand back what it had not finished."""
        recorded, unfinished = journal.left_over()
        for outcome in recorded:
            outcome.fields = self._fields_of(outcome.state_id)
            self._reporter.submit_now(outcome, may_have_arrived=True)
        for state_id, claim_token in unfinished.items():
            outcome = handed_back(state_id, self._fields_of(state_id))
            outcome.set_claim_token(claim_token)
            self._reporter.submit_now(outcome)
        if recorded or unfinished:
            logger.info("event=journal_recovered outcomes=%d unfinished=%d", len(recorded), len(unfinished))

    def _fields_of(self, state_id: str) -> dict[str, str]:
        # Of a state of an earlier run nothing else is known.
        return {"exosphere_namespace": self._namespace, "exosphere_state_id": state_id}

    async def submit(self, outcome: Outcome) -> None:
        """Record an outcome, then have it delivered."""
        outcome.set_claim_token(self._claim_tokens.get(outcome.state_id))
        if self._journal is not None:
            # Where it cannot be recorded it is delivered all the same: only a crash before that would lose it.
            await self._record(self._journal.outcome(outcome))
        await self._reporter.submit(outcome)

    def submit_now(self, outcome: Outcome) -> None:
        """Have an outcome recorded and delivered without waiting for either, when the runtime ends."""
        outcome.set_claim_token(self._claim_tokens.get(outcome.state_id))
        if self._journal is None or outcome.kind == "requeued":
            self._reporter.submit_now(outcome)
            return
        # Recorded first even then: what may have been delivered is never to be handed back.
        recording = start_own_task(self._record_and_deliver(self._journal, outcome), "record")
        self._recording.add(recording)
        recording.add_done_callback(self._recording.discard)

    async def _record_and_deliver(self, journal: Journal, outcome: Outcome) -> None:
        await self._record(journal.outcome(outcome))
        self._reporter.submit_now(outcome)

    async def _record_claims(self, journal: Journal, states: Iterable[ClaimedState]) -> bool:
        return await self._record(journal.claimed([state.state_id for state in states], self._claim_tokens))

    async def _record(self, writing: Awaitable[None]) -> bool:
        """Await a write, and log when writes begin and cease to fail."""
        try:
            await writing
        except JournalError as error:
            if not self._journal_faults:
                logger.error("event=journal_failing reason=%s", error)  # noqa: TRY400 - the message says all
            self._journal_faults += 1
            return False
        if self._journal_faults:
            logger.info("event=journal_works_again failures=%d", self._journal_faults)
            self._journal_faults = 0
        return True

    async def _journal_works_again(self) -> bool:
        await asyncio.sleep(_JOURNAL_FAULTS.wait(self._journal_faults))
        return self._journal is None or await self._record(self._journal.probe())
