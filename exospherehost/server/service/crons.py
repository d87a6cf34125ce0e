"""Firing the schedules of graphs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from exospherehost._rules import cron
from exospherehost.server.domain.clock import as_datetime, as_epoch_ms
from exospherehost.server.domain.errors import Contention, ServiceError
from exospherehost.server.domain.records import CronRecord
from exospherehost.server.domain.store import Store, UnitOfWork
from exospherehost.server.service.context import Context
from exospherehost.server.service.triggers import Start, trigger

logger = logging.getLogger(__name__)

_FIRED_AT_ONCE = 32


async def fire_due(store: Store, context: Context) -> int | None:
    """Start a run for each schedule that is due, and return when the next one is (epoch milliseconds).

    A schedule fires once, however many of its occurrences were missed. Each is a unit of work of its own, a few at a
    time: many that are due together do not keep others from writing.
    """
    now_ms = context.clock.now_ms()
    due = await store.read(lambda reader: reader.due_crons(now_ms))
    for start in range(0, len(due), _FIRED_AT_ONCE):
        some = due[start : start + _FIRED_AT_ONCE]
        following = await asyncio.to_thread(_following, some, now_ms)
        units = [
            (partial(_fire, context=context, due=each, next_at=at), None)
            for each, at in zip(some, following, strict=True)
        ]
        for outcome in await store.write_each(units):
            if outcome is not None:
                raise outcome
    return await store.read(lambda reader: reader.next_cron_at())


def _following(due: Sequence[CronRecord], now_ms: int) -> list[int | None]:
    """Return when each schedule fires next, in epoch milliseconds; None for never again."""
    found = [cron.next_after(each.expression, as_datetime(now_ms)) for each in due]
    return [None if at is None else as_epoch_ms(at) for at in found]


def _fire(unit: UnitOfWork, *, context: Context, due: CronRecord, next_at: int | None) -> None:
    """Move a schedule on and start its run, in one unit: a crash neither loses nor doubles a run."""
    if not unit.advance_cron(due, next_at):
        return
    try:
        with unit.nested():
            run = trigger(unit, context, due.namespace, due.graph_name, Start())
    except Contention:
        # The unit is tried again as a whole: the schedule must not move on without its run.
        raise
    except Exception as error:
        unit.note("cron_failed")
        logger.error(  # noqa: TRY400 - a refusal is explained by its text
            "event=cron_failed namespace=%s graph=%s expression=%s reason=%s",
            due.namespace,
            due.graph_name,
            due.expression,
            error.detail if isinstance(error, ServiceError) else repr(error),
            exc_info=not isinstance(error, ServiceError),
        )
    else:
        unit.note("cron_fired")
        logger.info(
            "event=cron_fired namespace=%s graph=%s expression=%s run_id=%s",
            due.namespace,
            due.graph_name,
            due.expression,
            run.run_id,
        )
