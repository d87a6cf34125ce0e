"""What a service offers beyond the contract is read from its document, and asked for again when it proves wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from exospherehost._config import resolve_connection
from exospherehost._transport.extensions import ServiceMemory
from exospherehost._transport.httpx_carrier import HttpxCarrier
from exospherehost._transport.retry import Backoff
from exospherehost._transport.session import Session
from exospherehost_client.extensions import BATCH_REPORT, IDEMPOTENCY, LEASE, TRIGGER_STATES, WAIT
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager, offering
from tests._support.http_service import DROP, Answer, Asked
from tests._support.nodes import Echo
from tests._support.runtimes import KEY, make_runtime, running

ALL = (TRIGGER_STATES, IDEMPOTENCY, WAIT, LEASE, BATCH_REPORT)


def make_session(*uris: str, memory: ServiceMemory | None = None) -> Session:
    settings = resolve_connection(
        namespace="ns",
        state_manager_uri=",".join(uris),
        key=KEY,
        api_version="v0",
        timeouts=None,
        headers=None,
        proxy=None,
        verify=True,
        cert=None,
    )
    return Session(settings, HttpxCarrier, memory, Backoff(attempts=3, initial=0.01, maximum=0.01))


@pytest.fixture
async def session(service: FakeStateManager) -> AsyncIterator[Session]:
    async with make_session(service.uri) as session:
        yield session


def documents(service: FakeStateManager) -> int:
    """How often the document has been asked for."""
    return service.paths("GET").count("/openapi.json")


async def offered(session: Session) -> set[str]:
    return {extension for extension in ALL if await session.offers(extension)}


async def test_document_is_asked_for_once(service: FakeStateManager, session: Session) -> None:
    service.document = offering(*ALL)
    assert documents(service) == 0

    assert await offered(session) == set(ALL)
    assert await session.extensions() == set(ALL)
    assert documents(service) == 1


@pytest.mark.parametrize("extension", ALL)
async def test_each_is_told_from_the_others(service: FakeStateManager, session: Session, extension: str) -> None:
    service.document = offering(extension)

    assert await offered(session) == {extension}


PLACES: dict[str, Any] = {
    "operation": {"paths": {"/a": {"post": {"operationId": "o", "x-exosphere-extension": LEASE}}}},
    "property": {"components": {"schemas": {"S": {"properties": {"p": {"x-exosphere-extension": LEASE}}}}}},
    "parameter": {"paths": {"/a": {"parameters": [{"name": "x"}, {"name": "p", "x-exosphere-extension": LEASE}]}}},
}


@pytest.mark.parametrize("document", PLACES.values(), ids=PLACES)
async def test_mark_counts_wherever_it_stands(service: FakeStateManager, session: Session, document: Any) -> None:
    service.document = document

    assert await offered(session) == {LEASE}


NONE: dict[str, Answer] = {
    "404": Answer(404, {"detail": "Not Found"}),
    "no JSON": Answer(200, b"<html>", content_type="text/html"),
    "nothing": Answer(200, b""),
    "a list": Answer(200, []),
    "a document without": Answer(200, {"openapi": "3.1.0", "paths": {}}),
    "an odd mark": Answer(200, {"x-exosphere-extension": ["lease"]}),
    "a redirect": Answer(302, b"", {"location": "/docs"}),
    "deep": Answer(200, b"[" * 100_000 + b"]" * 100_000),
}


@pytest.mark.parametrize("answer", NONE.values(), ids=NONE)
async def test_answer_that_says_nothing_means_none_and_is_remembered(
    service: FakeStateManager, session: Session, answer: Answer
) -> None:
    service.before = lambda asked: answer if asked.path == "/openapi.json" else None

    assert await offered(session) == set()
    assert await session.extensions() == set()
    assert documents(service) == 1


PASSING: dict[str, Answer] = {
    "reset": DROP,
    "500": Answer(500, b"broken"),
    "503": Answer(503, b"<html>", content_type="text/html"),
    "429": Answer(429, b""),
    "401": Answer(401, {"detail": "Invalid API key"}),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
async def test_fault_that_may_pass_is_not_remembered(
    service: FakeStateManager, session: Session, monkeypatch: pytest.MonkeyPatch, fault: Answer
) -> None:
    from exospherehost._transport import session as session_module

    service.document = offering(LEASE)
    failing = True
    service.before = lambda asked: fault if failing and asked.path == "/openapi.json" else None

    # Work goes on without them meanwhile, and asks no more than now and then.
    assert await offered(session) == set()
    assert documents(service) == 1
    failing = False
    assert await offered(session) == set()
    assert documents(service) == 1

    monkeypatch.setattr(session_module, "ASK_AGAIN_SECONDS", 0.0)
    assert await offered(session) == {LEASE}
    assert documents(service) == 2


async def test_runtime_asks_again_when_it_could_not_learn_them(
    service: FakeStateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exospherehost._transport import session as session_module

    monkeypatch.setattr(session_module, "ASK_AGAIN_SECONDS", 0.0)
    service.document = offering(LEASE)
    failing = True
    service.before = lambda asked: DROP if failing and asked.path == "/openapi.json" else None
    async with running(make_runtime(service, Echo)):
        state_id = service.put_state("Echo", {"text": "x"})
        await eventually(lambda: service.report_of(state_id))
        assert not any("lease_ms" in body for body in service.claims)
        failing = False
        await eventually(lambda: "lease_ms" in service.claims[-1])


async def test_runtime_knows_them_before_its_first_claim(service: FakeStateManager) -> None:
    service.document = offering(LEASE, WAIT)
    faults = iter([DROP, Answer(503, b"")])
    service.before = lambda asked: next(faults, None) if asked.path == "/openapi.json" else None
    async with running(make_runtime(service, Echo, lease=5)):
        await eventually(lambda: service.claims)

    assert service.claims[0]["lease_ms"] == 5_000
    assert service.preferences[0] == "wait=2"
    assert documents(service) == 3


async def test_forgotten_extensions_are_asked_for_again(service: FakeStateManager, session: Session) -> None:
    service.document = offering(LEASE)
    assert await offered(session) == {LEASE}

    service.document = offering(BATCH_REPORT)
    assert await offered(session) == {LEASE}
    session.forget_extensions()

    assert await offered(session) == {BATCH_REPORT}
    assert documents(service) == 2


async def test_every_service_has_extensions_of_its_own() -> None:
    with FakeStateManager() as first, FakeStateManager() as second:
        first.document, second.document = offering(LEASE), offering(WAIT)
        memory = ServiceMemory()
        async with make_session(first.uri, second.uri, memory=memory) as session:
            assert await offered(session) == {LEASE}
            memory.current = 1
            assert await offered(session) == {WAIT}
            memory.current = 0
            assert await offered(session) == {LEASE}

        assert (documents(first), documents(second)) == (1, 1)


async def test_what_is_known_outlives_a_session(service: FakeStateManager) -> None:
    service.document = offering(LEASE)
    memory = ServiceMemory()
    for _ in range(3):
        async with make_session(service.uri, memory=memory) as session:
            assert await offered(session) == {LEASE}

    assert documents(service) == 1


async def test_service_that_answers_a_claim_of_unknown_fields_is_not_sent_them(service: FakeStateManager) -> None:
    def strict(asked: Asked) -> Answer | None:
        if asked.path.endswith("/enqueue") and set(asked.json) != {"nodes", "batch_size"}:
            return Answer(422, {"detail": [{"type": "t", "loc": ["body"], "msg": "unknown field"}]})
        return None

    service.before = strict
    async with running(make_runtime(service, Echo)):
        state_id = service.put_state("Echo", {"text": "x"})
        await eventually(lambda: service.report_of(state_id))
