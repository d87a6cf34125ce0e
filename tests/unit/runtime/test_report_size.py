"""What a report has of data is measured before it is sent, and what is too large is told by its field."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from exospherehost import BaseNode, PruneSignal
from exospherehost._runtime.outcomes import output_fields, oversize, size_of
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager, Report, offering
from tests._support.http_service import Asked
from tests._support.nodes import Echo
from tests._support.runtimes import make_runtime, running

LIMIT = 1_000


@pytest.fixture
def _small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    from exospherehost._runtime import outcomes

    monkeypatch.setattr(outcomes, "MAX_REPORT_BYTES", LIMIT)


class Texts(BaseModel):
    short: str = ""
    long: str = ""


async def outcome(service: FakeStateManager, act: Callable[[], Any]) -> Report:
    class Produces(BaseNode):
        class Outputs(Texts):
            """Texts."""

        async def execute(self) -> list[Outputs]:
            return [self.Outputs(**fields) for fields in act()]

    state_id = service.put_state("Produces")
    async with running(make_runtime(service, Produces)):
        return await eventually(lambda: service.report_of(state_id))


@pytest.mark.usefixtures("_small_limit")
@pytest.mark.parametrize("text", ["x" * LIMIT, "é" * (LIMIT // 2), "\U0001f600" * (LIMIT // 4)])
async def test_outputs_of_just_the_limit_are_sent(service: FakeStateManager, text: str) -> None:
    said = await outcome(service, lambda: [{"long": text}])

    assert said.action == "executed"
    assert said.body == {"outputs": [{"short": "", "long": text}]}


@pytest.mark.usefixtures("_small_limit")
@pytest.mark.parametrize("text", ["x" * (LIMIT + 1), "é" * (LIMIT // 2) + "x", "\U0001f600" * 251])
async def test_outputs_above_the_limit_are_an_error_that_names_the_field(service: FakeStateManager, text: str) -> None:
    said = await outcome(service, lambda: [{"long": text}])

    assert said.action == "errored"
    size = len(text.encode())
    assert "the largest field is outputs[0].long" in said.body["error"]
    assert f"{size:,} bytes" in said.body["error"]
    assert f"{LIMIT:,}" in said.body["error"]
    assert "xxx" not in said.body["error"]


@pytest.mark.usefixtures("_small_limit")
async def test_several_outputs_are_measured_together(service: FakeStateManager) -> None:
    said = await outcome(service, lambda: [{"long": "x" * 400}, {"short": "x" * 100, "long": "x" * 600}])

    assert said.action == "errored"
    assert "the largest field is outputs[1].long with 600" in said.body["error"]


def prune(data: dict[str, Any]) -> Any:
    raise PruneSignal(data)


@pytest.mark.usefixtures("_small_limit")
async def test_prune_data_above_the_limit_is_an_error_that_names_the_field(service: FakeStateManager) -> None:
    said = await outcome(service, lambda: prune({"small": 1, "list": ["é" * 300, "é" * 300]}))

    assert said.action == "errored"
    assert "the pruned report cannot be delivered" in said.body["error"]
    assert "the largest field is data.list" in said.body["error"]


@pytest.mark.usefixtures("_small_limit")
async def test_prune_data_below_the_limit_is_sent(service: FakeStateManager) -> None:
    said = await outcome(service, lambda: prune({"text": "x" * (LIMIT - 1), "number": 1}))

    assert said.action == "prune"


def test_default_limit_leaves_room_in_a_document_of_16_mib() -> None:
    assert oversize([("outputs[0].a", "x" * (15 * 1024 * 1024))]) == ""
    assert "outputs[0].a" in oversize([("outputs[0].a", "x" * (15 * 1024 * 1024 + 1))])


def test_size_counts_what_is_no_text_as_json() -> None:
    assert size_of([{"a": "éé", "b": [1, 2], "c": {"k": None}}]) == 2 + len("[1, 2]") + len('{"k": null}')
    assert size_of([{"a": object()}]) == 0
    assert output_fields([{"a": "1"}, {"a": "2", "b": "3"}]) == [
        ("outputs[0].a", "1"),
        ("outputs[1].a", "2"),
        ("outputs[1].b", "3"),
    ]


# ---- several in one request ------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "expected"), [(400, [2, 2, 2]), (1_000, [1] * 6), (5_000, [1] * 6), (10, [6])])
async def test_request_has_no_more_than_so_much_data(
    service: FakeStateManager, monkeypatch: pytest.MonkeyPatch, size: int, expected: list[int]
) -> None:
    from exospherehost._runtime import reporter

    monkeypatch.setattr(reporter, "LARGEST_BATCH_SIZE", 1_000)
    service.document = offering("batch-report")
    reached, go_on = threading.Event(), threading.Event()

    def before(asked: Asked) -> None:
        if asked.path.endswith("/states/report") and not reached.is_set():
            reached.set()
            assert go_on.wait(20)

    service.before = before
    runtime = make_runtime(service, Echo)
    try:
        async with running(runtime):
            service.put_state("Echo", {"text": "first"})
            await eventually(reached.is_set)
            for _ in range(6):
                service.put_state("Echo", {"text": "x" * size})
            await eventually(lambda: runtime.stats().undelivered == 7)
            go_on.set()
            await eventually(lambda: len(service.reports) == 7)
    finally:
        go_on.set()

    assert [len(batch) for batch in service.batches] == [1, *expected]
