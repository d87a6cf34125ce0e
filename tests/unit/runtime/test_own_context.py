"""Each execution has context variables of its own: what one state's node sets, the next does not see."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from exospherehost import BaseNode, Execution
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.runtimes import make_runtime, running

NAME: ContextVar[str] = ContextVar("NAME", default="unset")


class Seen(BaseModel):
    before: str
    after: str


class Marked(BaseModel):
    mark: str

    @field_validator("mark")
    @classmethod
    def remember(cls, value: str) -> str:
        if value == "validator":
            NAME.set("set by a validator")
        return value


class OnTheLoop(BaseNode[Marked, Seen]):
    async def execute(self) -> Seen:
        before = NAME.get()
        NAME.set(self.inputs.mark)
        return Seen(before=before, after=NAME.get())


class InAThread(BaseNode[Marked, Seen]):
    def execute(self) -> Seen:
        before = NAME.get()
        NAME.set(self.inputs.mark)
        return Seen(before=before, after=NAME.get())


class OnALoopInAThread(OnTheLoop):
    execution = Execution(kind="thread")


class WithATimeout(OnTheLoop):
    execution = Execution(timeout=30)


class WhenMade(OnTheLoop):
    def __init__(self) -> None:
        if NAME.get() == "unset":
            NAME.set("set by __init__")


async def outputs(service: FakeStateManager, state_id: str) -> dict[str, Any]:
    said = await eventually(lambda: service.report_of(state_id))
    (found,) = said.body["outputs"]
    return dict(found)


@pytest.mark.parametrize("node", [OnTheLoop, InAThread, OnALoopInAThread, WithATimeout])
async def test_what_a_state_sets_the_next_does_not_see(service: FakeStateManager, node: type[BaseNode]) -> None:
    async with running(make_runtime(service, node, workers=1)):
        for mark in ("first", "second"):
            state_id = service.put_state(node.__name__, {"mark": mark})
            assert await outputs(service, state_id) == {"before": "unset", "after": mark}


async def test_neither_does_one_of_another_kind(service: FakeStateManager) -> None:
    async with running(make_runtime(service, OnTheLoop, InAThread, workers=1)):
        await outputs(service, service.put_state("OnTheLoop", {"mark": "loop"}))
        assert (await outputs(service, service.put_state("InAThread", {"mark": "x"})))["before"] == "unset"


async def test_models_and_constructors_are_part_of_an_execution(service: FakeStateManager) -> None:
    async with running(make_runtime(service, OnTheLoop, WhenMade, workers=1)):
        seen = await outputs(service, service.put_state("OnTheLoop", {"mark": "validator"}))
        assert seen["before"] == "set by a validator"
        seen = await outputs(service, service.put_state("WhenMade", {"mark": "x"}))
        assert seen["before"] == "set by __init__"
        assert (await outputs(service, service.put_state("OnTheLoop", {"mark": "x"})))["before"] == "unset"


async def test_what_was_set_before_the_runtime_began_is_seen(service: FakeStateManager) -> None:
    token = NAME.set("by the program")
    try:
        async with running(make_runtime(service, OnTheLoop, workers=1)):
            assert (await outputs(service, service.put_state("OnTheLoop", {"mark": "x"})))["before"] == "by the program"
    finally:
        NAME.reset(token)
