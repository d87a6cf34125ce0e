"""Nodes that write down each of their executions, in whatever process they run."""

from __future__ import annotations

import asyncio
import os
import threading
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

from pydantic import BaseModel

from exospherehost import PruneSignal, ReQueueAfterSignal
from exospherehost._nodes.node import BaseNode, Execution, NodeContext

EXECUTIONS_VARIABLE = "FAULT_TEST_EXECUTIONS"
"""Names the file that executions are written to, one line each."""

PAUSE_VARIABLE = "FAULT_TEST_PAUSE"
"""How long an execution takes, seconds. Default: 0."""

SECRET = "hidden-value-4711-of-the-secret"
FAN = 3
BURST = 10_000


def note(context: NodeContext) -> None:
    """Write an execution down."""
    line = f"{context.state_id} {context.identifier}\n".encode()
    descriptor = os.open(os.environ[EXECUTIONS_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def noted(path: Path) -> list[str]:
    """List the ids of the states that have been executed, each as often as it was."""
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


class Text(BaseModel):
    text: str


class Nothing(BaseModel):
    pass


class Token(BaseModel):
    token: str


class Single(BaseNode[Nothing, Text]):
    """A state by itself."""

    async def execute(self) -> Text:
        note(self.context)
        await asyncio.sleep(float(os.environ.get(PAUSE_VARIABLE, "0")))
        return Text(text="done")


class First(Single):
    """Begins a chain."""


class Second(BaseNode[Text, Text]):
    """Ends a chain; a plain function, so it runs in a thread."""

    def execute(self) -> Text:
        note(self.context)
        return Text(text=self.inputs.text)


class Fan(BaseNode[Nothing, Text]):
    """Gives several outputs, each of which is followed by a leaf."""

    async def execute(self) -> list[Text]:
        note(self.context)
        return [Text(text=str(number)) for number in range(FAN)]


class Leaf(BaseNode[Text, Text]):
    """Ends a branch of a fan."""

    async def execute(self) -> Text:
        note(self.context)
        await asyncio.sleep(float(os.environ.get(PAUSE_VARIABLE, "0")))
        return Text(text=self.inputs.text)


class WithSecret(BaseNode[Nothing, Text, Token]):
    """Asks the service for a secret before it runs."""

    async def execute(self) -> Text:
        note(self.context)
        return Text(text=str(len(self.secrets.token)))


NODES: tuple[type[BaseNode], ...] = (Single, First, Second, Fan, Leaf, WithSecret)
"""The nodes of the graphs that every test has."""


class Burst(BaseNode[Nothing, Text]):
    """Gives many outputs."""

    async def execute(self) -> list[Text]:
        note(self.context)
        return [Text(text=str(number)) for number in range(BURST)]


class RequeuesOnce(BaseNode[Nothing, Text]):
    """Gives its state back the first time."""

    async def execute(self) -> Text:
        before = noted(Path(os.environ[EXECUTIONS_VARIABLE]))
        note(self.context)
        if self.context.state_id not in before:
            raise ReQueueAfterSignal(timedelta(milliseconds=1))
        return Text(text="done")


class EndsInSpiteOfCancellation(BaseNode[Nothing, Text]):
    """Takes a cancellation for a reason to end, and not to be cancelled."""

    async def execute(self) -> Text:
        note(self.context)
        try:
            await asyncio.sleep(float(os.environ.get(PAUSE_VARIABLE, "0")))
        except asyncio.CancelledError:
            return Text(text="cancelled")
        return Text(text="done")


# ---- nodes that hang -----------------------------------------------------------------------------

RELEASE = threading.Event()
"""Lets threads end that hang, so that the test can."""


class HangsOnLoop(BaseNode[Nothing, Text]):
    execution = Execution(timeout=0.3)

    async def execute(self) -> Text:
        note(self.context)
        await asyncio.Event().wait()
        return Text(text="never")


class HangsInThread(BaseNode[Nothing, Text]):
    execution = Execution(timeout=0.3)

    def execute(self) -> Text:
        note(self.context)
        RELEASE.wait()
        return Text(text="late")


class HangsInProcess(BaseNode[Nothing, Text]):
    # Long, because the process has to start in it.
    execution = Execution(kind="process", timeout=5.0)

    def execute(self) -> Text:
        note(self.context)
        threading.Event().wait()
        return Text(text="never")


class WorksInProcess(BaseNode[Nothing, Text]):
    execution = Execution(kind="process")

    def execute(self) -> Text:
        note(self.context)
        return Text(text="done")


HANGING = (HangsOnLoop, HangsInThread, HangsInProcess)


# ---- nodes that leak their secret ----------------------------------------------------------------


def leak(token: str) -> NoReturn:
    """Raise errors that quote a secret, whole, as part of something, and cut."""
    try:
        int(token)
    except ValueError as error:
        raise ValueError(f"cannot log in with {token!r} at https://user:{token}@host, that is {token[:20]}") from error
    raise AssertionError("the secret is a number")


class LeaksOnLoop(BaseNode[Nothing, Text, Token]):
    async def execute(self) -> Text:
        note(self.context)
        leak(self.secrets.token)


class LeaksInThread(BaseNode[Nothing, Text, Token]):
    def execute(self) -> Text:
        note(self.context)
        leak(self.secrets.token)


class LeaksInProcess(BaseNode[Nothing, Text, Token]):
    execution = Execution(kind="process")

    def execute(self) -> Text:
        note(self.context)
        leak(self.secrets.token)


LEAKING = (LeaksOnLoop, LeaksInThread, LeaksInProcess)


# ---- nodes with much to say ----------------------------------------------------------------------

MEBIBYTE = 1024 * 1024


class Large(BaseNode[Nothing, Text]):
    """Gives as much as a report may hold, nearly."""

    async def execute(self) -> Text:
        note(self.context)
        return Text(text="x" * 14 * MEBIBYTE)


class TooLarge(BaseNode[Nothing, Text]):
    async def execute(self) -> Text:
        note(self.context)
        # Three bytes each.
        return Text(text="\N{EURO SIGN}" * 6 * MEBIBYTE)


class TooLargeTogether(BaseNode[Nothing, Text]):
    async def execute(self) -> list[Text]:
        note(self.context)
        return [Text(text="x" * size * MEBIBYTE) for size in (5, 6, 5)]


class PrunesWithTooMuch(BaseNode[Nothing, Text]):
    async def execute(self) -> Text:
        note(self.context)
        raise PruneSignal({"reason": "short", "page": "x" * 16 * MEBIBYTE})
