"""Several reports in one request, each taken as if it had come alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from itertools import zip_longest
from typing import NamedTuple

from exospherehost.server.domain.errors import ServiceError
from exospherehost.server.domain.records import JsonObject
from exospherehost.server.domain.store import Store, UnitOfWork
from exospherehost.server.service import state_reports
from exospherehost.server.service.context import Context

logger = logging.getLogger(__name__)


class Executed(NamedTuple):
    """A success, with its outputs."""

    outputs: Sequence[JsonObject]


class Errored(NamedTuple):
    """A failure, with its error."""

    error: str


class Pruned(NamedTuple):
    """A prune signal, with its data."""

    data: JsonObject


class Requeued(NamedTuple):
    """A signal to run the state later, in so many milliseconds."""

    delay_ms: int


class Report(NamedTuple):
    """One state's outcome, and the claim that it is about; None for whichever holds the state."""

    state_id: str
    outcome: Executed | Errored | Pruned | Requeued
    claim_token: str | None = None


class Result(NamedTuple):
    """What became of a report: what its own operation would have answered.

    Attributes:
        status: The HTTP status.
        detail: Why it was refused.
        retry_created: After a failure, whether a retry was created.
        enqueue_after: After a signal, when the state is due, in epoch milliseconds.
    """

    status: int = 200
    detail: str | None = None
    retry_created: bool | None = None
    enqueue_after: int | None = None


async def take(store: Store, context: Context, namespace: str, batch: Sequence[Report]) -> list[Result]:
    """Take reports, each as a unit of its own, and return what became of each, in order.

    They wait for the writers together, and so share transactions; those about one state go one after the other.
    """
    of_state: dict[str, list[int]] = {}
    for number, report in enumerate(batch):
        of_state.setdefault(report.state_id, []).append(number)
    results: dict[int, Result] = {}
    # The first about each state, then the second about each that has one, and so on.
    for turn in zip_longest(*of_state.values()):
        numbers = [number for number in turn if number is not None]
        outcomes = await store.write_each(
            [(partial(_apply, context, namespace, batch[number]), batch[number].state_id) for number in numbers]
        )
        for number, outcome in zip(numbers, outcomes, strict=True):
            results[number] = outcome if isinstance(outcome, Result) else _failed(batch[number], outcome)
    return [results[number] for number in range(len(batch))]


def _failed(report: Report, error: BaseException) -> Result:
    if isinstance(error, ServiceError):
        return Result(error.status_code, detail=error.detail)
    if not isinstance(error, Exception):
        raise error
    logger.error("event=report_failed state_id=%s", report.state_id, exc_info=error)
    return Result(500, detail="The service failed; its log says why")


def _apply(context: Context, namespace: str, report: Report, unit: UnitOfWork) -> Result:
    target = state_reports.Target(namespace, report.state_id, report.claim_token)
    match report.outcome:
        case Executed(outputs):
            state_reports.executed(unit, context, target, outputs)
            return Result()
        case Errored(error):
            return Result(retry_created=state_reports.errored(unit, context, target, error))
        case Pruned(data):
            signal = state_reports.prune(unit, context, target, data)
            return Result(enqueue_after=signal.enqueue_after)
        case Requeued(delay_ms):
            signal = state_reports.requeue(unit, context, target, delay_ms)
            return Result(enqueue_after=signal.enqueue_after)
