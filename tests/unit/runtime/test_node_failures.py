"""Whatever user code raises is the error of its state and ends nothing else."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, field_validator, model_serializer

from exospherehost import BaseNode, ReQueueAfterSignal
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.nodes import Echo
from tests._support.runtimes import make_runtime, running


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class GroupedError(ExceptionGroup[Exception]):
    pass


EXCEPTIONS: list[Callable[[], BaseException]] = [
    lambda: ValueError("plain"),
    AssertionError,
    lambda: asyncio.CancelledError("from the node"),
    lambda: TimeoutError("late"),
    lambda: SystemExit(3),
    KeyboardInterrupt,
    GeneratorExit,
    lambda: StopIteration("value"),
    lambda: StopAsyncIteration("value"),
    lambda: RecursionError("deep"),
    MemoryError,
    UnprintableError,
    lambda: GroupedError("several", [ValueError("a"), OSError("b")]),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
]


async def check(service: FakeStateManager, node: type[BaseNode]) -> str:
    """The node's state is reported as failed, and the runtime goes on; return the reported text."""
    failing = service.put_state(node.__name__, {"text": "x"})
    async with running(make_runtime(service, node, Echo)) as run:
        said = await eventually(lambda: service.report_of(failing))
        after = service.put_state("Echo", {"text": "still here"})
        assert (await eventually(lambda: service.report_of(after))).action == "executed"
        assert not run.done()
    assert said.action == "errored"
    assert isinstance(said.body["error"], str)
    return said.body["error"]


@pytest.mark.parametrize("make", EXCEPTIONS, ids=lambda make: type(make()).__name__)
@pytest.mark.parametrize("form", ["async def", "def"])
async def test_exception_of_execute(service: FakeStateManager, make: Callable[[], BaseException], form: str) -> None:
    class AsyncFailing(BaseNode):
        async def execute(self) -> None:
            raise make()

    class Failing(BaseNode):
        def execute(self) -> None:
            raise make()

    text = await check(service, AsyncFailing if form == "async def" else Failing)

    assert type(make()).__name__ in text
    assert "_executor.py" not in text
    # Python replaces a StopIteration that leaves a coroutine, and its place with it.
    assert "raise make()" in text or isinstance(make(), StopIteration)


async def test_message_stands_first(service: FakeStateManager) -> None:
    class Failing(BaseNode):
        async def execute(self) -> None:
            raise LookupError("no such customer")

    assert (await check(service, Failing)).splitlines()[0] == "LookupError: no such customer"


async def test_cause_is_named(service: FakeStateManager) -> None:
    class Chained(BaseNode):
        async def execute(self) -> None:
            try:
                {}["inner"]
            except KeyError as error:
                raise RuntimeError("outer") from error

    text = await check(service, Chained)

    assert "RuntimeError: outer" in text
    assert "caused by KeyError: 'inner'" in text


async def test_members_of_a_group_are_named(service: FakeStateManager) -> None:
    class Grouping(BaseNode):
        async def execute(self) -> None:
            raise ExceptionGroup("both", [ValueError("one"), LookupError("two")])

    text = await check(service, Grouping)

    assert "with ValueError: one" in text
    assert "with LookupError: two" in text


async def test_hidden_cause_stays_hidden(service: FakeStateManager) -> None:
    class Hiding(BaseNode):
        async def execute(self) -> None:
            try:
                {}["inner"]
            except KeyError:
                raise RuntimeError("outer") from None

    assert "inner" not in await check(service, Hiding)


async def test_exception_of_the_constructor(service: FakeStateManager) -> None:
    class Unmakeable(BaseNode):
        def __init__(self) -> None:
            raise OSError("no licence")

        async def execute(self) -> None:
            """Never runs."""

    assert "no licence" in await check(service, Unmakeable)


async def test_exception_of_a_validator(service: FakeStateManager) -> None:
    class Strict(BaseNode):
        class Inputs(BaseModel):
            text: str

            @field_validator("text")
            @classmethod
            def check(cls, value: str) -> str:
                raise SystemExit(f"cannot take {value}")

        async def execute(self) -> None:
            """Never runs."""

    assert "cannot take x" in await check(service, Strict)


async def test_exception_while_outputs_are_serialized(service: FakeStateManager) -> None:
    class Odd(BaseNode):
        class Outputs(BaseModel):
            text: str

            def model_dump(self, **_: Any) -> Any:
                raise ZeroDivisionError("in model_dump")

        async def execute(self) -> Outputs:
            return self.Outputs(text="x")

    assert "in model_dump" in await check(service, Odd)


async def test_outputs_of_a_subclass_are_serialized_as_it_says(service: FakeStateManager) -> None:
    class Wide(BaseNode):
        class Outputs(BaseModel):
            text: str

        class Wider(Outputs):
            def model_dump(self, **_: Any) -> Any:
                raise ZeroDivisionError("in the subclass's model_dump")

        async def execute(self) -> Outputs:
            return self.Wider(text="x")

    assert "in the subclass's model_dump" in await check(service, Wide)


async def test_outputs_that_are_serialized_as_no_dict(service: FakeStateManager) -> None:
    class Flat(BaseNode):
        class Outputs(BaseModel):
            text: str

            @model_serializer
            def flat(self) -> str:
                return self.text

        async def execute(self) -> Outputs:
            return self.Outputs(text="x")

    assert "Flat.Outputs is serialized as a str" in await check(service, Flat)


async def test_wrong_delay_of_a_signal_is_an_error_of_the_state(service: FakeStateManager) -> None:
    class Wrong(BaseNode):
        async def execute(self) -> None:
            raise ReQueueAfterSignal(5)  # type: ignore[arg-type]

    assert "timedelta" in await check(service, Wrong)


async def test_very_long_text_is_cut_in_the_middle(service: FakeStateManager) -> None:
    class Long(BaseNode):
        async def execute(self) -> None:
            raise ValueError("begin" + "x" * 1_000_000 + "end")

    text = await check(service, Long)

    assert len(text) < 20_000
    assert "begin" in text
    assert "characters cut" in text


async def test_text_that_utf8_cannot_hold_is_spelled_out(service: FakeStateManager) -> None:
    class Surrogate(BaseNode):
        async def execute(self) -> None:
            raise FileNotFoundError("no file 'caf\udce9.txt'")

    assert r"caf\udce9.txt" in await check(service, Surrogate)


async def test_execute_that_cancels_its_own_task(service: FakeStateManager) -> None:
    class CancelsItself(BaseNode):
        async def execute(self) -> None:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()

    assert "TimeoutError" in await check(service, CancelsItself)


async def test_sigint_handler_of_the_program_is_left_alone(service: FakeStateManager) -> None:
    before = signal.getsignal(signal.SIGINT)

    async with running(make_runtime(service, Echo)):
        await eventually(lambda: service.claims)
        assert signal.getsignal(signal.SIGINT) is before
