"""A node prunes its state, or has it run again later, by raising."""

from __future__ import annotations

import copy
import pickle
from datetime import timedelta
from typing import Any

import pytest

from exospherehost import BaseNode, ConfigurationError, PruneSignal, ReQueueAfterSignal
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager, Report
from tests._support.http_service import DROP, Answer, Asked
from tests._support.nodes import Echo
from tests._support.runtimes import make_runtime, running


async def raised(service: FakeStateManager, signal: Exception, *, plain: bool = False) -> Report:
    class Signals(BaseNode):
        async def execute(self) -> None:
            raise signal

    class PlainSignals(BaseNode):
        def execute(self) -> None:
            raise signal

    node = PlainSignals if plain else Signals
    state_id = service.put_state(node.__name__)
    async with running(make_runtime(service, node)):
        return await eventually(lambda: service.report_of(state_id))


@pytest.mark.parametrize("plain", [False, True], ids=["async def", "def"])
@pytest.mark.parametrize(
    ("signal", "data"),
    [
        (PruneSignal(), {}),
        (PruneSignal(None), {}),
        (
            PruneSignal({"reason": "duplicate", "count": [1, 2.5, None]}),
            {"reason": "duplicate", "count": [1, 2.5, None]},
        ),
    ],
)
async def test_prune(service: FakeStateManager, signal: PruneSignal, data: dict[str, Any], plain: bool) -> None:
    said = await raised(service, signal, plain=plain)

    assert (said.action, said.body) == ("prune", {"data": data})


@pytest.mark.parametrize("plain", [False, True], ids=["async def", "def"])
@pytest.mark.parametrize(
    ("delay", "milliseconds"),
    [
        (timedelta(seconds=2.5), 2_500),
        (timedelta(milliseconds=1), 1),
        (timedelta(microseconds=1), 1),
        (timedelta(days=400), 34_560_000_000),
    ],
)
async def test_requeue(service: FakeStateManager, delay: timedelta, milliseconds: int, plain: bool) -> None:
    said = await raised(service, ReQueueAfterSignal(delay), plain=plain)

    assert (said.action, said.body) == ("re-enqueue-after", {"enqueue_after": milliseconds})


@pytest.mark.parametrize("delay", [timedelta(0), timedelta(seconds=-1), 5, 2.5, None, "1s"])
def test_delay_that_is_none_is_refused(delay: Any) -> None:
    with pytest.raises(ConfigurationError, match="timedelta"):
        ReQueueAfterSignal(delay)


@pytest.mark.parametrize("signal", [PruneSignal({"a": [1]}), ReQueueAfterSignal(timedelta(seconds=3))])
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda signal: pickle.loads(pickle.dumps(signal))])
def test_signals_can_be_copied(signal: Any, copied: Any) -> None:
    other = copied(signal)

    assert type(other) is type(signal)
    assert vars(other) == vars(signal)
    assert str(other) == str(signal)


def test_data_belongs_to_the_signal() -> None:
    data = {"a": 1}
    signal = PruneSignal(data)
    data["b"] = 2

    assert signal.data == {"a": 1}
    assert PruneSignal().data is not PruneSignal().data


@pytest.mark.parametrize("signal", [PruneSignal(), ReQueueAfterSignal(timedelta(seconds=1))])
@pytest.mark.parametrize("status", [400, 404, 409, 501])
async def test_refused_signal_ends_nothing_else(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture, signal: Exception, status: int
) -> None:
    def refuse(asked: Asked) -> Answer | None:
        refused = asked.path.endswith(("/prune", "/re-enqueue-after"))
        return Answer(status, {"detail": "no"}) if refused else None

    class Signals(BaseNode):
        async def execute(self) -> None:
            raise signal

    service.before = refuse
    service.put_state("Signals")
    async with running(make_runtime(service, Signals, Echo)):
        await eventually(lambda: "event=report_failed" in caplog.text)
        after = service.put_state("Echo", {"text": "x"})
        await eventually(lambda: service.report_of(after))


async def test_signal_is_sent_again_after_a_lost_connection(service: FakeStateManager) -> None:
    lost = iter([DROP, DROP])
    service.before = lambda asked: next(lost, None) if asked.path.endswith("/prune") else None

    assert (await raised(service, PruneSignal())).action == "prune"
