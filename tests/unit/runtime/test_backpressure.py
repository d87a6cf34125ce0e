"""A service that takes no reports stops the workers before memory grows, and loses nothing by it."""

from __future__ import annotations

import time

import pytest

from exospherehost import BaseNode, Runtime
from exospherehost._transport.retry import Backoff
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager, offering
from tests._support.http_service import DROP, Answer, Asked
from tests._support.nodes import Echo
from tests._support.runtimes import make_runtime, running

STATES = 60


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    from exospherehost._runtime import reporter

    monkeypatch.setattr(reporter, "_BACKOFF", Backoff(initial=0.01, maximum=0.05))


class Closed:
    """Takes no report until it is opened, and watches what the runtime holds meanwhile."""

    def __init__(self, service: FakeStateManager) -> None:
        self.open = False
        self.runtime: Runtime | None = None
        self.most_undelivered = 0
        self.most_held = 0
        self.refused = 0
        service.before = self._before

    def _before(self, asked: Asked) -> Answer | None:
        if self.runtime is not None:
            stats = self.runtime.stats()
            self.most_undelivered = max(self.most_undelivered, stats.undelivered)
            self.most_held = max(self.most_held, stats.undelivered + stats.running + stats.waiting)
        if self.open or not ("/state/" in asked.path or asked.path.endswith("/states/report")):
            return None
        self.refused += 1
        return DROP


def node(executed: list[str]) -> type[BaseNode]:
    class Counts(Echo):
        async def execute(self) -> Echo.Outputs:
            executed.append(self.context.state_id)
            return self.Outputs(text=self.inputs.text)

    return Counts


async def stuck(closed: Closed, executed: list[str]) -> int:
    """Wait until nothing more is executed although there is work; returns how many were."""
    while True:
        count, refused = len(executed), closed.refused
        await eventually(lambda refused=refused: closed.refused > refused + 60)
        if count and len(executed) == count:
            return count


@pytest.mark.parametrize("extensions", [(), ("batch-report",)], ids=["one by one", "together"])
async def test_workers_wait_while_too_many_outcomes_are_undelivered(
    service: FakeStateManager, monkeypatch: pytest.MonkeyPatch, extensions: tuple[str, ...]
) -> None:
    from exospherehost._runtime import coordinator

    monkeypatch.setattr(coordinator, "MOST_UNDELIVERED_PER_WORKER", 3)
    service.document = offering(*extensions)
    executed: list[str] = []
    closed = Closed(service)
    states = [service.put_state("Counts", {"text": "x"}) for _ in range(STATES)]
    runtime = closed.runtime = make_runtime(service, node(executed), workers=2, batch_size=8)
    async with running(runtime):
        await eventually(lambda: runtime.stats().undelivered >= 6)
        if extensions:
            # One request at a time carries all that is undelivered.
            await eventually(lambda: closed.refused > 10)
            count = len(executed)
        else:
            count = await stuck(closed, executed)
        # Two workers wait with one outcome each, beside six undelivered ones.
        assert count == 8
        assert runtime.stats().running == 2
        assert len(service._waiting) >= STATES - count - 8
        closed.open = True
        await eventually(lambda: len(service.reports) == STATES)

    assert sorted(report.state_id for report in service.reports) == states
    assert closed.most_undelivered <= 6
    assert closed.most_held <= 6 + 2 + 8
    assert sorted(executed) == states


async def test_workers_wait_while_too_much_data_is_undelivered(
    service: FakeStateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exospherehost._runtime import reporter

    monkeypatch.setattr(reporter, "MOST_UNDELIVERED_SIZE", 10_000)
    executed: list[str] = []
    closed = Closed(service)
    states = [service.put_state("Counts", {"text": "x" * 4_000}) for _ in range(20)]
    runtime = closed.runtime = make_runtime(service, node(executed), workers=1, batch_size=4)
    async with running(runtime):
        assert await stuck(closed, executed) == 4
        assert runtime.stats().undelivered == 3
        closed.open = True
        await eventually(lambda: len(service.reports) == len(states))

    assert closed.most_undelivered <= 3
    assert sorted(report.state_id for report in service.reports) == states


async def test_64_outcomes_of_each_worker_may_be_undelivered(service: FakeStateManager) -> None:
    executed: list[str] = []
    closed = Closed(service)
    for _ in range(100):
        service.put_state("Counts", {"text": "x"})
    runtime = closed.runtime = make_runtime(service, node(executed), workers=1)
    async with running(runtime):
        assert await stuck(closed, executed) == 64 + 1
        assert runtime.stats().undelivered == 64
        closed.open = True
        await eventually(lambda: len(service.reports) == 100)


@pytest.mark.parametrize("extensions", [("lease",), ("lease", "batch-report")], ids=["one by one", "together"])
async def test_nothing_is_claimed_while_reports_take_a_good_part_of_a_lease(
    service: FakeStateManager, extensions: tuple[str, ...]
) -> None:
    """Else all leases of what waits would have to be renewed, which slows the reports down further."""
    service.document = offering(*extensions)
    executed: list[str] = []
    undelivered: list[int] = []

    def slow(asked: Asked) -> Answer | None:
        if asked.path.endswith(("/executed", "/states/report")):
            # More than a third of the lease.
            time.sleep(0.6)
        elif asked.path.endswith("/states/enqueue") and len(executed) > 2 * 64:
            undelivered.append(runtime.stats().undelivered)
        return None

    for _ in range(300):
        service.put_state("Counts", {"text": "x"})
    runtime = make_runtime(service, node(executed), workers=2, batch_size=8, lease=1.5)
    service.before = slow
    async with running(runtime):
        await eventually(lambda: len(executed) > 200, 60)
    # Some that had been claimed may have been executed while the claim was on its way.
    assert undelivered
    assert max(undelivered[1:]) < 20
