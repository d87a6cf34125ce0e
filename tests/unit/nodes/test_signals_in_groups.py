"""A signal that a TaskGroup raises is the signal; among other errors it is an error."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from pydantic import BaseModel

from exospherehost import BaseNode, PruneSignal, ReQueueAfterSignal
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.runtimes import make_runtime, running


async def prune() -> None:
    raise PruneSignal({"why": "not wanted"})


async def fail() -> None:
    raise ValueError("bad luck")


class Groups(BaseNode):
    class Inputs(BaseModel):
        how: str

    async def execute(self) -> None:
        if self.inputs.how == "nested":
            raise ExceptionGroup("outer", [ExceptionGroup("inner", [ReQueueAfterSignal(timedelta(seconds=1))])])
        async with asyncio.TaskGroup() as group:
            group.create_task(prune())
            if self.inputs.how == "mixed":
                group.create_task(fail())


@pytest.mark.parametrize(("how", "action"), [("alone", "prune"), ("nested", "re-enqueue-after"), ("mixed", "errored")])
async def test_a_signal_alone_in_a_group_is_taken_out(service: FakeStateManager, how: str, action: str) -> None:
    state_id = service.put_state("Groups", {"how": how})
    async with running(make_runtime(service, Groups)):
        report = await eventually(lambda: service.report_of(state_id))

    assert report.action == action
