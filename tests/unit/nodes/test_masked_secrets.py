"""Secrets are masked in every way in which a node can get its models, and nothing else is."""

from __future__ import annotations

import io
import logging
import pickle
import subprocess
import sys
from typing import Any, Generic, TypeVar

import pytest
from pydantic import BaseModel, ConfigDict, computed_field
from rich.console import Console

from exospherehost import BaseNode
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.runtimes import make_runtime, running

SECRET = "hunter2-and-more"


class Nothing(BaseModel):
    pass


class Shown(BaseModel):
    shown: str


class Named(BaseModel):
    token: str


class NamedForGeneric(BaseModel):
    token: str


class NamedForMixin(BaseModel):
    token: str


class Assigned(BaseModel):
    token: str


class Late(BaseModel):
    token: str


class WithOwnRepr(BaseModel):
    token: str

    def __repr__(self) -> str:
        return f"own token={self.token!r}"

    def __str__(self) -> str:
        return f"own token={self.token}"


class Wide(BaseModel):
    model_config = ConfigDict(extra="allow")

    token: str

    @computed_field
    def address(self) -> str:
        return f"https://user:{self.token}@host"


class Execute:
    async def execute(self: Any) -> Any:
        secrets = self.secrets
        logging.getLogger("user").info("secrets %s %r", secrets, secrets)
        console = Console(file=io.StringIO(), force_terminal=False, width=200)
        console.print(secrets)
        return Shown(shown=f"{secrets} {secrets!r} {console.file.getvalue()}")  # type: ignore[attr-defined]


class Nested(Execute, BaseNode):
    Outputs = Shown

    class Secrets(BaseModel):
        token: str


class InBrackets(Execute, BaseNode[Nothing, Shown, Named]):
    pass


InputsT = TypeVar("InputsT", bound=BaseModel)
SecretsT = TypeVar("SecretsT", bound=BaseModel)


class Company(BaseNode[InputsT, Shown, SecretsT], Generic[SecretsT, InputsT]):
    pass


class Department(Company[SecretsT, Nothing], Generic[SecretsT]):
    pass


class ThroughGenerics(Execute, Department[NamedForGeneric]):
    pass


class Mixin:
    Secrets = NamedForMixin


class FromMixin(Execute, Mixin, BaseNode):
    Outputs = Shown


class ByAssignment(Execute, BaseNode):
    Outputs = Shown
    Secrets = Assigned


class Inherits(InBrackets):
    pass


class WithExtras(Execute, BaseNode[Nothing, Shown, Wide]):
    pass


class WithItsOwn(Execute, BaseNode[Nothing, Shown, WithOwnRepr]):
    pass


class SetLater(Execute, BaseNode):
    Outputs = Shown


SetLater.Secrets = Late

NODES = [Nested, InBrackets, ThroughGenerics, FromMixin, ByAssignment, Inherits, WithExtras, WithItsOwn, SetLater]


@pytest.mark.parametrize("node", NODES)
async def test_no_way_of_showing_them_shows_a_value(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture, node: type[BaseNode]
) -> None:
    caplog.set_level(logging.DEBUG)
    service.secrets = {"token": SECRET, "more": SECRET[::-1]}
    state_id = service.put_state(node.__name__)

    async with running(make_runtime(service, node)):
        said = await eventually(lambda: service.report_of(state_id))

    (outputs,) = said.body["outputs"]
    assert outputs["shown"].count("token=") == 3
    for text in (outputs["shown"], caplog.text):
        assert SECRET not in text
        assert SECRET[::-1] not in text


def test_a_model_keeps_its_class_and_survives_pickling() -> None:
    secrets = InBrackets.Secrets(token=SECRET)  # type: ignore[call-arg]

    assert type(secrets) is Named
    assert pickle.loads(pickle.dumps(secrets)) == secrets
    assert SECRET not in repr(pickle.loads(pickle.dumps(secrets)))


def test_the_own_words_of_a_model_stay() -> None:
    secrets = WithOwnRepr(token=SECRET)

    assert (repr(secrets), str(secrets)) == ("own token='[redacted]'", "own token=[redacted]")


def test_a_subclass_of_a_secret_model_is_masked_too() -> None:
    class More(Named):
        other: str

    assert repr(More(token=SECRET, other=SECRET)).count("[redacted]") == 2


def test_other_models_with_the_same_base_are_left_alone() -> None:
    class Base(BaseModel):
        pass

    class OfANode(Base):
        token: str

    class Other(Base):
        text: str

    class Uses(BaseNode[Nothing, Nothing, OfANode]):
        async def execute(self) -> Nothing:
            return Nothing()

    assert SECRET not in repr(OfANode(token=SECRET))
    assert repr(Other(text="plain")) == "Other(text='plain')"


def test_a_base_without_fields_masks_nothing_else() -> None:
    program = (
        "from pydantic import BaseModel\n"
        "from exospherehost import BaseNode\n"
        "class Uses(BaseNode):\n"
        "    Secrets = BaseModel\n"
        "    async def execute(self): ...\n"
        "class Plain(BaseModel):\n"
        "    text: str\n"
        "print(repr(Plain(text='shown')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "Plain(text='shown')"
