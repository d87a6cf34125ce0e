"""Where the service takes outcomes together they go together, and each is dealt with for itself."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from exospherehost import BaseNode, PruneSignal, ReQueueAfterSignal, Runtime
from exospherehost._transport.retry import Backoff
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager, offering
from tests._support.http_service import DROP, Answer, Asked
from tests._support.nodes import Echo
from tests._support.runtimes import make_runtime, running

BROKEN = Answer(500, {"success": False, "detail": "broken"})


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    from exospherehost._runtime import reporter

    monkeypatch.setattr(reporter, "_BACKOFF", Backoff(initial=0.01, maximum=1.0))


@pytest.fixture
def batching(service: FakeStateManager) -> FakeStateManager:
    service.document = offering("batch-report")
    return service


class Door:
    """Keeps the first request for several reports waiting, then answers with faults before the usual."""

    def __init__(self, service: FakeStateManager, *faults: Answer) -> None:
        self.opened = threading.Event()
        self.requests = 0
        self._service = service
        self._faults: Iterator[Answer] = iter(faults)
        service.before = self._before

    def _before(self, asked: Asked) -> Answer | None:
        if not asked.path.endswith("/states/report"):
            return None
        self.requests += 1
        if self.requests == 1:
            assert self.opened.wait(20)
            return None
        return next(self._faults, None)


@asynccontextmanager
async def reporting_together(
    service: FakeStateManager, runtime: Runtime, count: int, *faults: Answer, node: str = "Echo"
) -> AsyncIterator[list[str]]:
    """Let `count` outcomes gather behind one under way; gives their ids once they may go, together."""
    door = Door(service, *faults)
    try:
        async with running(runtime):
            service.put_state("Echo", {"text": "first"})
            await eventually(lambda: door.requests == 1)
            states = [service.put_state(node, {"text": str(number)}) for number in range(count)]
            await eventually(lambda: runtime.stats().undelivered == count + 1)
            door.opened.set()
            yield states
    finally:
        door.opened.set()


def batches(service: FakeStateManager) -> list[list[str]]:
    return [[report["state_id"] for report in batch] for batch in service.batches]


def singles(service: FakeStateManager) -> list[str]:
    return [path for path in service.paths("POST") if "/state/" in path]


async def test_single_outcome_goes_at_once(batching: FakeStateManager) -> None:
    runtime = make_runtime(batching, Echo)
    states: list[str] = []
    async with running(runtime):
        for number in range(3):
            states.append(batching.put_state("Echo", {"text": str(number)}))
            await eventually(lambda: batching.report_of(states[-1]))

    assert batches(batching) == [[state_id] for state_id in states]
    assert singles(batching) == []


async def test_outcomes_that_gather_go_together(batching: FakeStateManager) -> None:
    runtime = make_runtime(batching, Echo)
    async with reporting_together(batching, runtime, 6) as states:
        await eventually(lambda: len(batching.reports) == 7)

    assert [sorted(batch) for batch in batches(batching)[1:]] == [sorted(states)]
    assert singles(batching) == []
    assert runtime.stats().succeeded == 7


async def test_service_without_the_extension_gets_them_one_by_one(service: FakeStateManager) -> None:
    service.document = offering("wait", "lease", "context")
    states = [service.put_state("Echo", {"text": str(number)}) for number in range(6)]
    async with running(make_runtime(service, Echo)):
        await eventually(lambda: len(service.reports) == len(states))

    assert service.batches == []
    assert len(singles(service)) == 6


class Outcomes(BaseNode):
    """Ends as its input says."""

    class Inputs(BaseModel):
        text: str

    class Outputs(BaseModel):
        text: str

    async def execute(self) -> list[Outputs]:
        match self.inputs.text:
            case "1":
                raise PruneSignal({"why": "old"})
            case "2":
                raise ReQueueAfterSignal(timedelta(seconds=3))
            case "3":
                raise LookupError("nothing there")
            case text:
                return [self.Outputs(text=text), self.Outputs(text="more")]


async def test_every_kind_of_outcome_goes_in_one_request(batching: FakeStateManager) -> None:
    runtime = make_runtime(batching, Echo, Outcomes)
    async with reporting_together(batching, runtime, 4, node="Outcomes") as states:
        await eventually(lambda: len(batching.reports) == 5)

    (batch,) = batching.batches[1:]
    by_id = {report.pop("state_id"): report for report in batch}
    assert by_id[states[0]] == {"executed": {"outputs": [{"text": "0"}, {"text": "more"}]}}
    assert by_id[states[1]] == {"prune": {"data": {"why": "old"}}}
    assert by_id[states[2]] == {"requeue": {"enqueue_after": 3_000}}
    assert "nothing there" in by_id[states[3]]["errored"]["error"]
    stats = runtime.stats()
    assert (stats.succeeded, stats.pruned, stats.requeued, stats.errored) == (2, 1, 1, 1)


@pytest.mark.parametrize("status", [400, 404, 409])
async def test_one_refused_result_refuses_no_other(
    batching: FakeStateManager, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    runtime = make_runtime(batching, Echo)
    async with reporting_together(batching, runtime, 4) as states:
        batching.judge = lambda report: (
            {"status": status, "detail": "it is not yours"} if report["state_id"] == states[1] else None
        )
        await eventually(lambda: not runtime.stats().undelivered)

    assert {report.state_id for report in batching.reports} >= {states[0], states[2], states[3]}
    assert batching.report_of(states[1]) is None
    assert (runtime.stats().succeeded, runtime.stats().refused) == (4, 1)
    (line,) = [record for record in caplog.records if "report_failed" in record.getMessage()]
    assert states[1] in line.getMessage()
    assert f"status {status}: it is not yours" in line.getMessage()
    assert len(batching.batches) == 2


@pytest.mark.parametrize("status", [500, 503, 429, 408])
async def test_one_that_failed_is_sent_again_and_the_others_are_settled(
    batching: FakeStateManager, status: int
) -> None:
    runtime = make_runtime(batching, Echo)
    tries: list[str] = []

    def judge(report: dict[str, Any]) -> dict[str, Any] | None:
        if report["state_id"] != states[1]:
            return None
        tries.append(report["state_id"])
        return {"status": status, "detail": "broken"} if len(tries) < 4 else None

    async with reporting_together(batching, runtime, 3) as states:
        batching.judge = judge
        await eventually(lambda: batching.report_of(states[1]))

    assert len(tries) == 4
    assert batches(batching)[2:] == [[states[1]]] * 3
    assert runtime.stats().succeeded == 4
    assert runtime.stats().report_retries == 3


async def test_400_to_one_that_had_failed_settles_it(
    batching: FakeStateManager, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = make_runtime(batching, Echo)
    statuses = iter([500, 400])

    def judge(report: dict[str, Any]) -> dict[str, Any] | None:
        return {"status": next(statuses), "detail": "not queued"} if report["state_id"] == states[0] else None

    with caplog.at_level(logging.INFO, logger="exospherehost"):
        async with reporting_together(batching, runtime, 2) as states:
            batching.judge = judge
            await eventually(lambda: not runtime.stats().undelivered)

    assert (runtime.stats().succeeded, runtime.stats().refused) == (3, 0)
    assert caplog.text.count("event=report_settled") == 1


@pytest.mark.parametrize("fault", [DROP, BROKEN, Answer(200, b"<html>", content_type="text/html")])
async def test_400_after_a_request_that_may_have_arrived_settles(
    batching: FakeStateManager, caplog: pytest.LogCaptureFixture, fault: Answer
) -> None:
    runtime = make_runtime(batching, Echo)
    async with reporting_together(batching, runtime, 3, fault) as states:
        # The service acted on all of them before its answer was lost.
        batching.judge = lambda report: (
            {"status": 400, "detail": "State is not queued"} if report["state_id"] in states else None
        )
        await eventually(lambda: not runtime.stats().undelivered)

    assert (runtime.stats().succeeded, runtime.stats().refused) == (4, 0)
    assert "event=report_failed" not in caplog.text


async def test_400_after_a_request_that_was_turned_away_is_a_refusal(batching: FakeStateManager) -> None:
    runtime = make_runtime(batching, Echo)
    async with reporting_together(batching, runtime, 2, Answer(429, {"detail": "slowly"})) as states:
        batching.judge = lambda report: (
            {"status": 400, "detail": "State is not queued"} if report["state_id"] == states[0] else None
        )
        await eventually(lambda: not runtime.stats().undelivered)

    assert (runtime.stats().succeeded, runtime.stats().refused) == (2, 1)


TRANSIENT: dict[str, Answer] = {
    "reset": DROP,
    "500": BROKEN,
    "502 HTML": Answer(502, b"<html>", content_type="text/html"),
    "520": Answer(520, b""),
    "200 HTML": Answer(200, b"<html>", content_type="text/html"),
    "429": Answer(429, {"detail": "slowly"}, {"retry-after": "0"}),
    "401": Answer(401, {"detail": "Invalid API key"}),
    "too few results": Answer(200, {"results": [{"state_id": "x", "status": 200}]}),
    "too many results": Answer(200, {"results": [{"state_id": "x", "status": 200}] * 9}),
    "no results": Answer(200, {"results": []}),
    "odd result": Answer(200, {"results": [{"status": "good"}]}),
}


@pytest.mark.parametrize("fault", TRANSIENT.values(), ids=TRANSIENT)
async def test_request_that_failed_is_sent_again(
    batching: FakeStateManager, caplog: pytest.LogCaptureFixture, fault: Answer
) -> None:
    runtime = make_runtime(batching, Echo)
    with caplog.at_level(logging.INFO, logger="exospherehost"):
        async with reporting_together(batching, runtime, 3, fault, fault) as states:
            await eventually(lambda: len(batching.reports) == 4)

    assert sorted(report.state_id for report in batching.reports[1:]) == sorted(states)
    assert singles(batching) == []
    assert runtime.stats().succeeded == 4
    assert runtime.stats().report_retries == 6
    assert caplog.text.count("event=reports_failing") == 1
    assert caplog.text.count("event=reports_recovered") == 1


async def test_retry_after_of_a_request_is_waited_for(batching: FakeStateManager) -> None:
    runtime = make_runtime(batching, Echo)
    loop = asyncio.get_running_loop()
    async with reporting_together(batching, runtime, 2, Answer(429, {}, {"retry-after": "1"})):
        await eventually(lambda: batching.paths().count("/v0/namespace/ns/states/report") == 2)
        refused = loop.time()
        await eventually(lambda: len(batching.reports) == 3)

    assert loop.time() - refused >= 0.9


NOT_TOGETHER: dict[str, Answer] = {
    "413": Answer(413, {"detail": "too large"}),
    "422": Answer(422, {"detail": [{"type": "t", "loc": ["body", "reports"], "msg": "odd"}]}),
    "400": Answer(400, {"detail": "no"}),
    "501": Answer(501, b""),
    "409": Answer(409, {"detail": "no"}),
}


@pytest.mark.parametrize("refusal", NOT_TOGETHER.values(), ids=NOT_TOGETHER)
async def test_request_that_is_refused_as_a_whole_goes_one_by_one(batching: FakeStateManager, refusal: Answer) -> None:
    runtime = make_runtime(batching, Echo)
    async with reporting_together(batching, runtime, 3, refusal) as states:
        await eventually(lambda: len(batching.reports) == 4)
        after = batching.put_state("Echo", {"text": "after"})
        await eventually(lambda: batching.report_of(after))

    assert sorted(singles(batching)) == [f"/v0/namespace/ns/state/{state_id}/executed" for state_id in sorted(states)]
    # The next are tried together again.
    assert batches(batching)[-1] == [after]
    assert runtime.stats().refused == 0


async def test_one_that_no_service_takes_becomes_an_error_and_the_others_arrive(batching: FakeStateManager) -> None:
    runtime = make_runtime(batching, Echo)
    async with reporting_together(batching, runtime, 3, NOT_TOGETHER["413"]) as states:
        together = batching.before

        def before(asked: Asked) -> Answer | None:
            return NOT_TOGETHER["413"] if asked.path.endswith(f"{states[1]}/executed") else together(asked)

        batching.before = before
        await eventually(lambda: len(batching.reports) == 4)

    actions = {report.state_id: report.action for report in batching.reports}
    assert [actions[state_id] for state_id in states] == ["executed", "errored", "executed"]


@pytest.mark.parametrize("status", [413, 422])
async def test_result_that_no_service_takes_becomes_an_error(batching: FakeStateManager, status: int) -> None:
    runtime = make_runtime(batching, Echo)
    async with reporting_together(batching, runtime, 3) as states:
        batching.judge = lambda report: (
            {"status": status, "detail": "outputs: too large"}
            if report["state_id"] == states[1] and "executed" in report
            else None
        )
        await eventually(lambda: len(batching.reports) == 4)

    said = batching.report_of(states[1])
    assert said is not None
    assert said.action == "errored"
    assert "the executed report cannot be delivered: outputs: too large" in said.body["error"]
    assert (runtime.stats().succeeded, runtime.stats().errored, runtime.stats().refused) == (3, 1, 0)


@pytest.mark.parametrize("status", [404, 405])
async def test_service_that_lacks_it_after_all_gets_them_one_by_one(batching: FakeStateManager, status: int) -> None:
    runtime = make_runtime(batching, Echo)
    documents = batching.paths("GET").count
    async with reporting_together(batching, runtime, 3, *[Answer(status, {"detail": "Not Found"})] * 9):
        batching.document = offering()
        await eventually(lambda: len(batching.reports) == 4)
        after = [batching.put_state("Echo", {"text": "after"}) for _ in range(3)]
        await eventually(lambda: all(batching.report_of(state_id) for state_id in after))

    assert documents("/openapi.json") <= 1
    assert batching.paths("GET").count("/openapi.json") == 2
    assert len(batching.batches) == 1
    assert batching.paths("POST").count("/v0/namespace/ns/states/report") == 2
    assert len(singles(batching)) == 6


async def test_outcome_that_is_no_json_holds_up_no_other(batching: FakeStateManager) -> None:
    class Mixed(Echo):
        async def execute(self) -> Echo.Outputs:
            if self.inputs.text == "1":
                raise PruneSignal({"thing": object()})
            return self.Outputs(text=self.inputs.text)

    runtime = make_runtime(batching, Echo, Mixed)
    async with reporting_together(batching, runtime, 3, node="Mixed") as states:
        await eventually(lambda: len(batching.reports) == 4)

    actions = {report.state_id: report.action for report in batching.reports}
    assert [actions[state_id] for state_id in states] == ["executed", "errored", "executed"]
    said = batching.report_of(states[1])
    assert said is not None
    assert "the pruned report cannot be delivered" in said.body["error"]


async def test_request_has_no_more_than_so_many_reports(
    batching: FakeStateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exospherehost._runtime import reporter

    monkeypatch.setattr(reporter, "LARGEST_BATCH", 3)
    runtime = make_runtime(batching, Echo)
    async with reporting_together(batching, runtime, 8):
        await eventually(lambda: len(batching.reports) == 9)

    assert [len(batch) for batch in batching.batches] == [1, 3, 3, 2]
