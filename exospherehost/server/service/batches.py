"""Several reports in one request, each taken as if it had come alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from exospherehost.server.errors import ServiceError
from exospherehost.server.records import JsonObject
from exospherehost.server.service import reports
from exospherehost.server.service.context import Context
from exospherehost.server.store import Store, UnitOfWork

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Executed:
    """A success, with its outputs."""

    outputs: Sequence[JsonObject]


@dataclass(frozen=True, slots=True)
class Errored:
    """A failure, with its error."""

    error: str


@dataclass(frozen=True, slots=True)
class Pruned:
    """A prune signal, with its data."""

    data: JsonObject


@dataclass(frozen=True, slots=True)
class Requeued:
    """A signal to run the state later, in so many milliseconds."""

    delay_ms: int


@dataclass(frozen=True, slots=True)
class Report:
    """One state's outcome."""

    state_id: str
    outcome: Executed | Errored | Pruned | Requeued


@dataclass(frozen=True, slots=True)
class Result:
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

    async def take_line(numbers: Sequence[int]) -> None:
        for number in numbers:
            results[number] = await _take_one(store, context, namespace, batch[number])

    await asyncio.gather(*map(take_line, of_state.values()))
    return [results[number] for number in range(len(batch))]


async def _take_one(store: Store, context: Context, namespace: str, report: Report) -> Result:
    try:
        return await store.write(lambda unit: _apply(unit, context, namespace, report), concerns=report.state_id)
    except ServiceError as error:
        return Result(error.status_code, detail=error.detail)
    except Exception:  # noqa: BLE001 (a report that fails must not take the others' answers with it)
        _log.exception("event=report_failed state_id=%s", report.state_id)
        return Result(500, detail="The service failed; its log says why")


def _apply(unit: UnitOfWork, context: Context, namespace: str, report: Report) -> Result:
    match report.outcome:
        case Executed(outputs):
            reports.executed(unit, context, namespace, report.state_id, outputs)
            return Result()
        case Errored(error):
            return Result(retry_created=reports.errored(unit, context, namespace, report.state_id, error))
        case Pruned(data):
            answer = reports.prune(unit, context, namespace, report.state_id, data)
            return Result(enqueue_after=answer.enqueue_after)
        case Requeued(delay_ms):
            answer = reports.requeue(unit, context, namespace, report.state_id, delay_ms)
            return Result(enqueue_after=answer.enqueue_after)
