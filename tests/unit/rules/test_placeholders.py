"""Input templates: what is a placeholder, what is literal, what is an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exospherehost._rules.placeholders import (
    OutputReference,
    PlaceholderError,
    Reference,
    StoreReference,
    parse,
    render,
)


def fill(reference: Reference) -> str:
    if isinstance(reference, StoreReference):
        return f"<store {reference.key}>"
    return f"<{reference.identifier} {reference.field}>"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("", ""),
        ("plain", "plain"),
        ("${{a.outputs.y}}", "<a y>"),
        ("${{store.k}}", "<store k>"),
        ("${{store.outputs.k}}", "<store k>"),
        ("${{ \t\na . outputs . y\n }}", "<a y>"),
        ("x ${{a.outputs.y}} — ${{store.k}}${{a.outputs.y}} ü", "x <a y> — <store k><a y> ü"),
        ("$${{a.outputs.y}}", "$<a y>"),
        ("\\${{a.outputs.y}}", "\\<a y>"),
        ("}}", "}}"),
        ("{{a.outputs.y}}", "{{a.outputs.y}}"),
        ("$ {{a.outputs.y}}", "$ {{a.outputs.y}}"),
        ("${a.outputs.y}", "${a.outputs.y}"),
        ("${{a.outputs.y}} }}", "<a y> }}"),
        ("${{{a.outputs.y}}}", "<{a y>}"),
        ("${{a.outputs.}}", "<a >"),
        ("${{.outputs.y}}", "< y>"),
        ("${{store.}}", "<store >"),
        ("${{Store.outputs.k}}", "<Store k>"),
    ],
)
def test_renders(text: str, result: str) -> None:
    assert render(parse(text), fill) == result


@pytest.mark.parametrize(
    "text",
    [
        "${{",
        "x ${{a.outputs.y",
        "${{a.outputs.y}",
        "${{}}",
        "${{  }}",
        "${{a}}",
        "${{store}}",
        "${{a.y}}",
        "${{a.Outputs.y}}",
        "${{a.inputs.y}}",
        "${{Store.k}}",
        "${{a.outputs.y.z}}",
        "${{store.a.b}}",
        "${{a.b.outputs.y}}",
        "${{ ${{store.k}} }}",
        "fine ${{store.k}} then ${{",
    ],
)
def test_refuses(text: str) -> None:
    with pytest.raises(PlaceholderError):
        parse(text)


def test_an_error_shows_only_the_start_of_a_long_placeholder() -> None:
    with pytest.raises(PlaceholderError) as caught:
        parse("${{" + "x" * 10_000)
    assert len(str(caught.value)) < 200


def test_what_is_put_in_is_not_read_again() -> None:
    template = parse("${{store.k}}")
    assert render(template, lambda _: "${{store.other}}") == "${{store.other}}"


def test_references_are_listed_in_order_with_repeats() -> None:
    template = parse("${{store.k}} ${{a.outputs.y}} ${{store.k}}")
    assert template.references == (
        StoreReference("k"),
        OutputReference("a", "y"),
        StoreReference("k"),
    )


@given(st.text().filter(lambda text: "${{" not in text))
def test_text_without_an_opener_stays_as_it_is(text: str) -> None:
    assert render(parse(text), fill) == text


NAMES = st.text(st.characters(codec="utf-8", exclude_characters=".{}$"), min_size=1).filter(
    lambda name: name == name.strip() and name != "store"
)
PIECES = st.one_of(
    st.text().filter(lambda text: not set(text) & set("${}")),
    st.builds(OutputReference, NAMES, NAMES),
    st.builds(StoreReference, NAMES),
)


@given(st.lists(PIECES))
def test_a_template_written_from_pieces_renders_to_them(pieces: list[str | Reference]) -> None:
    def source(piece: str | Reference) -> str:
        match piece:
            case str():
                return piece
            case StoreReference(key):
                return f"${{{{ store.{key}\t}}}}"
            case OutputReference(identifier, field):
                return f"${{{{{identifier} .outputs. {field}}}}}"

    text = "".join(source(piece) for piece in pieces)
    expected = "".join(piece if isinstance(piece, str) else fill(piece) for piece in pieces)
    assert render(parse(text), fill) == expected
