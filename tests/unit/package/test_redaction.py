"""Protected values are taken out of a text in every spelling, whole or cut short."""

from __future__ import annotations

import copy
import html
import json
import pickle
import re
import sys
import textwrap
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote, urlencode

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from exospherehost._redaction import (
    MASK,
    MAX_ERROR_LENGTH,
    Message,
    Redactor,
    constant,
    describe_exception,
    describe_refusal,
)

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
    "JSON in JSON": lambda value: json.dumps({"body": json.dumps({"key": value})}),
    "JSON with escaped slashes": lambda value: json.dumps(value).replace("/", "\\/"),
    "bytes": lambda value: repr(value.encode()),
    "percent-encoded in lower case": lambda value: re.sub("%..", lambda at: at[0].lower(), quote(value, safe="")),
    "HTML": html.escape,
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


@pytest.mark.parametrize("value", [PLAIN, AWKWARD], ids=["plain", "awkward"])
@pytest.mark.parametrize("user", ["", "u", "us", "user"])
def test_basic_authentication_is_replaced(value: str, user: str) -> None:
    for encode in (b64encode, urlsafe_b64encode):
        header = encode(f"{user}:{value}".encode()).decode()

        text = Redactor([value])(f"Authorization: Basic {header}, sent")

        assert MASK in text
        assert header[-8:-4] not in text
        assert text.endswith(", sent")


@pytest.mark.parametrize("value", ["s3cret", "s3cret7"])
def test_basic_authentication_with_a_short_value_is_replaced(value: str) -> None:
    header = b64encode(f"user:{value}".encode()).decode()

    text = Redactor([value])(f"Authorization: Basic {header}")

    assert MASK in text
    assert header[-8:-2] not in text


def test_a_value_of_eight_characters_that_a_text_has_wrapped_is_replaced() -> None:
    redact = Redactor(["todaylig"])

    assert redact("it is today\n  lig") == f"it is {MASK}"
    assert redact("to day lig\n") == "to day lig\n"


@pytest.mark.parametrize("width", [9, 14, 30])
def test_a_value_that_a_text_has_wrapped_is_replaced(width: int) -> None:
    value = "".join(f"{number:03d}" for number in range(100, 140))
    wrapped = "\n    ".join(textwrap.wrap(value, width))

    assert Redactor([value])(f"token = {wrapped};") == f"token = {MASK};"


@pytest.mark.parametrize(
    ("value", "text"), [("test", "the contest tested a latest test_file"), ("1", "line 12 of v1_1")]
)
def test_a_short_value_within_a_word_is_left(value: str, text: str) -> None:
    assert Redactor([value])(text) == text


def test_the_numbers_of_lines_are_left() -> None:
    def fail() -> None:
        raise ValueError("1 is wrong")

    number = str(fail.__code__.co_firstlineno + 1)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - any will do
        fail()

    text = describe_exception(caught.value, Redactor([number, "1"]))

    assert f"line {number}, in fail" in text
    assert text.startswith(f"ValueError: {MASK} is wrong")


def test_our_own_words_are_never_rewritten() -> None:
    message = Message("the state manager at {} took {}: {}", "http://state", "test", "state the test")
    redact = Redactor(["test", "state", "manager", "took"])

    masked = f"the state manager at http://{MASK} took {MASK}: {MASK} the {MASK}"
    assert redact(message) == masked
    # Redacted once more, for instance by a runtime with the secrets of a state.
    assert Redactor(["the", "at"])(redact(message)) == masked.replace(f"{MASK} the ", f"{MASK} {MASK} ")
    assert describe_refusal(RuntimeError(message), redact) == masked
    assert describe_exception(RuntimeError(message), redact) == f"RuntimeError: {masked}"


def test_a_message_keeps_its_parts_when_it_is_copied() -> None:
    message = Message("{} of {{}} {}", constant("the {state}"), PLAIN)

    assert message == f"the {{state}} of {{}} {PLAIN}"
    for other in (pickle.loads(pickle.dumps(message)), copy.deepcopy(message)):
        assert other == message
        assert Redactor([PLAIN, "state"])(other) == f"the {{state}} of {{}} {MASK}"


