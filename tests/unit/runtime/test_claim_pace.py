"""When claims follow one another: at once where there is work, ever more rarely where there is none."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, ClassVar

import pytest

from exospherehost import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    BaseNode,
    Execution,
    NotFoundError,
    RateLimitError,
    Timeouts,
    UnprocessableEntityError,
)
from exospherehost._runtime import poller
from exospherehost._runtime.poller import FIRST_IDLE_WAIT, LONGEST_HOLD, Poller
from exospherehost._runtime.stats import Counters
from exospherehost._transport.retry import Backoff
from exospherehost_client.extensions import LEASE, WAIT
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager, offering
from tests._support.http_service import DROP, Answer, Asked
from tests._support.nodes import Echo
from tests._support.runtimes import make_runtime, running
from tests._support.stand_in import stand_in

SOME = object()
"""A state, for a poller that looks into none."""


class Clock:
    """Time that passes only when a claim takes some."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


class Service:
    """Stands for a session: gives what a test says, and records what is asked of it."""

    def __init__(self, clock: Clock, *extensions: str) -> None:
        self.extensions = extensions
        self.claims: list[tuple[int, int | None, int | None]] = []
        self.gives: list[int | APIError] = []
        self.takes = 0.001
        self._clock = clock

    async def offers(self, extension: str) -> bool:
        return extension in self.extensions

    async def claim(
        self,
        _: Sequence[str],
        batch_size: int,
        *,
        lease_ms: int | None = None,
        wait: int | None = None,
        on_unreadable: object,
    ) -> list[Any]:
        assert callable(on_unreadable)
        self.claims.append((batch_size, lease_ms, wait))
        self._clock.now += self.takes
        given = self.gives.pop(0) if self.gives else 0
        if isinstance(given, APIError):
            raise given
        return [SOME] * given


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(poller, "time", clock)
    return clock


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between claims, which take no time here."""
    waits: list[float] = []

    @asynccontextmanager
    async def timeout(seconds: float) -> AsyncIterator[None]:
        waits.append(seconds)
        raise TimeoutError
        yield

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    stand_in(monkeypatch, poller, "asyncio", timeout=timeout, sleep=sleep)
    return waits


def make_poller(service: Service, **options: Any) -> Poller:
    session: Any = service
    arguments: dict[str, Any] = {
        "batch_size": 16,
        "poll_interval": 1.0,
        "lease": None,
        "read_timeout": 30.0,
        **options,
    }
    return Poller(session, Counters(), **arguments)


async def claim(poller: Poller, times: int = 1, *, room: int = 100, may_hold: bool = True) -> None:
    for _ in range(times):
        await poller.claim(["Echo"], room, may_hold=may_hold)
        await poller.rest()


async def test_full_claims_follow_one_another_at_once(clock: Clock, waits: list[float]) -> None:
    service = Service(clock)
    service.gives = [16, 16, 16, 3]
    poller = make_poller(service)

    await claim(poller, 3)
    assert waits == []
    await claim(poller)

    assert len(waits) == 1


async def test_claim_for_the_last_room_is_full_too(clock: Clock, waits: list[float]) -> None:
    service = Service(clock)
    service.gives = [2]

    await claim(make_poller(service), room=2)

    assert service.claims == [(2, None, None)]
    assert waits == []


async def test_idle_claims_back_off_to_the_interval(clock: Clock, waits: list[float]) -> None:
    await claim(make_poller(Service(clock), poll_interval=0.5), 12)

    assert FIRST_IDLE_WAIT <= waits[0] <= 3 * FIRST_IDLE_WAIT
    # Each is twice the one before, with up to a fifth more or less by the jitter, until it is the interval.
    assert all(later / sooner >= 2 / 1.2 for sooner, later in pairwise(waits[:5]))
    assert all(later / sooner <= 2 * 1.2 for sooner, later in pairwise(waits[:5]))
    assert all(0.5 <= wait <= 0.6 for wait in waits[7:])


async def test_jitter_never_shortens_the_interval(clock: Clock, waits: list[float]) -> None:
    await claim(make_poller(Service(clock), poll_interval=0.5), 300)

    at_rest = waits[10:]
    assert min(at_rest) >= 0.5
    assert max(at_rest) <= 0.6
    assert max(at_rest) - min(at_rest) > 0.05
    assert len(set(at_rest)) > 200


async def test_interval_below_the_first_wait_is_kept(clock: Clock, waits: list[float]) -> None:
    await claim(make_poller(Service(clock), poll_interval=0.002), 5)

    assert all(0.002 <= wait <= 0.0024 for wait in waits)


async def test_found_work_starts_the_backoff_anew(clock: Clock, waits: list[float]) -> None:
    service = Service(clock)
    service.gives = [*[0] * 12, 3, 0]

    await claim(make_poller(service), 14)

    assert waits[11] >= 1.0
    assert all(wait < 3 * FIRST_IDLE_WAIT for wait in waits[12:])


async def test_hurry_ends_the_rest_at_once(clock: Clock, waits: list[float]) -> None:
    poller = make_poller(Service(clock))
    await claim(poller, 12)
    waits.clear()

    poller.hurry()
    await poller.rest()

    assert waits == []


async def test_hurry_counts_once(clock: Clock, waits: list[float]) -> None:
    poller = make_poller(Service(clock))
    poller.hurry()
    await claim(poller)

    assert len(waits) == 1


async def test_hurry_ends_a_rest_under_way(clock: Clock) -> None:
    poller = make_poller(Service(clock), poll_interval=60)
    for _ in range(14):
        await poller.claim(["Echo"], 1, may_hold=False)
    resting = asyncio.ensure_future(poller.rest())
    await asyncio.sleep(0)
    assert not resting.done()

    poller.hurry()

    await asyncio.wait_for(resting, 10)


def too_many(retry_after: float | None) -> APIError:
    return RateLimitError("slowly", status_code=429, detail="slowly", retry_after=retry_after)


async def test_retry_after_of_a_refused_claim_is_waited_for(clock: Clock, waits: list[float]) -> None:
    service = Service(clock)
    service.gives = [too_many(7.0), too_many(7.0), 0]

    await claim(make_poller(service), 3)

    assert waits[:2] == [7.0, 7.0]
    assert waits[2] < 3 * FIRST_IDLE_WAIT


async def test_hurry_does_not_press_a_service_that_fails(clock: Clock, waits: list[float]) -> None:
    service = Service(clock)
    service.gives = [too_many(5.0)]
    poller = make_poller(service)

    await poller.claim(["Echo"], 1, may_hold=False)
    poller.hurry()
    await poller.rest()

    assert waits == [5.0]


async def test_waits_of_an_outage_grow_with_full_jitter(clock: Clock, waits: list[float]) -> None:
    lost = APIConnectionError("lost", sent=True)
    service = Service(clock)
    service.gives = [lost] * 400

    await claim(make_poller(service), 400)

    assert all(0 <= wait <= 0.25 * 2**index for index, wait in enumerate(waits[:7]))
    settled = waits[20:]
    assert max(settled) <= 30.0
    assert min(settled) < 10.0
    assert max(settled) > 20.0


# ---- holding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read_timeout", "wait"), [(30.0, LONGEST_HOLD), (4.0, 2), (3.9, 1), (2.0, 1), (1.9, None), (0.2, None)]
)
@pytest.mark.usefixtures("waits")
async def test_hold_stays_within_half_the_read_timeout(clock: Clock, read_timeout: float, wait: int | None) -> None:
    service = Service(clock, WAIT)

    await claim(make_poller(service, read_timeout=read_timeout))

    assert service.claims == [(16, None, wait)]


async def test_claim_that_may_not_hold_asks_for_none(clock: Clock, waits: list[float]) -> None:
    service = Service(clock, WAIT)

    await claim(make_poller(service), 3, may_hold=False)

    assert [wait for _, _, wait in service.claims] == [None] * 3
    assert len(waits) == 3


async def test_hold_that_found_nothing_is_followed_at_once(clock: Clock, waits: list[float]) -> None:
    service = Service(clock, WAIT)
    service.takes = LONGEST_HOLD

    await claim(make_poller(service), 20)

    assert waits == []


async def test_service_that_ignores_the_preference_is_not_asked_without_a_pause(
    clock: Clock, waits: list[float]
) -> None:
    service = Service(clock, WAIT)

    await claim(make_poller(service), 12)

    assert len(waits) == 12
    assert all(wait >= 1.0 for wait in waits[9:])


async def test_hold_is_too_short_to_ask_for_is_no_busy_loop(clock: Clock, waits: list[float]) -> None:
    service = Service(clock, WAIT)

    await claim(make_poller(service, read_timeout=1.0), 12)

    assert len(waits) == 12
    assert all(wait >= 1.0 for wait in waits[9:])


@pytest.mark.parametrize(
    ("lease", "offered", "lease_ms"),
    [(60.0, True, 60_000), (1.5, True, 1_500), (60.0, False, None), (None, True, None)],
)
@pytest.mark.usefixtures("waits")
async def test_lease_is_asked_for_where_it_is_offered(
    clock: Clock, lease: float | None, offered: bool, lease_ms: int | None
) -> None:
    service = Service(clock, *([LEASE] if offered else []))
    poller = make_poller(service, lease=lease)

    brought = await poller.claim(["Echo"], 4, may_hold=True)

    assert service.claims == [(4, lease_ms, None)]
    assert brought.leased == (lease_ms is not None)


async def test_ended_poller_sends_nothing(clock: Clock) -> None:
    service = Service(clock)
    poller = make_poller(service)
    poller.end()

    assert (await poller.claim(["Echo"], 4, may_hold=True)).states == ()
    assert service.claims == []


# ---- on a socket -----------------------------------------------------------------------------------


async def test_claim_is_held_only_where_that_is_offered(service: FakeStateManager) -> None:
    service.document = offering("lease", "batch-report")
    async with running(make_runtime(service, Echo)):
        await eventually(lambda: len(service.claims) >= 3)

    assert set(service.preferences) == {""}


async def test_held_claim_starts_a_state_that_becomes_due(
    service: FakeStateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exospherehost._runtime import poller

    monkeypatch.setattr(poller, "LONGEST_HOLD", 1)
    service.document = offering("wait")
    service.holds = True
    async with running(make_runtime(service, Echo, poll_interval=60)):
        for number in range(3):
            # The service is holding one claim more than it has answered.
            await eventually(lambda: len(service.preferences) == len(service.claims) + 1)
            state_id = service.put_state("Echo", {"text": str(number)})
            await eventually(lambda state_id=state_id: service.report_of(state_id))

        assert set(service.preferences) == {"wait=1"}


async def test_report_makes_an_idle_runtime_look_at_once(
    service: FakeStateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exospherehost._runtime import poller

    monkeypatch.setattr(poller, "FIRST_IDLE_WAIT", 100.0)
    go_on = asyncio.Event()

    class First(BaseNode):
        async def execute(self) -> None:
            await go_on.wait()

    second: list[str] = []

    def next_step(asked: Asked) -> None:
        if asked.path.endswith("/executed") and not second:
            second.append(service.put_state("Echo", {"text": "x"}))

    service.before = next_step
    service.put_state("First")
    async with running(make_runtime(service, First, Echo, poll_interval=100)):
        # It found one state and had room for more, so it has looked once more and rests.
        await eventually(lambda: service.claims)
        go_on.set()
        await eventually(lambda: second and service.report_of(second[0]))


async def test_no_claim_is_held_while_a_node_is_at_its_limit(
    service: FakeStateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exospherehost._runtime import poller

    monkeypatch.setattr(poller, "LONGEST_HOLD", 1)
    go_on = asyncio.Event()

    class Limited(BaseNode):
        execution: ClassVar[Execution] = Execution(concurrency=1)

        async def execute(self) -> None:
            await go_on.wait()

    service.document = offering("wait")
    service.holds = True
    service.put_state("Limited")
    async with running(make_runtime(service, Limited, Echo)):
        await eventually(lambda: any(claim["nodes"] == ["Echo"] for claim in service.claims))
        began = len(service.preferences)
        await eventually(lambda: len(service.preferences) > began + 3)
        assert set(service.preferences[began:]) == {""}
        # A second one waits for the first, and is claimed as soon as that is over.
        second = service.put_state("Limited")
        go_on.set()
        await eventually(lambda: service.report_of(second))
        await eventually(lambda: service.preferences[-1] == "wait=1")


@pytest.mark.parametrize("workers", [1, 2])
async def test_free_worker_claims_before_its_report_is_acknowledged(service: FakeStateManager, workers: int) -> None:
    go_on = threading.Event()
    executed: list[str] = []

    class Counts(BaseNode):
        async def execute(self) -> None:
            executed.append(self.context.state_id)

    def slow(asked: Asked) -> None:
        if asked.path.endswith("/executed"):
            assert go_on.wait(20)

    service.before = slow
    states = [service.put_state("Counts") for _ in range(8)]
    try:
        async with running(make_runtime(service, Counts, workers=workers, batch_size=workers)):
            await eventually(lambda: len(executed) == len(states))
            assert service.reports == []
            go_on.set()
            await eventually(lambda: len(service.reports) == len(states))
    finally:
        go_on.set()


# ---- outages ---------------------------------------------------------------------------------------

AT_FIRST: dict[str, Answer] = {
    "reset": DROP,
    "500": Answer(500, {"success": False, "detail": "broken"}),
    "520 of a proxy": Answer(520, b"<html>", content_type="text/html"),
    "HTML with 200": Answer(200, b"<html>please wait</html>", content_type="text/html"),
    "HTML with 502": Answer(502, b"<html>", content_type="text/html"),
    "429": Answer(429, {"detail": "slowly"}, {"retry-after": "0"}),
    "truncated": Answer(200, b'{"runtime_name": "te'),
    "408": Answer(408, b""),
}


@pytest.mark.parametrize("fault", AT_FIRST.values(), ids=AT_FIRST)
async def test_registration_outlasts_an_outage(
    service: FakeStateManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: Answer
) -> None:
    from exospherehost._runtime import registration

    monkeypatch.setattr(registration, "_REGISTRATION", Backoff(initial=0.01, maximum=0.01))
    faults = iter([fault] * 4)
    service.before = lambda asked: next(faults, None) if asked.method == "PUT" else None

    with caplog.at_level(logging.INFO, logger="exospherehost"):
        async with running(make_runtime(service, Echo)):
            state_id = service.put_state("Echo", {"text": "x"})
            await eventually(lambda: service.report_of(state_id))

    assert len(service.paths("PUT")) == 5
    assert caplog.text.count("event=registration_failing") == 1
    assert caplog.text.count("event=registration_recovered") == 1


async def test_retry_after_of_a_refused_registration_is_waited_for(service: FakeStateManager) -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []

    def at_first(asked: Asked) -> Answer | None:
        if asked.method != "PUT":
            return None
        times.append(loop.time())
        return Answer(429, {"detail": "slowly"}, {"retry-after": "1"}) if len(times) == 1 else None

    service.before = at_first
    async with running(make_runtime(service, Echo)):
        await eventually(lambda: service.claims)

    assert times[1] - times[0] >= 0.9


async def test_service_that_does_not_answer_the_registration_is_asked_again(
    service: FakeStateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exospherehost._runtime import registration

    monkeypatch.setattr(registration, "_REGISTRATION", Backoff(initial=0.01, maximum=0.01))
    go_on = threading.Event()

    def silent(asked: Asked) -> None:
        if asked.method == "PUT" and len(service.paths("PUT")) == 1:
            go_on.wait(20)

    service.before = silent
    try:
        async with running(make_runtime(service, Echo, timeouts=Timeouts(read=0.2))):
            await eventually(lambda: service.claims)
    finally:
        go_on.set()

    assert len(service.paths("PUT")) == 2


REFUSALS: dict[str, tuple[Answer, type[APIError], str]] = {
    "401": (Answer(401, {"detail": "Invalid API key"}), AuthenticationError, r"EXOSPHERE_API_KEY"),
    "404": (Answer(404, {"detail": "Not Found"}), NotFoundError, r"EXOSPHERE_STATE_MANAGER_URI"),
    "422": (
        Answer(422, {"detail": [{"type": "t", "loc": ["body", "nodes"], "msg": "odd"}]}),
        UnprocessableEntityError,
        r"body\.nodes: odd",
    ),
}


@pytest.mark.parametrize(("refusal", "error", "says"), REFUSALS.values(), ids=REFUSALS)
def test_refused_registration_ends_the_start(
    service: FakeStateManager, refusal: Answer, error: type[APIError], says: str
) -> None:
    service.before = lambda asked: refusal if asked.method == "PUT" else None

    with pytest.raises(error, match=says):
        make_runtime(service, Echo).start()

    assert len(service.paths("PUT")) == 1
    assert service.claims == []
