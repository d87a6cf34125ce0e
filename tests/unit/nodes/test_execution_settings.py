"""How a node is executed is declared on its class, checked, inherited and followed."""

from __future__ import annotations

import asyncio
import contextvars
import math
import threading
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from pydantic import BaseModel

from exospherehost import BaseNode, ConfigurationError, Execution
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager, Report
from tests._support.nodes import Echo
from tests._support.runtimes import make_runtime, running

URI = "http://localhost"


class Out(BaseModel):
    text: str


async def report(service: FakeStateManager, node: type[BaseNode]) -> Report:
    """Execute one state and return what was reported of it."""
    state_id = service.put_state(node.__name__)
    async with running(make_runtime(service, node)):
        return await eventually(lambda: service.report_of(state_id))


# ---- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0, -1, -0.5, math.nan, math.inf, 1e300, "5", True, [5]], ids=repr)
def test_timeout_that_is_no_time_is_refused(timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"timeout=.* is not a number of seconds"):
        Execution(timeout=timeout)


@pytest.mark.parametrize("concurrency", [0, -1, 1.5, 2.0, "5", True], ids=repr)
def test_concurrency_that_is_no_count_is_refused(concurrency: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"concurrency=.* is not a whole number of at least 1"):
        Execution(concurrency=concurrency)


@pytest.mark.parametrize("kind", ["", "Process", "async", None, 1, ["thread"]], ids=repr)
def test_kind_that_does_not_exist_is_refused(kind: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"kind=.* is not one of auto, thread, process"):
        Execution(kind=kind)


@pytest.mark.parametrize("values", [{}, {"timeout": 0.001}, {"timeout": 86_400}, {"concurrency": 1}, {"kind": "auto"}])
def test_good_values_are_kept(values: dict[str, Any]) -> None:
    kept = Execution(**values)

    assert (kept.timeout, kept.concurrency, kept.kind) == (
        values.get("timeout"),
        values.get("concurrency"),
        values.get("kind", "auto"),
    )


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Execution().timeout = 5  # type: ignore[misc]


def test_changed_copy_is_checked() -> None:
    with pytest.raises(ConfigurationError, match="concurrency=0"):
        replace(Execution(timeout=5), concurrency=0)


# ---- on the class --------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [None, 5, {"timeout": 5}, Execution, "process"], ids=repr)
def test_other_than_settings_is_refused_with_the_nodes_name(wrong: object) -> None:
    node = type("Odd", (Echo,), {"execution": wrong})

    with pytest.raises(ConfigurationError, match=r"Odd\.execution is a .*Execution\(\.\.\.\)"):
        make_runtime(URI, node)


def test_settings_are_inherited_and_replaced() -> None:
    class Parent(Echo):
        execution = Execution(timeout=5, concurrency=2)

    class Child(Parent):
        pass

    class Other(Parent):
        execution = replace(Parent.execution, concurrency=None, kind="thread")

    make_runtime(URI, Parent, Child, Other)

    assert Child.execution is Parent.execution
    assert Other.execution == Execution(timeout=5, kind="thread")
    assert Parent.execution == Execution(timeout=5, concurrency=2)
    assert Echo.execution == Execution()


async def test_inherited_settings_are_followed(service: FakeStateManager) -> None:
    class Parent(BaseNode):
        execution = Execution(timeout=0.02)

        async def execute(self) -> None:
            await asyncio.Event().wait()

    class Child(Parent):
        pass

    assert "Child ran longer than its timeout of 0.02 s" in (await report(service, Child)).body["error"]


async def test_replaced_settings_are_followed(service: FakeStateManager) -> None:
    class Parent(BaseNode[Any, Out]):
        execution = Execution(kind="thread")

        async def execute(self) -> Out:
            return Out(text=threading.current_thread().name)

    class Child(Parent):
        execution = Execution()

    assert (await report(service, Child)).body["outputs"] == [{"text": threading.current_thread().name}]


# ---- in a thread ---------------------------------------------------------------------------------


async def test_coroutine_in_a_thread_has_a_loop_of_its_own(service: FakeStateManager) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    class InThread(BaseNode[Any, Out]):
        execution = Execution(kind="thread")

        async def execute(self) -> Out:
            loops.append(asyncio.get_running_loop())
            await asyncio.sleep(0)
            return Out(text=threading.current_thread().name)

    said = await report(service, InThread)

    assert said.body["outputs"][0]["text"].startswith("exospherehost-test-runtime")
    assert loops[0] is not asyncio.get_running_loop()
    assert loops[0].is_closed()


async def test_plain_function_of_kind_thread_runs_in_a_thread(service: FakeStateManager) -> None:
    class InThread(BaseNode[Any, Out]):
        execution = Execution(kind="thread")

        def execute(self) -> Out:
            return Out(text=threading.current_thread().name)

    assert (await report(service, InThread)).body["outputs"][0]["text"].startswith("exospherehost-test-runtime")


async def test_coroutine_that_blocks_its_own_thread_holds_up_nobody(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()

    class Blocks(BaseNode):
        execution = Execution(kind="thread")

        async def execute(self) -> None:
            assert release.wait(20)

    blocked = service.put_state("Blocks")
    async with running(make_runtime(service, Blocks, Echo)):
        await eventually(lambda: len(service.claims) > 1)
        echoed = service.put_state("Echo", {"text": "meanwhile"})
        await eventually(lambda: service.report_of(echoed))
        assert service.report_of(blocked) is None
        release.set()
        await eventually(lambda: service.report_of(blocked))

    assert "event_loop_blocked" not in caplog.text


@pytest.mark.parametrize("kind", ["auto", "thread"])
async def test_context_variables_reach_a_coroutine(service: FakeStateManager, kind: Any) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("from outside")

    class Reads(BaseNode[Any, Out]):
        execution = Execution(kind=kind)

        async def execute(self) -> Out:
            await asyncio.sleep(0)
            return Out(text=variable.get())

    assert (await report(service, Reads)).body == {"outputs": [{"text": "from outside"}]}


@pytest.mark.parametrize("form", ["async def", "def"])
async def test_context_variables_set_in_a_thread_stay_there(service: FakeStateManager, form: str) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="untouched")

    class SetsAsync(BaseNode[Any, Out]):
        execution = Execution(kind="thread")

        async def execute(self) -> Out:
            return self.leave()

        def leave(self) -> Out:
            before = variable.get()
            variable.set("left behind")
            return Out(text=before)

    class Sets(SetsAsync):
        def execute(self) -> Any:
            return self.leave()

    node = SetsAsync if form == "async def" else Sets
    states = [service.put_state(node.__name__) for _ in range(3)]
    async with running(make_runtime(service, node, workers=1)):
        said = [await eventually(lambda state_id=state_id: service.report_of(state_id)) for state_id in states]

    assert [each.body["outputs"] for each in said] == [[{"text": "untouched"}]] * 3
