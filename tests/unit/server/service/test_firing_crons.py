"""Schedules fire in units of their own: one that fails delays no other, and many leave room for other writers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NoReturn
from unittest.mock import Mock

import pytest

from exospherehost.server.domain.errors import Contention
from exospherehost.server.domain.records import CronRecord
from exospherehost.server.service import crons


class OneUnit:
    """A store of schedules on which every unit of work is the same object."""

    def __init__(self, schedules: int) -> None:
        self.unit = Mock()
        self.unit.nested = nullcontext
        self.unit.due_crons.return_value = [
            CronRecord(key, "space", f"graph {key}", "* * * * *", 0) for key in range(schedules)
        ]
        self.unit.next_cron_at.return_value = 120_000
        self.together: list[int] = []

    async def read(self, work: Callable[[Any], Any]) -> Any:
        return work(self.unit)

    async def write_each(self, units: Sequence[tuple[Callable[[Any], Any], None]]) -> list[Any]:
        self.together.append(len(units))
        outcomes: list[Any] = []
        for work, _concerns in units:
            try:
                outcomes.append(work(self.unit))
            except Exception as error:  # noqa: BLE001 - as the store returns it
                outcomes.append(error)
        return outcomes


def context() -> Mock:
    made = Mock()
    made.clock.now_ms.return_value = 60_000
    return made


@pytest.mark.parametrize(("error", "is_noted"), [(Contention("in the way"), False), (ValueError("broken"), True)])
def test_contention_ends_the_unit_and_any_other_failure_the_one_schedule(
    monkeypatch: pytest.MonkeyPatch, error: Exception, is_noted: bool
) -> None:
    def fail(*_: Any) -> NoReturn:
        raise error

    monkeypatch.setattr(crons, "trigger", fail)
    store = OneUnit(1)

    if is_noted:
        assert asyncio.run(crons.fire_due(store, context())) == 120_000  # type: ignore[arg-type]
        store.unit.note.assert_called_once_with("cron_failed")
    else:
        with pytest.raises(Contention):
            asyncio.run(crons.fire_due(store, context()))  # type: ignore[arg-type]


def test_many_that_are_due_together_are_many_units_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    fired: list[str] = []

    def trigger(_unit: Any, _context: Any, _namespace: str, graph_name: str, _start: Any) -> Mock:
        fired.append(graph_name)
        return Mock(run_id="run")

    monkeypatch.setattr(crons, "trigger", trigger)
    store = OneUnit(200)

    asyncio.run(crons.fire_due(store, context()))  # type: ignore[arg-type]

    assert sorted(fired) == sorted(f"graph {key}" for key in range(200))
    assert sum(store.together) == 200
    assert max(store.together) <= 32
