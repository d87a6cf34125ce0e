"""The error that is reported says what happened and where, is bounded and never empty, and the runtime goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from pydantic import BaseModel

from exospherehost import BaseNode, Execution, PruneSignal
from exospherehost._redaction import MAX_ERROR_LENGTH, Redactor, describe_exception
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager, Report
from tests._support.nodes import Echo
from tests._support.runtimes import make_runtime, running

SECRET = "s3cr3t-t0k3n-" + "0123456789abcdef" * 4


class Hard(BaseException):
    """No Exception, so that few handlers catch it."""


class Mute(Exception):
    def __str__(self) -> str:
        return ""


class ExitsInItsText(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class InterruptsInItsText(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


class CancelsInItsText(Exception):
    def __str__(self) -> str:
        raise asyncio.CancelledError


class TextIsNone(Exception):
    def __str__(self) -> str:
        return None  # type: ignore[return-value]  # noqa: PLE0307 - that is the point


async def report(service: FakeStateManager, node: type[BaseNode]) -> Report:
    """Execute one state; the only worker, and with it the runtime, must go on."""
    state_id = service.put_state(node.__name__, {"text": "x"})
    async with running(make_runtime(service, node, Echo, workers=1)) as run:
        said = await eventually(lambda: service.report_of(state_id))
        for _ in range(2):
            after = service.put_state("Echo", {"text": "still here"})
            assert (await eventually(lambda after=after: service.report_of(after))).action == "executed"
        assert not run.done()
    assert len([each for each in service.reports if each.state_id == state_id]) == 1
    return said


def failing(form: str, fail: Callable[[], Any]) -> type[BaseNode]:
    """A node whose `execute`, in this form, does what fails."""

    class Failing(BaseNode):
        execution = Execution(kind="thread" if "thread" in form else "auto")

        async def execute(self) -> Any:
            await asyncio.sleep(0)
            return fail()

    class FailingPlain(BaseNode):
        def execute(self) -> Any:
            return fail()

    return FailingPlain if form == "def" else Failing


def raising(error: Callable[[], BaseException]) -> Callable[[], NoReturn]:
    def fail() -> NoReturn:
        raise error()

    return fail


FORMS = ["async def", "async def in a thread", "def"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "error",
    [
        lambda: Hard("everything"),
        lambda: SystemExit("everything"),
        lambda: KeyboardInterrupt("everything"),
        lambda: GeneratorExit("everything"),
        lambda: asyncio.CancelledError("everything"),
        lambda: BaseExceptionGroup("everything", [KeyboardInterrupt(), ValueError("one")]),
        lambda: ExceptionGroup("everything", [ExceptionGroup("inner", [ValueError("one")])]),
    ],
    ids=lambda make: type(make()).__name__,
)
async def test_whatever_leaves_a_node_is_the_error_of_its_state(
    service: FakeStateManager, form: str, error: Callable[[], BaseException]
) -> None:
    said = await report(service, failing(form, raising(error)))

    assert said.action == "errored"
    assert said.body["error"].splitlines()[0].startswith(f"{type(error()).__name__}: everything")
    assert "in fail" in said.body["error"]
    assert "raise error()" in said.body["error"]
    assert "_execution.py" not in said.body["error"]


@pytest.mark.parametrize("form", FORMS)
async def test_stop_iteration_is_the_error_of_its_state(service: FakeStateManager, form: str) -> None:
    said = await report(service, failing(form, raising(lambda: StopIteration("value"))))

    assert said.action == "errored"
    assert "StopIteration" in said.body["error"]


async def test_member_of_a_task_group_is_named(service: FakeStateManager) -> None:
    class Grouped(BaseNode):
        async def execute(self) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.fail())
                group.create_task(asyncio.Event().wait())

        async def fail(self) -> NoReturn:
            raise LookupError("no such customer")

    said = await report(service, Grouped)

    assert "ExceptionGroup" in said.body["error"]
    assert "with LookupError: no such customer" in said.body["error"]


# ---- cancellations that a node leaves behind -----------------------------------------------------


def cancel_this_task() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel("by the node")


class CancelsItself(Echo):
    """As a library does that breaks off what it waits for by cancelling the task it runs in."""

    async def execute(self) -> Echo.Outputs:
        cancel_this_task()
        await asyncio.sleep(0)
        return self.Outputs(text="not reached")


class CancelsItselfAndGoesOn(Echo):
    async def execute(self) -> Echo.Outputs:
        cancel_this_task()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return self.Outputs(text="went on")
        raise AssertionError


class CancelsItselfAndFails(Echo):
    async def execute(self) -> Echo.Outputs:
        cancel_this_task()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            raise ConnectionError("late") from None
        raise AssertionError


class CancelsItselfAtTheEnd(Echo):
    async def execute(self) -> Echo.Outputs:
        cancel_this_task()
        cancel_this_task()
        return self.Outputs(text="done")


@pytest.mark.parametrize("limit", [None, 60])
@pytest.mark.parametrize(
    ("node", "action", "text"),
    [
        (CancelsItself, "errored", "CancelledError: by the node"),
        (CancelsItselfAndGoesOn, "executed", "went on"),
        (CancelsItselfAndFails, "errored", "ConnectionError: late"),
        (CancelsItselfAtTheEnd, "executed", "done"),
    ],
)
async def test_cancellation_that_a_node_leaves_behind_ends_nothing_else(
    service: FakeStateManager, node: type[Echo], action: str, text: str, limit: float | None
) -> None:
    limited = type(node.__name__, (node,), {"execution": Execution(timeout=limit)})

    said = await report(service, limited)

    assert said.action == action, said.body
    assert text in str(said.body)


# ---- never empty ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [Exception, Mute, lambda: Exception(""), lambda: Exception(None), lambda: Exception(" "), lambda: Exception("\n")],
    ids=["no arguments", "no text", "empty", "None", "blank", "line end"],
)
async def test_error_without_a_text_has_its_type_and_place(
    service: FakeStateManager, error: Callable[[], BaseException]
) -> None:
    text = (await report(service, failing("async def", raising(error)))).body["error"]

    assert text.startswith(type(error()).__name__)
    assert "in fail" in text


@pytest.mark.parametrize("form", ["async def", "def"])
@pytest.mark.parametrize("error", [ExitsInItsText, InterruptsInItsText, CancelsInItsText, TextIsNone])
async def test_error_whose_text_cannot_be_made(
    service: FakeStateManager, form: str, error: Callable[[], BaseException]
) -> None:
    text = (await report(service, failing(form, raising(error)))).body["error"]

    assert text.startswith(type(error()).__name__)
    assert "cannot be made" in text


# ---- bounded -------------------------------------------------------------------------------------


def deep(levels: int) -> NoReturn:
    if levels:
        deeper(levels - 1)
    raise ValueError("at the bottom")


def deeper(levels: int) -> NoReturn:
    # In turns, since Python shortens what repeats one line.
    deep(levels)


def chained(levels: int) -> NoReturn:
    if levels:
        try:
            chained(levels - 1)
        except ValueError as error:
            raise ValueError("x" * 5_000) from error
    raise ValueError("first")


@pytest.mark.parametrize(
    "fail",
    [
        raising(lambda: ValueError("x" * 1_000_000)),
        raising(lambda: ValueError("\udce9" * 100_000)),
        raising(lambda: ValueError("é" * 100_000)),
        raising(lambda: ExceptionGroup("g" * 20_000, [ValueError("m" * 20_000)] * 1_000)),
        lambda: deep(200),
        lambda: chained(20),
    ],
    ids=["long", "surrogates", "letters", "group", "deep", "chained"],
)
async def test_size_is_bounded(service: FakeStateManager, fail: Callable[[], Any]) -> None:
    text = (await report(service, failing("async def", fail))).body["error"]

    assert len(text) <= MAX_ERROR_LENGTH
    assert text.splitlines()[0][:10] in ("ValueError", "ExceptionG")


async def test_traceback_is_short_and_ends_where_it_was_raised(service: FakeStateManager) -> None:
    text = (await report(service, failing("async def", lambda: deep(200)))).body["error"]

    assert 2 <= text.count('File "') <= 8
    assert text.rstrip().endswith('raise ValueError("at the bottom")')


# ---- secrets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", range(-20, len(SECRET) + 20, 7))
def test_secret_at_the_cut_is_replaced_as_a_whole(distance: int) -> None:
    # Where the first half ends, before the place of the cut.
    half = (MAX_ERROR_LENGTH - 40) // 2
    begin = "x" * (half - len("ValueError: ") - distance)
    error = ValueError(f"{begin}{SECRET}{'y' * MAX_ERROR_LENGTH}{SECRET}{'z' * (half - distance)}")

    text = describe_exception(error, Redactor([SECRET]))

    assert "characters cut" in text
    for start in range(len(SECRET) - 5):
        assert SECRET[start : start + 6] not in text


class Token(BaseModel):
    token: str


@pytest.mark.parametrize("form", ["async def", "async def in a thread", "def"])
async def test_secret_at_the_cut_is_in_no_report(service: FakeStateManager, form: str) -> None:
    service.secrets = {"token": SECRET}

    class Leaks(BaseNode[Any, Any, Token]):
        execution = Execution(kind="thread" if "thread" in form else "auto")

        async def execute(self) -> Any:
            self.leak()

        def leak(self) -> NoReturn:
            raise ValueError("x" * 8_150 + self.secrets.token + "y" * 30_000)

    class LeaksPlain(Leaks):
        def execute(self) -> Any:
            self.leak()

    text = (await report(service, LeaksPlain if form == "def" else Leaks)).body["error"]

    assert "characters cut" in text
    assert SECRET[:8] not in text


async def test_secret_in_the_source_line_is_replaced(service: FakeStateManager) -> None:
    service.secrets = {"token": "hard-coded-0123"}

    class HardCoded(BaseNode[Any, Any, Token]):
        async def execute(self) -> None:
            raise ConnectionError(len("hard-coded-0123"))

    text = (await report(service, HardCoded)).body["error"]

    assert "ConnectionError: 15" in text
    assert "hard-coded-0123" not in text
    assert 'raise ConnectionError(len("[redacted]"))' in text


async def test_undeliverable_signal_data_says_why(service: FakeStateManager) -> None:
    class Prunes(BaseNode):
        async def execute(self) -> None:
            raise PruneSignal({"why": object()})

    said = await report(service, Prunes)

    assert said.action == "errored"
    assert "cannot be delivered" in said.body["error"]
