"""Firing the schedules of graphs."""

from __future__ import annotations

import logging

from exospherehost._rules import cron
from exospherehost.server.domain.clock import as_datetime, as_epoch_ms
from exospherehost.server.domain.errors import Contention, ServiceError
from exospherehost.server.domain.store import UnitOfWork
from exospherehost.server.service.context import Context
from exospherehost.server.service.triggers import Start, trigger

logger = logging.getLogger(__name__)


def fire_due(unit: UnitOfWork, context: Context) -> int | None:
    """Start a run for each schedule that is due, and return when the next one is (epoch milliseconds).

    However many occurrences of a schedule were missed, it fires once. Moving it on and starting the run are one
    unit, so a crash neither loses nor doubles a run.
    """
    now_ms = context.clock.now_ms()
    for due in unit.due_crons(now_ms):
        following = cron.next_after(due.expression, as_datetime(now_ms))
        if not unit.advance_cron(due, None if following is None else as_epoch_ms(following)):
            continue
        try:
            with unit.nested():
                run = trigger(unit, context, due.namespace, due.graph_name, Start())
        except Contention:
            # Another was in its way: the whole is tried again, and the schedule not moved on without its run.
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
    return unit.next_cron_at()
