"""Nodes that run in a process of their own, which must be able to import them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel, Field, PrivateAttr, field_validator

from exospherehost import BaseNode, Execution, PruneSignal, ReQueueAfterSignal


class Ended(BaseException):
    """No Exception, so that few handlers catch it."""


class Text(BaseModel):
    text: str = Field(default="", alias="the-text")


class Does(BaseNode[Any, Text]):
    """Does what its input says."""

    class Inputs(BaseModel):
        how: str = Field(alias="to-do")
        text: str = ""

    class Secrets(BaseModel):
        token: str = Field(alias="API-TOKEN")

    execution = Execution(kind="process")

    def execute(self) -> Any:
        return getattr(self, self.inputs.how)()

    def one(self) -> Text:
        return _text(f"{self.inputs.text} {len(self.secrets.token)}")

    def several(self) -> list[Text]:
        return [_text("1"), _text("2")]

    def none(self) -> None:
        """Return nothing."""

    def pid(self) -> Text:
        return _text(str(os.getpid()))

    def context_fields(self) -> Text:
        return _text(f"{self.context.namespace} {self.context.node_name} {self.context.identifier}")

    def shared(self) -> Text:
        return _text(repr(self.context.shared))

    def prints(self) -> Text:
        print("from print", flush=True)
        sys.stdout.write("from stdout\n")
        sys.stdout.flush()
        return _text("printed")

    def writes_to_the_descriptor(self) -> Text:
        subprocess.run([sys.executable, "-S", "-c", "print('from a child')"], check=True)
        os.write(1, b"from the descriptor\n")
        return _text("written")

    def prune(self) -> NoReturn:
        raise PruneSignal({"why": "duplicate"})

    def requeue(self) -> NoReturn:
        raise ReQueueAfterSignal(timedelta(seconds=2))

    def value_error(self) -> NoReturn:
        raise ValueError(f"no such customer: {self.secrets.token}")

    def long_error(self) -> NoReturn:
        raise ValueError("x" * 8_150 + self.secrets.token + "y" * 50_000)

    def empty_error(self) -> NoReturn:
        raise RuntimeError

    def exit(self) -> NoReturn:
        sys.exit(f"with {self.secrets.token}")

    def hard_exit(self) -> NoReturn:
        os._exit(3)

    def interrupt(self) -> NoReturn:
        raise KeyboardInterrupt

    def base_exception(self) -> NoReturn:
        raise Ended("everything")

    def stop_iteration(self) -> NoReturn:
        raise StopIteration("value")

    def generator_exit(self) -> NoReturn:
        raise GeneratorExit

    def cancelled(self) -> NoReturn:
        raise asyncio.CancelledError("by itself")

    def group(self) -> NoReturn:
        raise ExceptionGroup("both", [ValueError("one"), KeyError(self.secrets.token)])

    def unpicklable_error(self) -> NoReturn:
        error = ValueError("holds a function")
        error.function = lambda: None  # type: ignore[attr-defined]
        raise error

    def unpicklable_result(self) -> Text:
        result = _text("holds a function")
        object.__setattr__(result, "text", lambda: None)
        return result

    def wrong_type(self) -> str:
        return "x"


class DoesAsync(Does):
    """The same as a coroutine."""

    async def execute(self) -> Any:
        await asyncio.sleep(0)
        return getattr(self, self.inputs.how)()


class Hangs(BaseNode):
    """Says which process it runs in, in a file, and keeps it."""

    class Inputs(BaseModel):
        file: str

    execution = Execution(kind="process")

    def execute(self) -> None:
        path = Path(self.inputs.file)
        path.with_suffix(".new").write_text(str(os.getpid()))
        path.with_suffix(".new").rename(path)
        time.sleep(600)


class HangsTooLong(Hangs):
    """Is not allowed to."""

    execution = Execution(kind="process", timeout=0.5)


class EndsBeforeItStarts(Hangs):
    """Has less time than a process needs to start."""

    execution = Execution(kind="process", timeout=0.01)


class QuickInProcess(BaseNode):
    """Needs little time, and has less than a process needs to start."""

    execution = Execution(kind="process", timeout=0.15)

    def execute(self) -> None:
        """Do nothing."""


class WaitsForFile(BaseNode[Any, Text]):
    """Waits until there is a file."""

    class Inputs(BaseModel):
        started: str
        file: str

    execution = Execution(kind="process")

    def execute(self) -> Text:
        Path(self.inputs.started).touch()
        while not Path(self.inputs.file).exists():
            time.sleep(0.01)
        return _text("seen")


def _text(text: str) -> Text:
    return Text.model_validate({"the-text": text})


class NamedPrune(PruneSignal):
    """A signal with arguments of its own."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__({"reason": reason, "code": code})


class RaisesWhenRead:
    """Ends whoever unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _fail, ()


def _fail() -> NoReturn:
    raise RuntimeError("this is not to be unpickled")


class Adverse(BaseNode):
    """Lets out what another process cannot take."""

    class Inputs(BaseModel):
        how: str

    class Outputs(BaseModel):
        text: str

    execution = Execution(kind="process")

    def execute(self) -> Any:
        return getattr(self, self.inputs.how)()

    def named_prune(self) -> NoReturn:
        raise NamedPrune("not wanted", 7)

    def prune_with_objects(self) -> NoReturn:
        raise PruneSignal({"bad": object()})

    def group_of_one(self) -> NoReturn:
        raise ExceptionGroup("a task group's", [ReQueueAfterSignal(timedelta(seconds=2))])

    def wrong_outputs(self) -> Any:
        return self.Outputs(text=7)  # type: ignore[call-arg]

    def unpicklable(self) -> Any:
        return lambda: None

    def raises_when_read(self) -> Any:
        return RaisesWhenRead()

    def exception_that_raises_when_read(self) -> NoReturn:
        error = ValueError("bad luck")
        error.args = (RaisesWhenRead(),)
        raise error

    def well(self) -> Any:
        return self.Outputs(text="well")


class Lasts(BaseNode):
    """Runs until its file is there, and ends well, whatever signals come."""

    class Inputs(BaseModel):
        path: str

    class Outputs(BaseModel):
        text: str

    execution = Execution(kind="process")

    def execute(self) -> Outputs:
        folder = Path(self.inputs.path)
        (folder / "begun").touch()
        while not (folder / "may-end").exists():
            time.sleep(0.02)
        return self.Outputs(text="ended well")


class Unsendable(BaseModel):
    """Models that pickle cannot send, and that validate in the process in which they are used."""

    text: str
    _lock: Any = PrivateAttr(default_factory=threading.Lock)
    _made_in: int = PrivateAttr(default_factory=os.getpid)

    @property
    def made_in(self) -> int:
        return self._made_in


class TakesUnsendable(BaseNode):
    """Tells whether its models were made in its own process."""

    class Inputs(Unsendable):
        @field_validator("text")
        @classmethod
        def _refuse(cls, value: str) -> str:
            if value == "refused":
                raise ValueError("is refused")
            return value

    class Secrets(BaseModel):
        token: str
        _lock: Any = PrivateAttr(default_factory=threading.Lock)

    class Outputs(BaseModel):
        text: str

    execution = Execution(kind="process")

    def execute(self) -> Outputs:
        is_own = self.inputs.made_in == os.getpid()
        return self.Outputs(text=f"{self.inputs.text} {is_own} {len(self.secrets.token)} {self.context.state_id}")
