"""Every annotation whose values are text is a field, registered as a plain string; None is an absent key."""

from __future__ import annotations

import sys
from enum import Enum
from typing import Annotated, Any, Literal, NewType, Optional

import pytest
from pydantic import BaseModel, Field, SecretStr, StringConstraints, create_model
from typing_extensions import TypeAliasType

from exospherehost import BaseNode, ConfigurationError
from exospherehost._rules.schemas import not_plain
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.runtimes import make_runtime, running

URI = "http://localhost"


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Size(str, Enum):  # noqa: UP042 - as programs for Python 3.10 have it
    SMALL = "small"


class Level(Enum):
    LOW = 1


Name = NewType("Name", str)
Alias = TypeAliasType("Alias", Name | None)
Short = Annotated[str, StringConstraints(max_length=5)]

TEXTS: dict[str, tuple[Any, str]] = {
    "optional": (Optional[str], "x"),  # noqa: UP045 - as many programs have it
    "union": (str | None, "x"),
    "literal": (Literal["a", "b"], "a"),
    "optional literal": (Literal["a"] | None, "a"),
    "new type": (Name, "x"),
    "alias": (Alias, "x"),
    "constrained": (Short, "x"),
    "optional constrained": (Short | None, "x"),
    "enum": (Colour, "blue"),
    "string enum": (Size, "small"),
    "member": (Literal[Size.SMALL], "small"),
}
if sys.version_info >= (3, 12):
    space: dict[str, Any] = {}
    exec("type Stated = str", space)  # noqa: S102 - a syntax error to older versions
    TEXTS["type statement"] = (space["Stated"], "x")


def node_of(annotation: Any, default: Any = ...) -> type[BaseNode]:
    model = create_model("Model", field=(annotation, default))

    class Copies(BaseNode):
        Inputs = model
        Outputs = model

        async def execute(self) -> Any:
            return self.Outputs(field=self.inputs.field)  # type: ignore[call-arg]

    return Copies


@pytest.mark.parametrize(("annotation", "text"), TEXTS.values(), ids=TEXTS)
async def test_a_field_of_text_is_taken_registered_plain_and_carried(
    service: FakeStateManager, annotation: Any, text: str
) -> None:
    node = node_of(annotation)
    state_id = service.put_state("Copies", {"field": text})

    async with running(make_runtime(service, node)):
        said = await eventually(lambda: service.report_of(state_id))

    assert said.body == {"outputs": [{"field": text}]}
    (registered,) = service.registrations[0]["nodes"]
    for schema in (registered["inputs_schema"], registered["outputs_schema"]):
        assert not_plain(schema["properties"]["field"]) is None
        assert "$defs" not in schema


def test_a_secret_may_be_a_secret_str_and_an_input_may_not() -> None:
    class Model(BaseModel):
        token: SecretStr
        other: SecretStr | None = None

    async def execute(self: BaseNode) -> None: ...

    make_runtime(URI, type("Takes", (BaseNode,), {"Secrets": Model, "execute": execute}))
    with pytest.raises(ConfigurationError, match=r"Shows\.Inputs\.token is SecretStr; in v1 every field is text"):
        make_runtime(URI, type("Shows", (BaseNode,), {"Inputs": Model, "execute": execute}))


@pytest.mark.parametrize(
    "annotation", [Level, Level | None, Literal[1], Literal[Colour.RED], str | int, NewType("Number", int), None]
)
def test_what_is_no_text_is_refused(annotation: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Copies\.Inputs\.field is .*json\.dumps"):
        make_runtime(URI, node_of(annotation))


async def run(service: FakeStateManager, node: type[BaseNode], inputs: dict[str, Any]) -> Any:
    state_id = service.put_state(node.__name__, inputs)
    async with running(make_runtime(service, node)):
        return await eventually(lambda: service.report_of(state_id))


async def test_none_is_an_absent_key_in_both_directions_if_the_field_has_a_default(service: FakeStateManager) -> None:
    said = await run(service, node_of(str | None, None), {})

    assert said.body == {"outputs": [{}]}


async def test_none_without_a_default_is_refused_and_the_remedy_named(service: FakeStateManager) -> None:
    class Loses(BaseNode):
        class Outputs(BaseModel):
            note: str | None

        async def execute(self) -> Outputs:
            return self.Outputs(note=None)

    said = await run(service, Loses, {})

    assert said.action == "errored"
    assert said.body["error"].startswith("Loses.Outputs.note is None, and the service takes text only")
    assert "declare a default" in said.body["error"]


async def test_none_is_left_out_under_the_name_that_is_written(service: FakeStateManager) -> None:
    class Writes(BaseNode):
        class Outputs(BaseModel):
            note: str | None = Field(default=None, serialization_alias="written")
            text: str = "x"

        async def execute(self) -> list[Outputs]:
            return [self.Outputs(), self.Outputs(note="n")]

    said = await run(service, Writes, {})

    assert said.body == {"outputs": [{"text": "x"}, {"text": "x", "written": "n"}]}


def test_a_default_that_is_text_stays_in_the_schema() -> None:
    from exospherehost._nodes.text_fields import plain_schema

    class Model(BaseModel):
        colour: Colour = Colour.BLUE
        note: str | None = Field(default=None, description="a note")
        plain: Short = "x"

    assert plain_schema(Model, "validation")["properties"] == {
        "colour": {"default": "blue", "type": "string"},
        "note": {"title": "Note", "description": "a note", "type": "string"},
        "plain": {"default": "x", "maxLength": 5, "title": "Plain", "type": "string"},
    }
