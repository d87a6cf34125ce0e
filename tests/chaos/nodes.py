"""The nodes of a chaos run, which write down each of their executions before they end it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from exospherehost import PruneSignal, ReQueueAfterSignal
from exospherehost._nodes.node import BaseNode, NodeContext
from tests.chaos.fates import Fate, fate
from tests.chaos.plan import SECRET

EXECUTIONS_VARIABLE = "CHAOS_EXECUTIONS"
"""Names the file that this process's executions are written to."""

MENDED_VARIABLE = "CHAOS_MENDED"
"""Names the folder that holds a file for each run whose fault has been mended."""

_RECORD = 44
"""Bytes of a record, so that progress can be read off the files' sizes."""


class Execution(NamedTuple):
    """An execution that a node wrote down."""

    state_id: str
    identifier: str
    attempt: int


def note(context: NodeContext) -> None:
    """Write an execution down, in one write to a file opened for appending, which kill -9 cannot tear apart."""
    line = f"{context.state_id:<24} {context.identifier:<12} {context.attempt or 0:>5}\n".encode("ascii")
    assert len(line) == _RECORD, line
    descriptor = os.open(os.environ[EXECUTIONS_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def executions(folder: Path) -> Iterator[Execution]:
    """Read what all processes have written down."""
    for file in sorted(folder.iterdir()):
        for line in file.read_text("ascii").splitlines():
            state_id, identifier, attempt = line.split()
            yield Execution(state_id, identifier, int(attempt))


def count_executions(folder: Path) -> int:
    """Tell how many executions there have been so far."""
    return sum(file.stat().st_size for file in folder.iterdir()) // _RECORD


class Text(BaseModel):
    text: str


class Ordered(BaseModel):
    text: str
    order: str


class Wide(BaseModel):
    text: str
    width: str


class Token(BaseModel):
    token: str


_given_back: set[str] = set()


class Step(BaseNode[Ordered, Text]):
    """Does what its inputs order."""

    async def execute(self) -> Text:
        note(self.context)
        match fate(self.inputs.order, self.inputs.text):
            case Fate.FAIL:
                raise RuntimeError("as ordered")
            case Fate.FLAKY if self.context.attempt == 1:
                raise RuntimeError("as ordered, once")
            case Fate.PRUNE:
                raise PruneSignal({"ordered": True})
            case Fate.REQUEUE if self.context.state_id not in _given_back:
                _given_back.add(self.context.state_id)
                raise ReQueueAfterSignal(timedelta(milliseconds=50))
            case _:
                return Text(text=self.inputs.text)


class Split(BaseNode[Wide, Text]):
    """Gives as many outputs as it is told to."""

    async def execute(self) -> list[Text]:
        note(self.context)
        return [Text(text=f"{self.inputs.text}/{number}") for number in range(int(self.inputs.width))]


class Vault(BaseNode[Text, Text, Token]):
    """Fails unless it is given its secret; a plain function, so it runs in a thread."""

    def execute(self) -> Text:
        note(self.context)
        if self.secrets.token != SECRET:
            raise PermissionError("not the secret")
        return Text(text=self.inputs.text)


class Mended(BaseNode[Text, Text]):
    """Fails until its run's fault has been mended."""

    async def execute(self) -> Text:
        note(self.context)
        if not (Path(os.environ[MENDED_VARIABLE]) / str(self.context.run_id)).exists():
            raise RuntimeError("not mended yet")
        return Text(text=self.inputs.text)


NODES: tuple[type[BaseNode], ...] = (Step, Split, Vault, Mended)
