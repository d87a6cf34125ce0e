"""A dict or another model is taken as outputs if it fits; secrets and unknown fields are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from exospherehost import BaseNode
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager, Report
from tests._support.runtimes import make_runtime, running

SECRET = "hunter2-and-more"


class Fits(BaseModel):
    text: str


class Sibling(BaseModel):
    text: str
    count: int = 0


class Numbered(BaseModel):
    text: int


class Outputs(BaseModel):
    text: str
    note: str = Field(default="none", alias="remark")


class Token(BaseModel):
    text: str


class Returning(BaseNode[Any, Outputs, Token]):
    result: Callable[[BaseNode], Any]

    async def execute(self) -> Any:
        return type(self).result(self)


async def report(service: FakeStateManager, result: Callable[[Any], Any], **members: Any) -> Report:
    service.secrets = {"text": SECRET}
    node = type("Returning", (Returning,), {"result": result, **members})
    state_id = service.put_state("Returning")
    async with running(make_runtime(service, node)):
        return await eventually(lambda: service.report_of(state_id))


@pytest.mark.parametrize(
    ("result", "outputs"),
    [
        (lambda _: {"text": "x"}, [{"text": "x", "remark": "none"}]),
        (lambda _: {"text": "x", "note": "n"}, [{"text": "x", "remark": "n"}]),
        (lambda _: {"text": "x", "remark": "n"}, [{"text": "x", "remark": "n"}]),
        (lambda _: Fits(text="x"), [{"text": "x", "remark": "none"}]),
        (lambda _: [Fits(text="1"), {"text": "2"}], [{"text": "1", "remark": "none"}, {"text": "2", "remark": "none"}]),
    ],
)
async def test_what_fits_is_taken(service: FakeStateManager, result: Any, outputs: list[dict[str, str]]) -> None:
    said = await report(service, result)

    assert (said.action, said.body) == ("executed", {"outputs": outputs})


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (lambda _: {"texts": "x"}, "Returning.execute returned a dict with 'texts', which Returning.Outputs does not"),
        (lambda _: {"text": "x", 1: "y"}, "Returning.execute returned a dict with '1', which"),
        (lambda _: Sibling(text="x"), "Returning.execute returned a Sibling with 'count', which"),
        (lambda _: {}, "Returning.Outputs is not valid: text: Field required (give it, or declare a default)"),
        (lambda _: Numbered(text=5), "Returning.Outputs is not valid: text: Input should be a valid string, got int ("),
        (lambda self: self.secrets, "Returning.execute returned a Token; return Returning.Outputs"),
    ],
)
async def test_what_does_not_fit_is_refused_with_the_reason(service: FakeStateManager, result: Any, text: str) -> None:
    said = await report(service, result)

    assert said.action == "errored"
    assert said.body["error"].startswith(text)
    assert SECRET not in str(said.body)


async def test_a_secret_that_is_the_name_of_a_field_is_not_shown(service: FakeStateManager) -> None:
    said = await report(service, lambda self: {self.secrets.text: "x"})

    assert "[redacted]" in said.body["error"]
    assert SECRET not in said.body["error"]


async def test_outputs_with_extra_fields_take_unknown_ones(service: FakeStateManager) -> None:
    class Wide(BaseModel):
        model_config = ConfigDict(extra="allow")

    said = await report(service, lambda _: {"any": "x"}, Outputs=Wide)

    assert said.body == {"outputs": [{"any": "x"}]}
