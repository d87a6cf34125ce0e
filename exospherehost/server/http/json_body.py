"""Reads request bodies, and finds in them what JSON can carry but storage cannot."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, cast

from pydantic_core import from_json

from exospherehost._rules.json_values import as_list, as_object
from exospherehost._rules.model import FieldIssue

MAX_DEPTH = 200
"""How deep values may be nested."""

MAX_VALUES = 1_000_000
"""How many values a body may have, counted by the commas and brackets between them."""

_MOST_ISSUES = 1_000
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BETWEEN_VALUES = (b",", b"[", b"{")
_MIN_INTEGER = -(2**63)
_MAX_INTEGER = 2**63 - 1
_MAX_INTEGER_CHARACTERS = 20
_SHOWN_CHARACTERS = 40


class BodyNotUtf8(ValueError):
    """The body is not UTF-8 text (400)."""


class JsonInvalid(ValueError):
    """The body is not JSON (422).

    Attributes:
        offset: Where in the text reading failed, in characters.
        reason: What was found there.
    """

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(offset, reason)
        self.offset = offset
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.reason} at character {self.offset}"


class TooManyValues(ValueError):
    """The body has more values than can be held in memory for it (422)."""

    def __init__(self) -> None:
        super().__init__(f"Send at most {MAX_VALUES} values in one body")


class _Unreadable(str):
    """Stands in for an integer too long to be worth converting."""

    __slots__ = ()


def decode(raw: bytes) -> tuple[Any, list[FieldIssue]]:
    """Read a body.

    Returns:
        The value, and the issues for which it must be answered with 422. With issues the value
        is fit for nothing but further checks.

    Raises:
        BodyNotUtf8: The bytes are not UTF-8.
        JsonInvalid: The text is not JSON.
        TooManyValues: There are more values in it than a body may have.
    """
    if len(raw) > MAX_VALUES and _count_values(raw) > MAX_VALUES:
        raise TooManyValues
    if sound := _read_sound(raw):
        return sound[0], []
    # What is wrong the slower reading tells, as a client is to be told.
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BodyNotUtf8("the body is not UTF-8 text") from error
    try:
        value = json.loads(text, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise JsonInvalid(error.pos, error.msg) from error
    except RecursionError:
        return None, [_too_deep(("body",))]
    return value, unsafe_values(value)


def unsafe_values(value: Any, loc: tuple[str | int, ...] = ("body",)) -> list[FieldIssue]:
    """Return an issue for each value that cannot be stored or sent on as it is.

    These are numbers that are not finite, integers beyond signed 64 bits, text with half of a
    surrogate pair (also as a key), and whatever is nested too deep. NUL characters are fine.
    """
    issues: list[FieldIssue] = []
    path: list[str | int] = []
    # A stack of our own, since the depth is the sender's choice; of what is in work only, since the width is too.
    stack: list[Iterator[tuple[str | int, Any]]] = []

    def look(item: Any) -> FieldIssue | None:
        entries = _entries(item)
        if entries is None:
            return _unsafe_scalar(item, loc, path)
        if len(path) >= MAX_DEPTH:
            return _too_deep((*loc, *path))
        if not all(isinstance(key, int) or _encodable(key) for key, _ in entries):
            return _half_pair((*loc, *path))
        stack.append(iter(entries))
        path.append(0)
        return None

    issue = look(value)
    while True:
        if issue is not None:
            issues.append(issue)
        entry: tuple[str | int, Any] | None = None
        while stack and (entry := next(stack[-1], None)) is None:
            stack.pop()
            path.pop()
        if entry is None or len(issues) >= _MOST_ISSUES:
            return issues
        path[-1], item = entry
        issue = look(item)


def _read_sound(raw: bytes) -> Sequence[Any]:
    """Return the value of a body in which all is well; nothing of any other."""
    try:
        # Of values, which may be secret, nothing is to be kept for the next body.
        value = from_json(raw, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        return ()
    return (value,) if _is_safe(value, MAX_DEPTH) else ()


def _is_safe(value: Any, depth: int) -> bool:
    """Tell whether :func:`unsafe_values` has nothing to say of a value whose text is known to be sound."""
    kind = cast("object", type(value))
    if kind is dict:
        items: Collection[Any] = value.values()
    elif kind is list:
        items = value
    elif kind is int:
        return bool(_MIN_INTEGER <= value <= _MAX_INTEGER)
    else:
        return kind is not float or math.isfinite(value)
    if not depth:
        return False
    for item in items:
        # Most of what comes, and not worth a call.
        if type(item) is str:
            continue
        if not _is_safe(item, depth - 1):
            return False
    return True


def _entries(value: Any) -> Sequence[tuple[str | int, Any]] | None:
    """Return what a container holds, by key or index; None for anything else."""
    if (document := as_object(value)) is not None:
        return list(document.items())
    if (items := as_list(value)) is not None:
        return list(enumerate(items))
    return None


def _unsafe_scalar(value: Any, loc: tuple[str | int, ...], path: Sequence[str | int]) -> FieldIssue | None:
    match value:
        case _Unreadable():
            return _out_of_range((*loc, *path), str(value))
        case str() if not _encodable(value):
            return _half_pair((*loc, *path))
        case int() if not _MIN_INTEGER <= value <= _MAX_INTEGER:
            return _out_of_range((*loc, *path), f"an integer of {value.bit_length()} bits")
        case float() if not math.isfinite(value):
            return FieldIssue("finite_number", (*loc, *path), "Give a finite number", str(value))
        case _:
            return None


def _count_values(raw: bytes) -> int:
    """Return how many commas and opening brackets there are, those in strings left out where that matters."""
    found = sum(map(raw.count, _BETWEEN_VALUES))
    if found <= MAX_VALUES:
        return found
    for string in _STRING.finditer(raw):
        found -= sum(raw.count(mark, *string.span()) for mark in _BETWEEN_VALUES)
    return found


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= _MAX_INTEGER_CHARACTERS else _Unreadable(text)


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _out_of_range(loc: tuple[str | int, ...], text: str) -> FieldIssue:
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    return FieldIssue("int_out_of_range", loc, "Give an integer that fits into 64 bits, or text", shown)


def _half_pair(loc: tuple[str | int, ...]) -> FieldIssue:
    return FieldIssue("string_unicode", loc, "Give text without halves of surrogate pairs, here or as a key")


def _too_deep(loc: tuple[str | int, ...]) -> FieldIssue:
    return FieldIssue("nesting_too_deep", loc[: MAX_DEPTH // 10], f"Nest values at most {MAX_DEPTH} deep")
