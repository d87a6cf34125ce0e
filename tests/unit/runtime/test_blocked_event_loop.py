"""A node that keeps the event loop is named in a warning with the time; one that awaits is not."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from exospherehost import BaseNode
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.runtimes import make_runtime, running


async def warnings(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture, node: type[BaseNode], action: str = "executed"
) -> list[logging.LogRecord]:
    """Execute one state of a node, and return the warnings about the loop."""
    state_id = service.put_state(node.__name__, identifier="the-identifier")
    async with running(make_runtime(service, node)):
        assert (await eventually(lambda: service.report_of(state_id))).action == action
    return [record for record in caplog.records if "event=event_loop_blocked" in record.getMessage()]


async def test_node_that_blocks_is_named_once(service: FakeStateManager, caplog: pytest.LogCaptureFixture) -> None:
    class Blocks(BaseNode):
        async def execute(self) -> None:
            await asyncio.sleep(0)
            time.sleep(0.3)  # noqa: ASYNC251 - that is the point
            await asyncio.sleep(0)

    (record,) = await warnings(service, caplog, Blocks)

    fields = dict(field.split("=", 1) for field in record.getMessage().split())
    assert record.levelno == logging.WARNING
    assert (fields["node"], fields["identifier"]) == ("Blocks", "the-identifier")
    assert fields["state_id"] == service.reports[0].state_id
    assert 0.3 <= float(fields["seconds"]) < 5
    assert record.__dict__["exosphere_node"] == "Blocks"
    assert record.__dict__["exosphere_state_id"] == service.reports[0].state_id


async def test_each_blocking_step_is_told(service: FakeStateManager, caplog: pytest.LogCaptureFixture) -> None:
    class BlocksTwice(BaseNode):
        async def execute(self) -> None:
            for _ in range(2):
                time.sleep(0.26)  # noqa: ASYNC251 - that is the point
                await asyncio.sleep(0)

    assert len(await warnings(service, caplog, BlocksTwice)) == 2


async def test_node_that_blocks_and_fails_is_named(service: FakeStateManager, caplog: pytest.LogCaptureFixture) -> None:
    class BlocksAndFails(BaseNode):
        async def execute(self) -> None:
            time.sleep(0.3)  # noqa: ASYNC251 - that is the point
            raise ValueError

    assert len(await warnings(service, caplog, BlocksAndFails, "errored")) == 1


async def test_blocking_in_what_it_awaits_is_the_nodes(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture
) -> None:
    async def deep() -> None:
        await asyncio.sleep(0)
        time.sleep(0.3)  # noqa: ASYNC251 - that is the point

    class Awaits(BaseNode):
        async def execute(self) -> None:
            await deep()

    assert len(await warnings(service, caplog, Awaits)) == 1


async def test_coroutine_behind_a_plain_function_is_watched_too(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        time.sleep(0.3)  # noqa: ASYNC251 - that is the point

    class Returns(BaseNode):
        def execute(self) -> Any:
            return work()

    assert len(await warnings(service, caplog, Returns)) == 1


async def test_waiting_is_no_blocking(service: FakeStateManager, caplog: pytest.LogCaptureFixture) -> None:
    class Awaits(BaseNode):
        async def execute(self) -> None:
            await asyncio.sleep(0.3)

    assert await warnings(service, caplog, Awaits) == []


async def test_plain_function_may_take_its_time(service: FakeStateManager, caplog: pytest.LogCaptureFixture) -> None:
    class Plain(BaseNode):
        def execute(self) -> None:
            time.sleep(0.3)

    assert await warnings(service, caplog, Plain) == []


async def test_node_that_waits_while_another_blocks_is_not_named(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = asyncio.Event()
    blocked = asyncio.Event()

    class Waits(BaseNode):
        async def execute(self) -> None:
            waiting.set()
            await blocked.wait()

    class Blocks(BaseNode):
        async def execute(self) -> None:
            await waiting.wait()
            time.sleep(0.3)  # noqa: ASYNC251 - that is the point
            blocked.set()

    states = [service.put_state("Waits"), service.put_state("Blocks")]
    async with running(make_runtime(service, Waits, Blocks)):
        await eventually(lambda: all(service.report_of(state_id) for state_id in states))

    assert caplog.text.count("event=event_loop_blocked node=Blocks") == 1
    assert "event=event_loop_blocked node=Waits" not in caplog.text


async def test_node_that_uses_the_name_of_its_context_for_its_own_is_named_all_the_same(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture
) -> None:
    class Blocks(BaseNode):
        async def execute(self) -> None:
            self.context = {}  # type: ignore[assignment]
            time.sleep(0.3)  # noqa: ASYNC251 - that is the point

    (record,) = await warnings(service, caplog, Blocks)

    assert record.__dict__["exosphere_identifier"] == "the-identifier"