def test_a_message_that_a_user_has_extended_is_a_text_of_the_users() -> None:
    class Own(RuntimeError):
        def __str__(self) -> str:
            return f"{self.args[0]} {PLAIN}"

    assert PLAIN not in describe_exception(Own(Message("it failed")), Redactor([PLAIN]))


SPELLERS = st.sampled_from([(lambda value: value), *SPELLINGS.values()])


@given(
    st.text(alphabet="GHJKLMNPQ\"'\\/&<% \n\té€", min_size=8, max_size=40),
    SPELLERS,
    st.text(alphabet="xyz 12(,", max_size=20),
)
def test_no_long_value_survives_in_any_spelling(value: str, spell: Callable[[str], str], beside: str) -> None:
    assume(len(value.strip()) >= 8)

    text = Redactor([value])(f"{beside}{spell(value)}{beside}")

    # No spelling adds one of the value's letters.
    assert not set(text).intersection("GHJKLMNPQé€")
    if value.strip() == value:
        assert text.startswith(beside)
        assert text.endswith(beside)


@given(st.text(alphabet="abcdef-_.", min_size=1, max_size=7), SPELLERS)
def test_no_short_value_survives_where_it_stands_alone(value: str, spell: Callable[[str], str]) -> None:
    assert re.search(rf"(?<!\w){re.escape(value)}(?!\w)", Redactor([value])(f"X {spell(value)} Y")) is None


@given(st.text(alphabet="abc1", min_size=1, max_size=7), st.text(alphabet="abc1", min_size=1, max_size=3))
def test_a_short_value_beside_a_letter_is_left(value: str, letters: str) -> None:
    for text in (f"{letters}{value}{letters}", f"_{value}", f"{value}_"):
        if text != value:
            assert Redactor([value])(f"X {text} Y") == f"X {text} Y"


@given(st.text(min_size=8, max_size=40), st.text(max_size=60), st.text(max_size=60))
def test_no_long_value_survives_in_any_text(value: str, before: str, after: str) -> None:
    assume(len(value.strip()) >= 8)
    redact = Redactor([value])

    for spelled in (value, repr(value)[1:-1], json.dumps(value)[1:-1], quote(value, safe="")):
        text = redact(f"{before}{spelled}{after}")
        assert spelled not in text.replace(MASK, "\0") or spelled in before + after


@given(
    st.lists(st.text(alphabet="abc", min_size=1, max_size=12), max_size=4), st.text(alphabet="xyz \n=,:", max_size=200)
)
def test_a_text_without_a_value_comes_back_as_it_was(values: list[str], text: str) -> None:
    assert Redactor(values)(text) == text


@pytest.mark.parametrize(
    "text",
    [
        lambda size: "input_value=" * (size // 12),
        lambda size: PLAIN[:12] * (size // 12),
        lambda size: PLAIN * (size // len(PLAIN)),
        lambda size: "a" * size,
        lambda size: "\n" * size,
    ],
    ids=["quotations", "beginnings", "values", "one letter", "lines"],
)
def test_the_work_grows_with_the_length_and_not_faster(text: Callable[[int], str]) -> None:
    redact = Redactor([PLAIN, "a" * 40, "-----BEGIN-----\n" + "MIIabcdefgh\n" * 20])

    def work(size: int) -> int:
        calls = 0

        def count(_frame: object, _event: str, _argument: object) -> None:
            nonlocal calls
            calls += 1

        error = RuntimeError(text(size))
        sys.setprofile(count)
        try:
            describe_exception(error, redact)
        finally:
            sys.setprofile(None)
        return calls

    small, large = work(20_000), work(80_000)
    assert large < 6 * small + 5_000


def test_of_a_huge_text_only_the_ends_are_read() -> None:
    text = describe_exception(RuntimeError(f"{PLAIN} {'x' * 5_000_000} {PLAIN}"), Redactor([PLAIN]))

    assert "characters cut" in text
    assert "sk-" not in text
