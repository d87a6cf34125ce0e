"""A report is sent until the service has taken or refused it, and one that fails ends nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from exospherehost import BaseNode, PruneSignal
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.http_service import DROP, Answer, Asked
from tests._support.nodes import Echo, NeedsSecret
from tests._support.runtimes import make_runtime, running

NOT_QUEUED = Answer(400, {"detail": "State is not queued"})
BROKEN = Answer(500, {"success": False, "detail": "broken"})


def faults(service: FakeStateManager, action: str, *answers: Answer) -> None:
    """Answer the next requests for an action with these."""
    coming: Iterator[Answer] = iter(answers)

    def before(asked: Asked) -> Answer | None:
        return next(coming, None) if asked.path.endswith(f"/{action}") else None

    service.before = before


async def still_works(service: FakeStateManager) -> None:
    state_id = service.put_state("Echo", {"text": "after"})
    await eventually(lambda: service.report_of(state_id))


@pytest.mark.parametrize("fault", [DROP, BROKEN, Answer(503, b"busy", content_type="text/plain"), Answer(429, {})])
async def test_report_is_sent_again_after_a_transient_fault(service: FakeStateManager, fault: Answer) -> None:
    faults(service, "executed", fault, fault, fault)
    state_id = service.put_state("Echo", {"text": "x"})

    async with running(make_runtime(service, Echo)):
        await eventually(lambda: service.report_of(state_id))

    assert [path for path in service.paths() if state_id in path] == [f"/v0/namespace/ns/state/{state_id}/executed"] * 4


async def test_report_outlasts_many_failures(service: FakeStateManager, monkeypatch: pytest.MonkeyPatch) -> None:
    from exospherehost._runtime import reporter
    from exospherehost._transport.retry import Backoff

    monkeypatch.setattr(reporter, "_BACKOFF", Backoff(maximum=0.01))
    faults(service, "executed", *[BROKEN] * 40)
    state_id = service.put_state("Echo", {"text": "x"})

    async with running(make_runtime(service, Echo)):
        await eventually(lambda: service.report_of(state_id))


@pytest.mark.parametrize("fault", [DROP, BROKEN])
async def test_400_after_an_uncertain_attempt_settles_the_report(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture, fault: Answer
) -> None:
    faults(service, "executed", fault, NOT_QUEUED)
    service.put_state("Echo", {"text": "x"})

    with caplog.at_level(logging.INFO, logger="exospherehost"):
        async with running(make_runtime(service, Echo)):
            await eventually(lambda: "event=report_settled" in caplog.text)

    assert "event=report_failed" not in caplog.text
    assert len([path for path in service.paths() if path.endswith("/executed")]) == 2


async def test_400_to_the_first_attempt_is_logged_and_not_repeated(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture
) -> None:
    faults(service, "executed", NOT_QUEUED)
    service.put_state("Echo", {"text": "x"})

    async with running(make_runtime(service, Echo)):
        await eventually(lambda: "event=report_failed" in caplog.text)
        await still_works(service)

    (record,) = [record for record in caplog.records if "report_failed" in record.getMessage()]
    assert record.levelno == logging.WARNING
    assert "State is not queued" in record.getMessage()
    assert "400" in record.getMessage()


@pytest.mark.parametrize("status", [404, 409, 418, 501])
async def test_refused_report_is_logged_and_ends_nothing(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    faults(service, "executed", Answer(status, {"detail": "no"}))
    state_id = service.put_state("Echo", {"text": "x"})

    async with running(make_runtime(service, Echo)):
        await eventually(lambda: "event=report_failed" in caplog.text)
        await still_works(service)

    assert len([path for path in service.paths() if state_id in path]) == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_report_waits_for_a_key_that_is_put_right(service: FakeStateManager, status: int) -> None:
    faults(service, "executed", *[Answer(status, {"detail": "Invalid API key"})] * 2)
    state_id = service.put_state("Echo", {"text": "x"})

    async with running(make_runtime(service, Echo)):
        said = await eventually(lambda: service.report_of(state_id))

    assert said.action == "executed"


async def test_report_with_an_unreadable_answer_is_sent_again(service: FakeStateManager) -> None:
    faults(service, "executed", Answer(200, b"<p>", content_type="text/html"))
    state_id = service.put_state("Echo", {"text": "x"})

    async with running(make_runtime(service, Echo)):
        said = await eventually(lambda: service.report_of(state_id))
        await still_works(service)

    assert said.action == "executed"


@pytest.mark.parametrize("status", [413, 422])
async def test_report_that_can_never_be_taken_becomes_an_error_report(service: FakeStateManager, status: int) -> None:
    detail: Any = "too large" if status == 413 else [{"type": "t", "loc": ["body", "outputs"], "msg": "too large"}]
    faults(service, "executed", Answer(status, {"detail": detail}))
    state_id = service.put_state("Echo", {"text": "x"})

    async with running(make_runtime(service, Echo)):
        said = await eventually(lambda: service.report_of(state_id))

    assert said.action == "errored"
    assert "the executed report cannot be delivered" in said.body["error"]
    assert "too large" in said.body["error"]


def _circular() -> dict[str, Any]:
    data: dict[str, Any] = {}
    data["itself"] = data
    return data


def _deep() -> dict[str, Any]:
    data: dict[str, Any] = {}
    for _ in range(100_000):
        data = {"d": data}
    return data


UNSENDABLE = {
    "object": lambda: {"k": object()},
    "bytes": lambda: {"k": b"\xff\xfe"},
    "surrogate": lambda: {"k": "\udce9"},
    "key": lambda: {1: "x"},
    "circular": _circular,
    "deep": _deep,
}


@pytest.mark.parametrize("data", UNSENDABLE.values(), ids=UNSENDABLE)
async def test_prune_data_that_is_no_json_becomes_an_error_report(service: FakeStateManager, data: Any) -> None:
    class Prunes(BaseNode):
        async def execute(self) -> None:
            raise PruneSignal(data())

    state_id = service.put_state("Prunes")
    async with running(make_runtime(service, Prunes, Echo)):
        said = await eventually(lambda: service.report_of(state_id))
        await still_works(service)

    assert said.action == "errored"
    assert "the pruned report cannot be delivered" in said.body["error"]


async def test_output_that_utf8_cannot_hold_becomes_an_error_report(service: FakeStateManager) -> None:
    class Names(BaseNode):
        class Outputs(BaseModel):
            name: str

        async def execute(self) -> Outputs:
            return self.Outputs.model_construct(name="caf\udce9")

    state_id = service.put_state("Names")
    async with running(make_runtime(service, Names)):
        said = await eventually(lambda: service.report_of(state_id))

    assert said.action == "errored"


@pytest.mark.parametrize("status", [404, 422, 500])
async def test_secrets_that_cannot_be_read_fail_the_state(
    service: FakeStateManager, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    from exospherehost._transport import runtime_session
    from exospherehost._transport.retry import Backoff

    monkeypatch.setattr(runtime_session, "_FOR_A_CLAIMED_STATE", Backoff(attempts=2, maximum=0.01))
    faults(service, "secrets", *[Answer(status, {"detail": "no secrets"})] * 2)
    state_id = service.put_state("NeedsSecret")

    async with running(make_runtime(service, NeedsSecret, Echo)):
        said = await eventually(lambda: service.report_of(state_id))
        await still_works(service)

    assert said.action == "errored"
    assert str(status) in said.body["error"]
    assert "no secrets" in said.body["error"]


async def test_secrets_are_asked_for_again_after_a_transient_fault(service: FakeStateManager) -> None:
    service.secrets = {"token": "abc"}
    faults(service, "secrets", DROP, BROKEN)
    state_id = service.put_state("NeedsSecret")

    async with running(make_runtime(service, NeedsSecret)):
        said = await eventually(lambda: service.report_of(state_id))

    assert said.body == {"outputs": [{"length": "3"}]}


async def test_error_report_is_tried_again_too(service: FakeStateManager) -> None:
    class Failing(BaseNode):
        def execute(self) -> None:
            raise LookupError("nothing there")

    faults(service, "errored", DROP, BROKEN)
    state_id = service.put_state("Failing")

    async with running(make_runtime(service, Failing)):
        said = await eventually(lambda: service.report_of(state_id))

    assert "nothing there" in said.body["error"]


async def test_retry_after_is_waited_for(service: FakeStateManager) -> None:
    import asyncio

    faults(service, "executed", Answer(429, {"detail": "slowly"}, {"retry-after": "1"}))
    state_id = service.put_state("Echo", {"text": "x"})
    loop = asyncio.get_running_loop()

    async with running(make_runtime(service, Echo)):
        await eventually(lambda: any(path.endswith("/executed") for path in service.paths()))
        started = loop.time()
        await eventually(lambda: service.report_of(state_id))

    assert loop.time() - started > 0.9
