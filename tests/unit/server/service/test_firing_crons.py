"""A schedule that meets another unit of work is not moved on without its run."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NoReturn
from unittest.mock import Mock

import pytest

from exospherehost.server.domain.errors import Contention
from exospherehost.server.domain.records import CronRecord
from exospherehost.server.service import crons


@pytest.mark.parametrize(("error", "is_noted"), [(Contention("in the way"), False), (ValueError("broken"), True)])
def test_contention_ends_the_unit_and_any_other_failure_the_one_schedule(
    monkeypatch: pytest.MonkeyPatch, error: Exception, is_noted: bool
) -> None:
    def fail(*_: Any) -> NoReturn:
        raise error

    monkeypatch.setattr(crons, "trigger", fail)
    unit = Mock()
    unit.nested = nullcontext
    unit.due_crons.return_value = [CronRecord(1, "space", "graph", "* * * * *", 0)]
    context = Mock()
    context.clock.now_ms.return_value = 60_000

    if is_noted:
        crons.fire_due(unit, context)
        unit.note.assert_called_once_with("cron_failed")
    else:
        with pytest.raises(Contention):
            crons.fire_due(unit, context)
