"""The outbox: the way of every outcome to the service, with or without a journal."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from typing import Protocol

from exospherehost._runtime.holdings import Holdings
from exospherehost._runtime.journal import Journal, JournalError
from exospherehost._runtime.outcomes import Outcome, fields_of_unknown, handed_back
from exospherehost._runtime.own_tasks import start_own_task
from exospherehost._runtime.reporter import Reporter
from exospherehost._transport.retry import Backoff
from exospherehost_client.models import ClaimedState

logger = logging.getLogger(__name__)

_JOURNAL_FAULTS = Backoff(initial=0.25, maximum=30.0)


class Outbox(Protocol):
    """Where finished outcomes go."""

    async def submit(self, outcome: Outcome) -> None:
        """Take an outcome; may wait."""
        ...

    def submit_now(self, outcome: Outcome) -> None:
        """Take an outcome at once."""
        ...


class PlainOutbox:
    """Has outcomes delivered, each for the claim that holds its state.

    Args:
        reporter: delivers.
        holdings: knows the claims.
    """

    def __init__(self, reporter: Reporter, holdings: Holdings) -> None:
        self._reporter = reporter
        self._holdings = holdings

    async def submit(self, outcome: Outcome) -> None:
        """Have an outcome delivered; waits while too many are not."""
        self._address(outcome)
        await self._reporter.submit(outcome)

    def submit_now(self, outcome: Outcome) -> None:
        """Have an outcome delivered, whatever else is undelivered."""
        self._address(outcome)
        self._reporter.submit_now(outcome)

    async def recorded_claims(self, states: Iterable[ClaimedState]) -> bool:  # noqa: ARG002 - nothing is recorded
        """Return whether the claims may be executed: without a journal, all may."""
        return True

    async def is_ready(self) -> bool:
        """Return whether claims can be recorded."""
        return True

    def settled(self, state_ids: Iterable[str]) -> None:
        """Hear that outcomes have arrived."""

    async def recorded(self) -> None:
        """Wait until all outcomes that were submitted are recorded."""

    def unfinished(self) -> Iterable[asyncio.Task[None]]:
        """Return the recordings under way."""
        return ()

    def recover(self, namespace: str) -> None:
        """Deliver what an earlier run left."""

    def _address(self, outcome: Outcome) -> None:
        outcome.set_claim_token(self._holdings.tokens.get(outcome.state_id))


class JournaledOutbox(PlainOutbox):
    """Records claims and outcomes before anything is done with them, so that a crash loses neither.

    Args:
        reporter: delivers.
        holdings: knows the claims.
        journal: keeps them.
    """

    def __init__(self, reporter: Reporter, holdings: Holdings, journal: Journal) -> None:
        super().__init__(reporter, holdings)
        self._journal = journal
        self._faults = 0
        self._recordings: set[asyncio.Task[None]] = set()

    async def submit(self, outcome: Outcome) -> None:
        """Record an outcome, then have it delivered."""
        self._address(outcome)
        # Where it cannot be recorded it is delivered all the same: only a crash before that would lose it.
        await self._record(self._journal.outcome(outcome))
        await self._reporter.submit(outcome)

    def submit_now(self, outcome: Outcome) -> None:
        """Have an outcome recorded and delivered without waiting for either, when the runtime ends."""
        self._address(outcome)
        if outcome.kind == "requeued":
            self._reporter.submit_now(outcome)
            return
        # Recorded first even then: what may have been delivered is never to be handed back.
        recording = start_own_task(self._record_and_deliver(outcome), "record")
        self._recordings.add(recording)
        recording.add_done_callback(self._recordings.discard)

    async def recorded_claims(self, states: Iterable[ClaimedState]) -> bool:
        """Record claims, and return whether they may be executed: a crash would lose what is not recorded."""
        ids = [state.state_id for state in states]
        return await self._record(self._journal.claimed(ids, self._holdings.tokens))

    async def is_ready(self) -> bool:
        """Return whether claims can be recorded; after a fault the journal is tried first, less and less often."""
        if not self._faults:
            return True
        await asyncio.sleep(_JOURNAL_FAULTS.wait(self._faults))
        return await self._record(self._journal.probe())

    def settled(self, state_ids: Iterable[str]) -> None:
        """Forget what is recorded of states whose outcomes have arrived."""
        self._journal.settled(state_ids)

    async def recorded(self) -> None:
        """Wait until all outcomes that were submitted are recorded."""
        if self._recordings:
            await asyncio.wait(self._recordings)

    def unfinished(self) -> Iterable[asyncio.Task[None]]:
        """Return the recordings under way."""
        return self._recordings

    def recover(self, namespace: str) -> None:
        """Deliver what an earlier run left, and hand back what it had not finished."""
        recorded, unfinished = self._journal.left_over()
        for outcome in recorded:
            outcome.fields = fields_of_unknown(namespace, outcome.state_id)
            self._reporter.submit_now(outcome, may_have_arrived=True)
        for state_id, claim_token in unfinished.items():
            outcome = handed_back(state_id, fields_of_unknown(namespace, state_id))
            outcome.set_claim_token(claim_token)
            self._reporter.submit_now(outcome)
        if recorded or unfinished:
            logger.info("event=journal_recovered outcomes=%d unfinished=%d", len(recorded), len(unfinished))

    async def _record_and_deliver(self, outcome: Outcome) -> None:
        await self._record(self._journal.outcome(outcome))
        self._reporter.submit_now(outcome)

    async def _record(self, writing: Awaitable[None]) -> bool:
        """Await a write, and log when writes begin and cease to fail."""
        try:
            await writing
        except JournalError as error:
            if not self._faults:
                logger.error("event=journal_failing reason=%s", error)  # noqa: TRY400 - the message says all
            self._faults += 1
            return False
        if self._faults:
            logger.info("event=journal_works_again failures=%d", self._faults)
            self._faults = 0
        return True
