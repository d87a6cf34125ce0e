"""Delivers outcomes until they are acknowledged, together where the service takes them together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from exospherehost._errors import APIError, APIStatusError
from exospherehost._redaction import describe_refusal
from exospherehost._runtime import outcomes
from exospherehost._runtime.outcomes import Outcome
from exospherehost._runtime.own_tasks import start_own_task
from exospherehost._runtime.stats import Counters
from exospherehost._transport.retry import Backoff, is_transient, is_transient_status, never_reached_the_service
from exospherehost._transport.runtime_session import RuntimeSession
from exospherehost_client.extensions import BATCH_REPORT
from exospherehost_client.models import StateReportResult

logger = logging.getLogger(__name__)

LARGEST_BATCH = 256
LARGEST_BATCH_SIZE = 4 * 1024 * 1024
"""The most characters of data in one request, unless a single report has more."""

CONCURRENT_REPORTS = 64
"""How many reports of one state each are under way at once, where the carrier takes as many.

On one machine fewer carry as much, but the event loop is woken more often then, for fewer answers at a time: at 32
a state takes an eighth more processor time. With a round trip of 10 ms, 64 carry 6,400 a second.
"""
# Of the carrier's requests, for a claim and a renewal, which would wait behind reports that hang.
_KEPT_FREE = 2

MOST_UNDELIVERED_SIZE = 64 * 1024 * 1024
"""The characters of undelivered data above which workers wait."""

_BACKOFF = Backoff(initial=0.1, maximum=10.0)
_HASTY_BACKOFF = Backoff(initial=0.1, maximum=0.5)
_REJECTED = (413, 422)
# How data that is no JSON shows: RecursionError when it is deep.
_UNSERIALIZABLE = (ValueError, TypeError, RecursionError)
# Worth another try although the same request will not do: the key, or what stands before the service, may change.
_UNAUTHORISED = (401, 403)

Settled = Callable[[Sequence[str]], None]


@dataclass(slots=True, eq=False)
class _Item:
    outcome: Outcome
    since: float
    may_have_arrived: bool = False
    attempts: int = 0
    alone: bool = False


class Reporter:
    """Takes outcomes from the workers and delivers each until it is acknowledged or refused.

    Args:
        session: carries the reports.
        counters: where to count.
        capacity: the most undelivered outcomes before `submit` waits, so that memory stays bounded.
        settled: called with the ids of states whose outcomes have been acknowledged or refused, in order of that.
    """

    def __init__(self, session: RuntimeSession, counters: Counters, capacity: int, settled: Settled) -> None:
        self._session = session
        self._counters = counters
        self._capacity = capacity
        self._settled = settled
        self._queue: deque[_Item] = deque()
        self._open: dict[str, _Item] = {}
        self._size = 0
        self._took = 0.0
        self._failing = False
        self._backoff = _BACKOFF
        self._work = asyncio.Event()
        self._progress = asyncio.Event()
        self._hasty = asyncio.Event()
        self._most_lanes = min(CONCURRENT_REPORTS, session.most_requests - _KEPT_FREE)
        self._delayed: dict[_Item, asyncio.TimerHandle] = {}
        self._lanes = 0
        self._deliveries: set[asyncio.Task[None]] = set()

    # ---- what others call ----------------------------------------------------------------------

    async def submit(self, outcome: Outcome) -> None:
        """Take an outcome; waits while too many, or too large ones, are undelivered."""
        while len(self._open) >= self._capacity or self._size >= MOST_UNDELIVERED_SIZE:
            self._progress.clear()
            await self._progress.wait()
        self.submit_now(outcome)

    def submit_now(self, outcome: Outcome, *, may_have_arrived: bool = False) -> None:
        """Take an outcome whatever is undelivered: for the few that a stop, or an earlier run, leaves.

        Args:
            outcome: what became of a state.
            may_have_arrived: it may have been sent before, so that a refusal settles it.
        """
        item = _Item(outcome, time.monotonic(), may_have_arrived)
        self._open[outcome.state_id] = item
        self._size += outcome.size
        self._queue.append(item)
        self._counters.undelivered = len(self._open)
        if self._lanes < self._most_lanes:
            self._work.set()

    async def caught_up(self, within: float, backlog: int) -> None:
        """Wait while outcomes are delivered late, and more than a few wait for that.

        Args:
            within: how long after it came the last one should have been delivered, seconds.
            backlog: how many may wait all the same.
        """
        while self._took > within and len(self._open) > backlog:
            self._progress.clear()
            await self._progress.wait()

    def note_claimed(self, state_id: str) -> bool:
        """Tell whether a state that has been claimed may be executed: not while its outcome is under way.

        A state that is to be re-enqueued is claimed again only when that has arrived, which settles it.
        """
        item = self._open.get(state_id)
        if item is None:
            return True
        if item.outcome.kind != "requeued":
            return False
        self._settle([item])
        return True

    def hasten(self) -> None:
        """Wait for little between two attempts from now on: the runtime ends."""
        self._backoff = _HASTY_BACKOFF
        self._hasty.set()
        for item in list(self._delayed):
            self._resume(item)

    async def drained(self) -> None:
        """Wait until nothing is undelivered."""
        while self._open:
            self._progress.clear()
            await self._progress.wait()

    def give_up(self) -> None:
        """Log each outcome that the service has not acknowledged, before they are dropped."""
        for item in self._open.values():
            logger.error(
                "event=report_failed outcome=%s state_id=%s reason=the service did not take it in time",
                item.outcome.kind,
                item.outcome.state_id,
                extra=item.outcome.fields,
            )

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            while True:
                await self._work.wait()
                self._work.clear()
                while self._queue:
                    if not self._is_open(self._queue[0]):
                        self._queue.popleft()
                    elif not self._queue[0].alone and await self._session.offers(BATCH_REPORT):
                        await self._deliver_together(self._take())
                    elif self._lanes < self._most_lanes:
                        self._open_lane()
                        # It takes from the queue before this goes on.
                        await asyncio.sleep(0)
                    else:
                        # The lanes take what comes; there is nothing to do here until one has ended.
                        break
        finally:
            for timer in self._delayed.values():
                timer.cancel()
            for delivery in self._deliveries:
                delivery.cancel()
            await asyncio.gather(*self._deliveries, return_exceptions=True)

    # ---- together ------------------------------------------------------------------------------

    def _take(self) -> list[_Item]:
        items: list[_Item] = []
        size = 0
        while self._queue and len(items) < LARGEST_BATCH and not self._queue[0].alone:
            item = self._queue[0]
            size += item.outcome.size
            if items and size > LARGEST_BATCH_SIZE:
                break
            self._queue.popleft()
            if self._is_open(item):
                items.append(item)
        return items

    def _is_open(self, item: _Item) -> bool:
        """Tell whether an outcome is still to be delivered: a claim of its state may have settled it."""
        return self._open.get(item.outcome.state_id) is item

    async def _deliver_together(self, items: list[_Item]) -> None:
        for item in items:
            item.attempts += 1
        try:
            results = await self._session.report_together([item.outcome.report for item in items])
        except (APIError, *_UNSERIALIZABLE) as error:
            await self._together_failed(items, error)
            return
        taken: list[_Item] = []
        for item, result in zip(items, results, strict=True):
            if result.status < 300:
                taken.append(item)
                if item.outcome.kind == "errored":
                    _tell_of_retry(item.outcome, result.retry_created)
            else:
                self._judge(item, result)
        self._settle(taken)

    async def _together_failed(self, items: list[_Item], error: Exception) -> None:
        if _is_status(error, 404, 405):
            self._session.forget_extensions()
        refused = isinstance(error, APIStatusError) and not (is_transient(error) or _is_status(error, *_UNAUTHORISED))
        if refused or isinstance(error, _UNSERIALIZABLE):
            # One of them is at fault, or the service does not take them together: each for itself then.
            for item in items:
                item.attempts -= 1
                item.alone = True
            self._queue.extendleft(reversed(items))
            return
        for item in items:
            item.may_have_arrived = item.may_have_arrived or not never_reached_the_service(error)
        self._note_failure(error)
        self._counters.report_retries += len(items)
        self._queue.extendleft(reversed(items))
        # It is the service that fails, and not one of the reports: all of them wait.
        try:
            async with asyncio.timeout(self._backoff.delay_after(max(item.attempts for item in items), error)):
                await self._hasty.wait()
                await asyncio.sleep(self._backoff.initial)
        except TimeoutError:
            return

    def _judge(self, item: _Item, result: StateReportResult) -> None:
        """Deal with the service's word on an outcome that it has not taken, among others."""
        if is_transient_status(result.status):
            item.may_have_arrived = True
            self._later(item, self._backoff.wait(item.attempts))
        elif result.status in _REJECTED and item.outcome.kind != "errored":
            self._replace(item, result.detail or f"status {result.status}")
        else:
            self._refuse(item, f"status {result.status}: {result.detail or '(no text)'}", result.status)

    # ---- one by one ----------------------------------------------------------------------------

    def _open_lane(self) -> None:
        self._lanes += 1
        delivery = start_own_task(self._deliver_on(), "report")
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._lane_ended)

    def _lane_ended(self, delivery: asyncio.Task[None]) -> None:
        self._lanes -= 1
        self._deliveries.discard(delivery)
        self._work.set()
        if not delivery.cancelled() and (error := delivery.exception()) is not None:
            # What a service can answer is dealt with, so this is a fault of this package: it must be seen.
            logger.error("event=reporter_failed", exc_info=error)

    async def _deliver_on(self) -> None:
        """Deliver one by one for as long as there is something to deliver so: a task for each would cost more."""
        while self._queue and (self._queue[0].alone or not self._session.is_known_to_offer(BATCH_REPORT)):
            item = self._queue.popleft()
            if self._is_open(item):
                await self._deliver(item)

    async def _deliver(self, item: _Item) -> None:
        item.attempts += 1
        try:
            is_retried = await self._session.report(item.outcome.report)
        except _UNSERIALIZABLE as error:
            self._replace(item, describe_refusal(error, item.outcome.redactor()))
        except APIError as error:
            if _is_status(error, *_REJECTED) and item.outcome.kind != "errored":
                self._replace(item, str(error))
            elif isinstance(error, APIStatusError) and not (is_transient(error) or _is_status(error, *_UNAUTHORISED)):
                self._refuse(item, str(error), error.status_code)
            else:
                item.may_have_arrived = item.may_have_arrived or not never_reached_the_service(error)
                self._note_failure(error)
                self._later(item, self._backoff.delay_after(item.attempts, error))
        else:
            if item.outcome.kind == "errored":
                _tell_of_retry(item.outcome, is_retried)
            self._settle([item])

    # ---- what becomes of an outcome ------------------------------------------------------------

    def _later(self, item: _Item, delay: float) -> None:
        """Try again after a while, in which others are delivered."""
        self._counters.report_retries += 1
        self._delayed[item] = asyncio.get_running_loop().call_later(delay, self._resume, item)

    def _resume(self, item: _Item) -> None:
        self._delayed.pop(item).cancel()
        self._queue.append(item)
        self._work.set()

    def _replace(self, item: _Item, reason: str) -> None:
        """Report as an error what the service can never take."""
        outcome = item.outcome
        text = outcome.redactor()(f"the {outcome.kind} report cannot be delivered: {reason}")
        logger.warning(
            "event=report_replaced outcome=%s state_id=%s reason=%s",
            outcome.kind,
            outcome.state_id,
            text,
            extra=outcome.fields,
        )
        self._size -= outcome.size
        item.outcome = outcomes.errored(outcome.state_id, text, outcome.protected, outcome.fields)
        self._queue.append(item)
        self._work.set()

    def _refuse(self, item: _Item, reason: str, status: int) -> None:
        if status == 400 and item.may_have_arrived:
            # The service answers 400 to a report that it has taken before (contract, section 7).
            logger.info("event=report_settled state_id=%s", item.outcome.state_id, extra=item.outcome.fields)
            self._settle([item])
            return
        logger.warning(
            "event=report_failed outcome=%s state_id=%s reason=%s",
            item.outcome.kind,
            item.outcome.state_id,
            item.outcome.redactor()(reason),
            extra=item.outcome.fields,
        )
        self._close([item], is_refused=True)

    def _settle(self, items: Sequence[_Item]) -> None:
        self._close(items, is_refused=False)

    def _close(self, items: Sequence[_Item], *, is_refused: bool) -> None:
        # Those left out have been settled meanwhile, by a claim of their states.
        closed = [item for item in items if self._is_open(item)]
        if not closed:
            return
        for item in closed:
            del self._open[item.outcome.state_id]
            self._size -= item.outcome.size
        self._took = time.monotonic() - closed[-1].since
        for kind, count in Counter([item.outcome.kind for item in closed]).items():
            counter = "refused" if is_refused else "succeeded" if kind == "executed" else kind
            setattr(self._counters, counter, getattr(self._counters, counter) + count)
        self._counters.undelivered = len(self._open)
        if self._failing:
            self._failing = False
            logger.info("event=reports_recovered undelivered=%d", len(self._open))
        self._progress.set()
        self._settled([item.outcome.state_id for item in closed])

    def _note_failure(self, error: Exception) -> None:
        # One line when it begins and one when it ends; how often it was tried again is counted.
        if not self._failing:
            self._failing = True
            logger.warning("event=reports_failing undelivered=%d reason=%s", len(self._open), error)


def _tell_of_retry(outcome: Outcome, is_retried: bool | None) -> None:
    """Log whether a failed state is tried again, as the service said."""
    if is_retried:
        logger.info("event=state_is_retried state_id=%s", outcome.state_id, extra=outcome.fields)
    elif is_retried is not None:
        logger.warning("event=state_failed_for_good state_id=%s", outcome.state_id, extra=outcome.fields)


def _is_status(error: Exception, *statuses: int) -> bool:
    return isinstance(error, APIStatusError) and error.status_code in statuses
