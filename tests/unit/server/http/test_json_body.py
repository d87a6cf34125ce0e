"""Bodies: what JSON allows but cannot be stored is found, with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exospherehost.server.http.json_body import MAX_DEPTH, BodyNotUtf8, JsonInvalid, decode, unsafe_values


@pytest.mark.parametrize(
    ("raw", "loc", "kind"),
    [
        (b'{"a": NaN}', ["body", "a"], "finite_number"),
        (b'{"a": [1, -Infinity]}', ["body", "a", 1], "finite_number"),
        (b"[1e999]", ["body", 0], "finite_number"),
        (b"[9223372036854775808]", ["body", 0], "int_out_of_range"),
        (b"[-9223372036854775809]", ["body", 0], "int_out_of_range"),
        (b"[" + b"9" * 6_000 + b"]", ["body", 0], "int_out_of_range"),
        (b'{"a": "\\ud800"}', ["body", "a"], "string_unicode"),
        (b'{"a": {"\\udfff": 1}}', ["body", "a"], "string_unicode"),
    ],
)
def test_finds_what_cannot_be_stored(raw: bytes, loc: list[str | int], kind: str) -> None:
    _, issues = decode(raw)
    (issue,) = issues
    assert (list(issue.loc), issue.type) == (loc, kind)
    assert json.dumps(issue.to_json(), allow_nan=False).encode()


def test_lists_all_problems_in_the_order_of_the_body() -> None:
    _, issues = decode(b'{"b": [NaN, 0, NaN], "a": Infinity}')
    assert [issue.loc for issue in issues] == [("body", "b", 0), ("body", "b", 2), ("body", "a")]


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, -1.5, True, None, "ü😀", {"": {}}]},
        [2**63 - 1, -(2**63)],
        "\x00",
        0,
    ],
)
def test_lets_everything_else_through(value: object) -> None:
    assert decode(json.dumps(value).encode()) == (value, [])


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 100_000])
def test_refuses_what_is_nested_too_deep(opening: bytes, depth: int) -> None:
    closing = b"]" if opening == b"[" else b"}"
    _, issues = decode(opening * depth + b"1" + closing * depth)
    (issue,) = issues
    assert issue.type == "nesting_too_deep"
    assert issue.loc[0] == "body"


def test_refuses_what_is_empty_and_one_too_deep() -> None:
    _, issues = decode(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))
    assert [issue.type for issue in issues] == ["nesting_too_deep"]


def test_accepts_the_greatest_depth() -> None:
    _, issues = decode(b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH)
    assert issues == []


@pytest.mark.parametrize(("raw", "offset"), [(b"", 0), (b"{", 1), (b'{"a": x}', 6), (b"{} {}", 3)])
def test_tells_where_json_is_malformed(raw: bytes, offset: int) -> None:
    with pytest.raises(JsonInvalid) as caught:
        decode(raw)
    assert caught.value.offset == offset
    assert str(offset) in str(caught.value)


def test_refuses_other_encodings() -> None:
    with pytest.raises(BodyNotUtf8):
        decode('{"a": "ü"}'.encode("latin-1"))


def test_integers_of_any_length_can_be_checked() -> None:
    (issue,) = unsafe_values([10**5_000], ("body", "outputs"))
    assert issue.loc == ("body", "outputs", 0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
)


@given(JSON)
def test_what_passes_can_be_encoded(value: Any) -> None:
    if not unsafe_values(value):
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")


@given(JSON, st.booleans())
def test_a_body_is_read_as_the_standard_library_reads_it(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    try:
        raw = text.encode("utf-8")
    except UnicodeEncodeError:
        return
    read, issues = decode(raw)
    assert [(issue.type, issue.loc) for issue in issues] == [
        (issue.type, issue.loc) for issue in unsafe_values(json.loads(text))
    ]
    if not issues:
        assert json.dumps(read) == json.dumps(json.loads(text))
