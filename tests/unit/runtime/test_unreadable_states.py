"""A claimed state that cannot be read takes no other with it, and is not lost."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest

from exospherehost import BaseNode
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager, offering
from tests._support.http_service import Answer, Asked
from tests._support.nodes import Echo
from tests._support.runtimes import make_runtime, running

NULL_INPUTS = {"state_id": "f" * 24, "node_name": "Echo", "identifier": "only", "inputs": None}


class Slow(BaseNode):
    """Ends when its event is set."""

    may_end: ClassVar[asyncio.Event]

    async def execute(self) -> None:
        await self.may_end.wait()


@pytest.mark.parametrize("document", [None, offering("lease", "batch-report")])
async def test_one_unreadable_state_is_reported_and_the_others_are_executed(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture, document: Any
) -> None:
    service.document = document
    good = [service.put_state("Echo", {"text": str(number)}) for number in range(3)]
    unreadable = [NULL_INPUTS, None, {"state_id": 7}]
    service.spoil_claim = lambda answer: {**answer, "states": [*unreadable, *answer["states"]]}

    async with running(make_runtime(service, Echo)):
        await eventually(lambda: all(map(service.report_of, [*good, "f" * 24])))

    assert [service.report_of(state_id).action for state_id in good] == ["executed"] * 3  # type: ignore[union-attr]
    report = service.report_of("f" * 24)
    assert report is not None
    assert report.action == "errored"
    assert "cannot read this state as the service sent it: ClaimedState is not valid: inputs: " in report.body["error"]
    assert "event=claimed_state_nameless reason='ClaimedState is not valid: " in caplog.text


async def test_what_a_claim_does_not_need_may_be_missing(service: FakeStateManager) -> None:
    state_id = service.put_state("Echo", {"text": "x"}, created_at=None, attempt="first", lease_expires_at={})
    service.spoil_claim = lambda answer: {**answer, "count": None, "namespace": 7, "status": None}

    async with running(make_runtime(service, Echo)):
        await eventually(lambda: service.report_of(state_id))

    assert service.report_of(state_id).action == "executed"  # type: ignore[union-attr]


async def test_an_answer_without_states_is_a_failed_claim(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture
) -> None:
    service.before = lambda asked: Answer(200, {"message": "hello"}) if "enqueue" in asked.path else None

    async with running(make_runtime(service, Echo)):
        await eventually(lambda: "event=claim_failing" in caplog.text)


async def test_one_unreadable_renewal_loses_no_lease(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture
) -> None:
    def before(asked: Asked) -> Answer | None:
        if not asked.path.endswith("/states/renew"):
            return None
        held = [{"state_id": each, "lease_expires_at": None} for each in asked.json["state_ids"]]
        service.renewals.append(asked.json)
        return Answer(200, {"held": [*held, None]})

    service.document = offering("lease")
    service.before = before
    Slow.may_end = asyncio.Event()
    state_id = service.put_state("Slow")

    async with running(make_runtime(service, Slow, lease=1.0)):
        await eventually(lambda: len(service.renewals) >= 2)
        Slow.may_end.set()
        await eventually(lambda: service.report_of(state_id))

    assert service.report_of(state_id).action == "executed"  # type: ignore[union-attr]
    assert "event=lease_lost" not in caplog.text
