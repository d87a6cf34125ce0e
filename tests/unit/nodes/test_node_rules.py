"""What a runtime refuses about node classes, all of it in one error."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, SecretStr

from exospherehost import BaseNode, ConfigurationError
from tests._support.nodes import Echo
from tests._support.runtimes import make_runtime

URI = "http://localhost"


class Text(BaseModel):
    text: str


class Number(BaseModel):
    amount: int
    text: str
    share: float = 0.5


def node(name: str, **members: Any) -> type[BaseNode]:
    """A node class with these members, and an `execute` unless it says otherwise."""

    async def execute(self: BaseNode) -> None:
        """Do nothing."""

    given = {"execute": execute, **members}
    return type(name, (BaseNode,), {key: value for key, value in given.items() if value is not None})


def refusal(*nodes: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        make_runtime(URI, *nodes)
    return str(caught.value)


def test_all_problems_of_all_nodes_come_in_one_error() -> None:
    text = refusal(
        node("First", Inputs=Number, Outputs=Number),
        node("Second", Secrets=Number),
        node("Second", execute=None),
        node("Third", Inputs=dict),
        int,
    )

    for problem in (
        "First.Inputs.amount is int",
        "First.Inputs.share is float",
        "First.Outputs.amount is int",
        "Second.Secrets.amount is int",
        "Second is given twice",
        "Second has no execute",
        "Third.Inputs is not a class that inherits from pydantic.BaseModel",
        "int is not a class that inherits from BaseNode",
    ):
        assert problem in text
    assert ".text is" not in text


@pytest.mark.parametrize(
    "annotation",
    [int, bool, bytes, Any, str | int, None, list[str], dict[str, str], Literal["a", 1], SecretStr, "int"],
    ids=str,
)
def test_only_text_is_a_field(annotation: Any) -> None:
    model = type("Inputs", (BaseModel,), {"__annotations__": {"field": annotation}})

    text = refusal(node("Odd", Inputs=model))

    assert "Odd.Inputs.field is " in text
    assert "json.dumps" in text


def test_str_with_limits_defaults_and_descriptions_is_a_field() -> None:
    class Inputs(BaseModel):
        plain: str
        limited: Annotated[str, Field(max_length=5)]
        described: str = Field(default="x", description="text", alias="other")
        defaulted: str = ""

    make_runtime(URI, node("Fine", Inputs=Inputs, Outputs=Inputs, Secrets=Inputs))


def test_models_may_be_left_out() -> None:
    make_runtime(URI, node("Bare"))


def test_models_are_inherited() -> None:
    class Louder(Echo):
        async def execute(self) -> Echo.Outputs:
            return self.Outputs(text=self.inputs.text.upper())

    make_runtime(URI, Louder, Echo)

    assert Louder.Inputs is Echo.Inputs


def test_same_class_twice_is_refused() -> None:
    assert "Echo is given twice" in refusal(Echo, Echo)


@pytest.mark.parametrize("wrong", [Echo(), "Echo", None, Text], ids=["instance", "name", "None", "model"])
def test_what_is_no_node_class_is_refused(wrong: object) -> None:
    assert "is not a class that inherits from BaseNode" in refusal(wrong)


def test_nodes_may_be_any_iterable() -> None:
    from exospherehost import Runtime

    runtime = Runtime("ns", "rt", (each for each in [Echo]), URI, "k-0123456789")  # type: ignore[arg-type]

    assert list(runtime._plan.nodes) == ["Echo"]


class Wide(BaseModel):
    width: str


class Deep(BaseModel):
    depth: str


class Generic(BaseNode[Text, Wide, Deep]):
    async def execute(self) -> Wide:
        return Wide(width=self.inputs.text + self.secrets.depth)


def test_generic_form_names_the_models() -> None:
    assert (Generic.Inputs, Generic.Outputs, Generic.Secrets) == (Text, Wide, Deep)


def test_generic_form_may_leave_out_what_comes_last() -> None:
    class Short(BaseNode[Text, Wide]):
        async def execute(self) -> Wide:
            return Wide(width="1")

    assert (Short.Inputs, Short.Outputs) == (Text, Wide)
    assert Short.Secrets.model_fields == {}


def test_generic_form_is_checked_like_the_other() -> None:
    class Odd(BaseNode[Number, Text]):
        async def execute(self) -> Text:
            return Text(text="")

    assert "Odd.Inputs.amount is int" in refusal(Odd)


def test_nested_model_goes_before_the_brackets() -> None:
    class Both(BaseNode[Text, Wide]):
        class Inputs(BaseModel):
            other: str

        async def execute(self) -> Wide:
            return Wide(width="")

    assert list(Both.Inputs.model_fields) == ["other"]


def test_grandchild_keeps_the_model_that_its_parent_has_replaced() -> None:
    class Child(Generic):
        class Inputs(BaseModel):
            other: str

    class Grandchild(Child):
        pass

    assert Grandchild.Inputs is Child.Inputs
    assert Grandchild.Outputs is Wide
