"""A trigger is sent again only where that cannot start a second run."""

from __future__ import annotations

import socket
import uuid
from typing import Any

import pytest

from exospherehost import (
    APIConnectionError,
    APIError,
    ServerFailureError,
    StateManager,
    Timeouts,
    TriggerOutcomeUnknownError,
    TriggerState,
)
from exospherehost._config import resolve_connection
from exospherehost._transport.manager_session import ManagerSession
from exospherehost._transport.retry import Backoff
from exospherehost_client import models
from exospherehost_client.types import RawResponse
from tests._support.fake_state_manager import FakeStateManager
from tests._support.http_service import DROP, Answer, Asked
from tests._support.runtimes import KEY

IDEMPOTENT = {
    "paths": {
        "/t": {
            "parameters": [{"name": "Idempotency-Key", "x-exosphere-extension": "idempotency"}],
            "x-exosphere-extension": "trigger-states",
        }
    }
}
BROKEN = Answer(500, {"success": False, "detail": "broken"})
ONE = TriggerState(identifier="a")

pytestmark = pytest.mark.usefixtures("carrier")


@pytest.fixture
def manager(service: FakeStateManager) -> StateManager:
    return StateManager("ns", service.uri, KEY)


def faults(service: FakeStateManager, *answers: Answer) -> None:
    coming = iter(answers)

    def before(asked: Asked) -> Answer | None:
        return next(coming, None) if asked.path.endswith("/trigger") else None

    service.before = before


def keys(service: FakeStateManager) -> list[str | None]:
    return [
        {name.lower(): value for name, value in asked.headers.items()}.get("idempotency-key")
        for asked in service.asked
        if asked.path.endswith("/trigger")
    ]


@pytest.mark.parametrize("arguments", [{"inputs": {}}, {"inputs": {}, "idempotency_key": "mine"}])
async def test_lost_connection_says_that_the_run_may_exist(
    service: FakeStateManager, manager: StateManager, arguments: dict[str, Any]
) -> None:
    faults(service, DROP)

    with pytest.raises(TriggerOutcomeUnknownError, match=r"'g' may exist") as caught:
        await manager.trigger("g", **arguments)

    assert isinstance(caught.value, APIError)
    assert isinstance(caught.value.__cause__, APIConnectionError)
    assert len(keys(service)) == 1


async def test_no_answer_in_time_says_so_too(service: FakeStateManager) -> None:
    import threading

    go_on = threading.Event()

    def late(asked: Asked) -> None:
        if asked.path.endswith("/trigger"):
            go_on.wait(20)

    service.before = late
    manager = StateManager("ns", service.uri, KEY, timeouts=Timeouts(read=0.2))

    try:
        with pytest.raises(TriggerOutcomeUnknownError):
            await manager.trigger("g", inputs={})
    finally:
        go_on.set()

    assert len(keys(service)) == 1


async def test_server_failure_is_not_sent_again_either(service: FakeStateManager, manager: StateManager) -> None:
    faults(service, BROKEN)

    with pytest.raises(ServerFailureError):
        await manager.trigger("g", inputs={})

    assert len(keys(service)) == 1


async def test_429_is_sent_again(service: FakeStateManager, manager: StateManager) -> None:
    faults(service, Answer(429, {"detail": "wait"}), Answer(429, {"detail": "wait"}))

    assert (await manager.trigger("g", inputs={}))["status"] == "CREATED"
    assert len(service.triggers) == 1


async def test_refused_connection_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[int] = []

    def at_once(_self: Backoff, attempt: int, *_: object) -> float | None:
        attempts.append(attempt)
        return 0.0 if attempt < 5 else None

    monkeypatch.setattr(Backoff, "delay", at_once)
    manager = StateManager("ns", f"http://127.0.0.1:{_closed_port()}", KEY)
    with pytest.raises(APIConnectionError) as caught:
        await manager.trigger("g", inputs={})

    # First the document is asked for, then the trigger is sent.
    assert attempts == [1, 2, 3, 4, 5] * 2
    assert not caught.value.sent
    assert not isinstance(caught.value, TriggerOutcomeUnknownError)


def _closed_port() -> int:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port: int = reserved.getsockname()[1]
        return port


@pytest.mark.parametrize("fault", [DROP, BROKEN])
@pytest.mark.parametrize("arguments", [{"inputs": {}}, {"state": ONE}, {"states": [ONE, ONE]}])
async def test_with_idempotency_the_same_key_is_sent_again(
    service: FakeStateManager, manager: StateManager, fault: Answer, arguments: dict[str, Any]
) -> None:
    service.document = IDEMPOTENT
    faults(service, fault, fault)

    await manager.trigger("g", **arguments)

    sent = keys(service)
    assert len(sent) == 3
    assert len(set(sent)) == 1
    assert uuid.UUID(sent[0])


async def test_every_call_has_a_key_of_its_own(service: FakeStateManager, manager: StateManager) -> None:
    service.document = IDEMPOTENT

    for _ in range(3):
        await manager.trigger("g", inputs={})

    assert len(set(keys(service))) == 3


async def test_key_of_the_caller_is_sent(service: FakeStateManager, manager: StateManager) -> None:
    service.document = IDEMPOTENT
    faults(service, DROP)

    await manager.trigger("g", inputs={}, idempotency_key="order-17")

    assert keys(service) == ["order-17", "order-17"]


async def test_key_of_the_caller_is_sent_to_a_service_that_may_ignore_it(
    service: FakeStateManager, manager: StateManager
) -> None:
    await manager.trigger("g", inputs={}, idempotency_key="order-17")

    assert keys(service) == ["order-17"]


async def test_no_key_is_made_where_none_is_honoured(service: FakeStateManager, manager: StateManager) -> None:
    await manager.trigger("g", inputs={})

    assert keys(service) == [None]


async def test_outcome_stays_unknown_when_no_attempt_gets_through(
    service: FakeStateManager, manager: StateManager
) -> None:
    service.document = IDEMPOTENT
    faults(service, *[DROP] * 20)

    with pytest.raises(TriggerOutcomeUnknownError):
        await manager.trigger("g", inputs={})

    assert 1 < len(keys(service)) <= 5
    assert len(set(keys(service))) == 1


async def test_what_an_earlier_attempt_has_sent_is_not_forgotten() -> None:
    failures = [APIConnectionError("lost", sent=True), *[APIConnectionError("refused", sent=False)] * 2]

    class Fails:
        most_requests = 8

        async def send(self, _request: object) -> RawResponse:
            raise failures.pop(0)

        async def aclose(self) -> None:
            """Nothing is open."""

    settings = resolve_connection(
        namespace="ns", state_manager_uri="http://127.0.0.1:9", key=KEY, api_version="v0", timeouts=1.0
    )
    session = ManagerSession(settings, lambda *_: Fails(), backoff=Backoff(initial=0.001, attempts=3))

    with pytest.raises(TriggerOutcomeUnknownError):
        await session.trigger_graph("g", models.TriggerGraphRequest(), idempotency_key="k", is_honoured=True)

    assert failures == []
