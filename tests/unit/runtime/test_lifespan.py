"""What nodes share is opened before the first claim and closed after the last report, whatever happens."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from exospherehost import AuthenticationError, BaseNode, ConfigurationError
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.http_service import Answer
from tests._support.nodes import Echo
from tests._support.runtimes import make_runtime, running


class Watched:
    """A lifespan that notes when it was entered and left, and what the service had seen by then."""

    def __init__(self, service: FakeStateManager) -> None:
        self.service = service
        self.entering = asyncio.Event()
        self.let_enter = asyncio.Event()
        self.let_enter.set()
        self.events: list[str] = []
        self.claims: dict[str, int] = {}
        self.reports: dict[str, list[str]] = {}
        self.error: BaseException | None = None

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Watched]:
        self.note("entering")
        self.entering.set()
        await self.let_enter.wait()
        self.note("entered")
        try:
            yield self
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.note("leaving")
            await asyncio.sleep(0)
            self.note("left")

    def note(self, event: str) -> None:
        self.events.append(event)
        self.claims[event] = len(self.service.claims)
        self.reports[event] = [report.action for report in self.service.reports]


@pytest.fixture
async def watched(service: FakeStateManager) -> Watched:
    return Watched(service)


ALL = ["entering", "entered", "leaving", "left"]


class Waits(BaseNode):
    """Waits until it is cancelled or the test says go."""

    started: asyncio.Event
    release: asyncio.Event

    async def execute(self) -> None:
        self.started.set()
        await self.release.wait()


@pytest.fixture(autouse=True)
async def fresh_waits() -> None:
    Waits.started, Waits.release = asyncio.Event(), asyncio.Event()


@pytest.mark.parametrize("form", ["async def", "def"])
async def test_nodes_share_what_it_gives(service: FakeStateManager, watched: Watched, form: str) -> None:
    shared: list[object] = []

    class Uses(BaseNode):
        async def execute(self) -> Any:
            shared.append(self.context.shared)

    class UsesPlain(BaseNode):
        def execute(self) -> Any:
            shared.append(self.context.shared)

    node = Uses if form == "async def" else UsesPlain
    states = [service.put_state(node.__name__) for _ in range(2)]
    async with running(make_runtime(service, node, lifespan=watched)):
        await eventually(lambda: all(service.report_of(state_id) for state_id in states))

    assert shared == [watched, watched]
    assert watched.events == ALL


async def test_it_is_entered_after_the_registration_and_before_the_first_claim(
    service: FakeStateManager, watched: Watched
) -> None:
    service.put_state("Echo", {"text": "x"})
    watched.let_enter.clear()

    async with running(make_runtime(service, Echo, lifespan=watched)):
        await asyncio.wait_for(watched.entering.wait(), 10)
        assert len(service.registrations) == 1
        for _ in range(10):
            await asyncio.sleep(0.005)
        watched.let_enter.set()
        await eventually(lambda: service.reports)

    assert watched.claims["entered"] == 0


async def test_it_is_left_after_the_last_report(service: FakeStateManager, watched: Watched) -> None:
    states = [service.put_state("Waits") for _ in range(3)]
    runtime = make_runtime(service, Waits, lifespan=watched)

    async with running(runtime):
        await eventually(lambda: len(service.claims) > 1 or runtime.stats().running == 3)
        runtime.stop()
        Waits.release.set()

    assert watched.reports["leaving"] == ["executed"] * len(states)
    assert watched.error is None


async def test_it_is_left_after_states_have_been_handed_back(service: FakeStateManager, watched: Watched) -> None:
    service.put_state("Waits")

    async with running(make_runtime(service, Waits, lifespan=watched, grace_period=0)):
        await asyncio.wait_for(Waits.started.wait(), 10)

    assert watched.reports["leaving"] == ["re-enqueue-after"]


async def test_it_is_left_when_the_task_is_cancelled(service: FakeStateManager, watched: Watched) -> None:
    service.put_state("Waits")
    task = make_runtime(service, Waits, lifespan=watched).start()
    assert task is not None
    await asyncio.wait_for(Waits.started.wait(), 10)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 15)

    assert watched.events == ALL
    assert watched.reports["leaving"] == ["re-enqueue-after"]


async def test_it_is_left_when_the_runtime_fails(
    service: FakeStateManager, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exospherehost._runtime.poller import Poller

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a fault of the package")

    monkeypatch.setattr(Poller, "rest", broken)

    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(make_runtime(service, Echo, lifespan=watched).run(), 15)

    assert watched.events == ALL
    assert isinstance(watched.error, ZeroDivisionError)


async def test_failure_on_entering_ends_the_run_with_it(service: FakeStateManager) -> None:
    @asynccontextmanager
    async def failing() -> AsyncIterator[None]:
        raise ConnectionRefusedError("no database")
        yield

    service.put_state("Echo", {"text": "x"})

    with pytest.raises(ConnectionRefusedError, match="no database"):
        await asyncio.wait_for(make_runtime(service, Echo, lifespan=failing).run(), 15)

    assert service.claims == []


async def test_failure_on_leaving_ends_the_run_with_it(service: FakeStateManager) -> None:
    @asynccontextmanager
    async def failing() -> AsyncIterator[None]:
        yield
        raise ConnectionResetError("cannot close")

    state_id = service.put_state("Echo", {"text": "x"})
    runtime = make_runtime(service, Echo, lifespan=failing)
    task = asyncio.ensure_future(runtime.run())
    await eventually(lambda: service.report_of(state_id))
    runtime.stop()

    with pytest.raises(ConnectionResetError, match="cannot close"):
        await asyncio.wait_for(task, 15)


async def test_it_is_not_entered_when_the_registration_is_refused(service: FakeStateManager, watched: Watched) -> None:
    service.before = lambda _: Answer(401, {"detail": "Invalid API key"})

    with pytest.raises(AuthenticationError):
        await asyncio.wait_for(make_runtime(service, Echo, lifespan=watched).run(), 15)

    assert watched.events == []


async def test_it_is_not_entered_when_it_was_stopped_before(service: FakeStateManager, watched: Watched) -> None:
    runtime = make_runtime(service, Echo, lifespan=watched)
    runtime.stop()

    await asyncio.wait_for(runtime.run(), 15)

    assert watched.events == []


async def test_stop_while_it_is_entered_leaves_it_without_a_claim(service: FakeStateManager, watched: Watched) -> None:
    service.put_state("Echo", {"text": "x"})
    watched.let_enter.clear()
    runtime = make_runtime(service, Echo, lifespan=watched)

    async with running(runtime):
        await asyncio.wait_for(watched.entering.wait(), 10)
        runtime.stop()
        watched.let_enter.set()

    assert watched.events == ALL
    assert service.claims == []


async def test_stop_does_not_wait_longer_than_the_grace_period_for_it_to_be_entered(
    service: FakeStateManager, watched: Watched
) -> None:
    watched.let_enter.clear()
    runtime = make_runtime(service, Echo, lifespan=watched, grace_period=0.05)

    async with running(runtime):
        await asyncio.wait_for(watched.entering.wait(), 10)

    assert watched.events == ["entering"]
    assert service.claims == []


async def test_cancelling_while_it_is_entered_breaks_it_off(service: FakeStateManager, watched: Watched) -> None:
    watched.let_enter.clear()
    task = make_runtime(service, Echo, lifespan=watched).start()
    assert task is not None
    await asyncio.wait_for(watched.entering.wait(), 10)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 15)

    assert watched.events == ["entering"]


async def test_each_run_enters_one_of_its_own(service: FakeStateManager, watched: Watched) -> None:
    runtime = make_runtime(service, Echo, lifespan=watched)

    for _ in range(2):
        async with running(runtime):
            await eventually(lambda: watched.events[-1:] == ["entered"])

    assert watched.events == ALL * 2


async def test_it_is_entered_and_left_in_one_task(service: FakeStateManager) -> None:
    tasks: list[object] = []
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    @asynccontextmanager
    async def noting() -> AsyncIterator[None]:
        tasks.append(asyncio.current_task())
        token = variable.set("x")
        # As task groups need it, which a lifespan may well open.
        async with asyncio.TaskGroup():
            yield
        variable.reset(token)
        tasks.append(asyncio.current_task())

    async with running(make_runtime(service, Echo, lifespan=noting)) as task:
        await eventually(lambda: service.claims)

    assert tasks == [task, task]


async def _undecorated() -> AsyncIterator[None]:
    yield None


@pytest.mark.parametrize(
    "wrong",
    [5, "lifespan", [], object(), _undecorated],
    ids=["number", "text", "list", "object", "an async generator without its decorator"],
)
def test_what_cannot_be_called_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="lifespan="):
        make_runtime("http://localhost", Echo, lifespan=wrong)


@pytest.mark.parametrize(
    "wrong",
    [lambda: None, lambda: open, lambda: iter([])],
    ids=["nothing", "no context manager", "an iterator"],
)
async def test_function_that_makes_no_context_manager_ends_the_run(
    service: FakeStateManager, wrong: Callable[[], AbstractAsyncContextManager[Any]]
) -> None:
    with pytest.raises(ConfigurationError, match="lifespan= gave a"):
        await asyncio.wait_for(make_runtime(service, Echo, lifespan=wrong).run(), 15)

    assert service.claims == []
