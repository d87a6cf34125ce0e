"""A template that spells a placeholder in another language's way is refused, with the right spelling."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from exospherehost import GraphNodeModel
from exospherehost._graphs import models
from exospherehost._rules.placeholders import parse


def template(text: Any) -> GraphNodeModel:
    return GraphNodeModel(node_name="A", namespace="ns", identifier="b", inputs={"text": text})


@pytest.mark.parametrize(
    ("text", "misspelt", "right"),
    [
        ("${a.outputs.x}", "${a.outputs.x}", "${{a.outputs.x}}"),
        ("before ${ a.outputs.x } after", "${ a.outputs.x }", "${{a.outputs.x}}"),
        ("{{ a.outputs.x }}", "{{ a.outputs.x }}", "${{a.outputs.x}}"),
        ("{{a.outputs.x}}", "{{a.outputs.x}}", "${{a.outputs.x}}"),
        ("${store.key}", "${store.key}", "${{store.key}}"),
        ("{{ store.key }}", "{{ store.key }}", "${{store.key}}"),
        ("${{a.outputs.x}} and {{ b.outputs.y }}", "{{ b.outputs.y }}", "${{b.outputs.y}}"),
    ],
)
def test_the_right_spelling_is_named(text: str, misspelt: str, right: str) -> None:
    with pytest.raises(ValidationError) as caught:
        template(text)

    (issue,) = caught.value.errors()
    assert f"input 'text' has {misspelt!r}, which the service takes for plain text; write {right!r}" in issue["msg"]
    assert parse(right).references


@pytest.mark.parametrize(
    "text",
    [
        "${{a.outputs.x}}",
        "${{ a.outputs.x }}",
        "${{store.key}}{{}}",
        "${HOME} {{ name }} {a.outputs.x} $a.outputs.x",
        '{"a": {"b": {}}}',
        7,
        None,
    ],
)
def test_other_text_is_taken_as_it_is(text: Any) -> None:
    assert template(text).inputs == {"text": text}


def test_all_misspelt_placeholders_come_in_one_error() -> None:
    with pytest.raises(ValidationError) as caught:
        GraphNodeModel(
            node_name="A", namespace="ns", identifier="b", inputs={"one": "${a.outputs.x}", "two": "{{store.k}}"}
        )

    for name in ("one", "two"):
        assert f"input {name!r}" in str(caught.value)


@given(st.lists(st.sampled_from(["$", "{", "}", "${{", "}}", "a", ".", " ", ".outputs.", "store."]), max_size=30))
def test_a_template_without_a_misspelling_is_taken(parts: list[str]) -> None:
    text = "".join(parts)
    if not re.search(r"\$\{[^{]|\{\{", text.replace("${{", "")):
        assert template(text).inputs == {"text": text}


@pytest.mark.parametrize("unit", ["${", "{{", "${a", "{{ a.outputs.", "${store.", "{{" + " " * 50, "a" * 300])
def test_no_repetition_of_the_pattern_is_unbounded(unit: str) -> None:
    # A pattern whose repetitions are bounded does bounded work at each place, whatever the text is.
    assert not re.search(r"[^\\][*+]", models._MISSPELT.pattern)
    assert template(unit * 2_000).inputs
