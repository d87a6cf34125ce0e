"""Protected values are taken out of a text in every spelling, whole or cut short."""

from __future__ import annotations

import json
from urllib.parse import quote, urlencode

import pytest
from pydantic import BaseModel, ValidationError

from exospherehost._redaction import MASK, MAX_ERROR_LENGTH, Redactor, describe_exception

PLAIN = "sk-live-4f9a8b7c6d5e"
AWKWARD = "p\"a's\\s\n\twörd/€ & more=1"

SPELLINGS = {
    "as it is": lambda value: value,
    "repr": repr,
    "ascii": ascii,
    "repr of a text around it": lambda value: repr(f"'\"{value}\"'"),
    "JSON": json.dumps,
    "JSON without escapes": lambda value: json.dumps(value, ensure_ascii=False),
    "percent-encoded": lambda value: quote(value, safe=""),
    "percent-encoded path": quote,
    "form": lambda value: urlencode({"v": value}),
    "inside a repr": lambda value: repr({"key": [value]}),
}


@pytest.mark.parametrize("value", [PLAIN, AWKWARD, "ab", "0"], ids=["plain", "awkward", "short", "digit"])
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_value_is_replaced_in_every_spelling(value: str, spelling: object) -> None:
    assert callable(spelling)
    spelled = spelling(value)

    text = Redactor([value])(f"before {spelled} after")

    assert value not in text
    assert MASK in text
    assert text.startswith("before ")
    assert text.endswith(" after")


def test_no_part_of_an_awkward_value_is_left() -> None:
    text = Redactor([AWKWARD])(f"{AWKWARD!r} {json.dumps(AWKWARD)}")

    for part in ("wörd", "w\\u00f6rd", "more=1"):
        assert part not in text


@pytest.mark.parametrize("kept", [13, 20, 30, 59])
def test_beginning_and_end_of_a_value_are_replaced(kept: int) -> None:
    value = "".join(f"{number:02d}" for number in range(10, 40))
    redact = Redactor([value])

    assert redact(f"<{value[:kept]}...") == f"<{MASK}..."
    assert redact(f"...{value[-kept:]}>") == f"...{MASK}>"
    assert redact(f"{value[:kept]}...{value[-kept:]}") == f"{MASK}...{MASK}"


def test_lines_of_a_value_are_replaced_alone() -> None:
    value = "-----BEGIN KEY-----\nMIIabcdefgh\nMIIijklmnop\n-----END KEY-----\n"

    text = Redactor([value])("line 2 is MIIabcdefgh")

    assert "MIIabcdefgh" not in text


def test_value_without_its_outer_blanks_is_replaced() -> None:
    assert "tok" not in Redactor([" tok\n"])("the header was tok")


def test_value_that_holds_another_goes_whole() -> None:
    assert Redactor(["abc", "abc-def"])("x abc-def y") == f"x {MASK} y"


@pytest.mark.parametrize("values", [[], [""], ["  "], ["", "\n"]])
def test_blank_values_replace_nothing(values: list[str]) -> None:
    assert Redactor(values)("some text") == "some text"


def test_pattern_letters_are_no_pattern() -> None:
    redact = Redactor(["a.b*", "(x"])

    assert redact("aXbb (y") == "aXbb (y"
    assert redact("a.b* (x") == f"{MASK} {MASK}"


def test_repr_shows_no_value() -> None:
    assert PLAIN not in repr(Redactor([PLAIN]))


def test_pydantic_error_is_described_without_what_it_quotes() -> None:
    class Model(BaseModel):
        number: int
        other: int

    with pytest.raises(ValidationError) as caught:
        Model.model_validate({"number": PLAIN, "other": "x" * 100})

    text = describe_exception(caught.value, Redactor([]))

    assert PLAIN not in text
    assert "xxx" not in text
    assert "number: Input should be a valid integer" in text


def test_pydantic_error_inside_another_text_loses_its_quotations() -> None:
    class Model(BaseModel):
        number: int

    with pytest.raises(ValidationError) as caught:
        Model.model_validate({"number": {"deep": PLAIN * 10}})

    text = describe_exception(RuntimeError(f"while loading: {caught.value}"), Redactor([]))

    assert "sk-live" not in text
    assert "while loading" in text


def test_value_cut_by_the_bound_of_the_text_leaves_nothing() -> None:
    half = (MAX_ERROR_LENGTH - 40) // 2
    for shift in range(0, len(PLAIN) + 30, 3):
        text = describe_exception(RuntimeError("x" * (half - shift) + PLAIN + "y" * 40_000), Redactor([PLAIN]))
        assert "sk-" not in text
        assert "5e" not in text
