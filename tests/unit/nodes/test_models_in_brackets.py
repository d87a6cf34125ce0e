"""Models in the brackets of a node's bases: found through generic classes, or refused when the class is made."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import pytest
from pydantic import BaseModel

from exospherehost import BaseNode, ConfigurationError
from tests._support.runtimes import make_runtime

URI = "http://localhost"


class In(BaseModel):
    text: str


class Out(BaseModel):
    text: str


class Other(BaseModel):
    text: str


class Holder:
    class Within(BaseModel):
        text: str


I = TypeVar("I")  # noqa: E741 - as users write them
O = TypeVar("O")  # noqa: E741 - as above


async def execute(_self: object) -> None: ...


class Company(BaseNode[I, O], Generic[I, O]):
    pass


class Turned(BaseNode[O, I], Generic[I, O]):
    pass


class HalfOpen(BaseNode[In, O], Generic[O]):
    pass


def models(node: type[BaseNode]) -> tuple[type[BaseModel], type[BaseModel]]:
    return node.Inputs, node.Outputs


def test_a_generic_base_hands_its_parameters_on() -> None:
    class Leaf(Company[In, Out]): ...

    class Crossed(Turned[In, Out]): ...

    class Filled(HalfOpen[Other]): ...

    assert models(Leaf) == (In, Out)
    assert models(Crossed) == (Out, In)
    assert models(Filled) == (In, Other)


def test_generic_bases_may_be_nested() -> None:
    class Department(Company[I, Out], Generic[I]): ...

    class Leaf(Department[In]): ...

    class Below(Leaf): ...

    assert models(Leaf) == models(Below) == (In, Out)


def test_a_nested_model_wins_over_the_brackets() -> None:
    class Leaf(Company[In, Out]):
        class Outputs(BaseModel):
            other: str

    assert Leaf.Inputs is In
    assert list(Leaf.Outputs.model_fields) == ["other"]


def test_a_name_in_quotes_is_resolved() -> None:
    class Leaf(BaseNode["In", "Holder.Within"]): ...

    assert models(Leaf) == (In, Holder.Within)


@pytest.mark.parametrize("left_open", [Any, None])
def test_brackets_may_leave_a_model_open(left_open: Any) -> None:
    class Leaf(BaseNode[In, left_open]): ...

    assert Leaf.Inputs is In
    assert not Leaf.Outputs.model_fields


def test_an_unknown_name_in_quotes_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(ConfigurationError, match=r"Leaf: Outputs in the brackets is 'Missing'.*define the model above"):

        class Leaf(BaseNode["In", "Missing"]): ...  # type: ignore[name-defined]


@pytest.mark.parametrize(("wrong", "named"), [(str, "str"), (dict[str, str], "dict[str, str]"), (In | Out, "In | ")])
def test_what_is_no_model_is_refused_when_the_class_is_made(wrong: Any, named: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Leaf: Inputs in the brackets is .*name a model there") as caught:

        class Leaf(BaseNode[wrong, Out]): ...

    assert named in str(caught.value)


@pytest.mark.parametrize("singular", ["Input", "Output", "Secret"])
def test_a_model_of_a_name_that_no_node_has_is_refused(singular: str) -> None:
    node = type("Leaf", (BaseNode,), {singular: In, "execute": execute})

    with pytest.raises(ConfigurationError, match=rf"Leaf\.{singular} is a model .*; rename it to {singular}s"):
        make_runtime(URI, node)


@pytest.mark.parametrize(("attribute", "model"), [("inputs", "Inputs"), ("secrets", "Secrets")])
def test_a_field_of_a_model_that_is_not_declared_says_what_to_declare(attribute: str, model: str) -> None:
    class Leaf(BaseNode):
        async def execute(self) -> None: ...

    leaf = Leaf()
    assert (leaf.inputs, leaf.secrets) == (None, None)
    setattr(leaf, attribute, getattr(Leaf, model)())

    with pytest.raises(AttributeError, match=rf"declares no {model}, so self\.{attribute} has no 'token'; declare"):
        getattr(leaf, attribute).token  # noqa: B018 - what this is about
