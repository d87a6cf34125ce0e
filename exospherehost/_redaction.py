"""Values that must not leave: API keys and secrets are taken out of every text that does."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import quote, quote_plus

from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)

MASK = "[redacted]"
MAX_ERROR_LENGTH = 16_384
"""The longest error text that is reported for a state, in characters."""

_MAX_FRAMES = 8
_MIN_LINE_LENGTH = 8
_PIECE_LENGTH = 12
_PACKAGE = str(Path(__file__).parent)
# pydantic quotes, and cuts in the middle, what it refuses; its text may come wrapped in another error's.
_QUOTED_INPUT = re.compile(r"input_value=.*?, input_type=", re.DOTALL)


class Redactor:
    """Replaces a fixed set of values, in every spelling in which a text may hold them, cut short or not."""

    __slots__ = ("_pattern", "_spellings")

    def __init__(self, values: Iterable[str]) -> None:
        spellings = {spelling for value in values for spelling in _spellings(value)}
        # The longest first: a value that holds another must go as a whole.
        ordered = sorted(spellings, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None
        self._spellings = [spelling for spelling in ordered if len(spelling) > _PIECE_LENGTH]

    def __repr__(self) -> str:
        return "Redactor(...)"

    def __call__(self, text: str) -> str:
        """Return the text with every protected value replaced."""
        if self._pattern is None:
            return text
        text = self._pattern.sub(MASK, text)
        for spelling in self._spellings:
            text = _without_beginning(text, spelling)
            text = _without_beginning(text[::-1], spelling[::-1], MASK[::-1])[::-1]
        return text


def describe_validation_error(error: ValidationError) -> str:
    """List what pydantic found, without the values that it found it in."""
    issues = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [f"{'.'.join(map(str, issue['loc'])) or '(whole)'}: {issue['msg']}" for issue in issues]
    return f"{len(issues)} validation error(s) for {error.title}: " + "; ".join(lines)


def validated(validate: Callable[[Any], M], values: object, error_class: Callable[[str], Exception]) -> M:
    """Validate values as a model does, and raise an error of the given class that does not hold them.

    Raises:
        Exception: what `error_class` makes of the description.
    """
    try:
        return validate(values)
    except ValidationError as error:
        problem = describe_validation_error(error)
    # Raised out here: a context would hold pydantic's own error, which quotes what it refused.
    raise error_class(problem)


def validated_json(model: type[M], text: str, error_class: Callable[[str], Exception]) -> M:
    """Validate JSON as :func:`validated` validates values."""
    return validated(model.model_validate_json, text, error_class)


def describe_refusal(error: BaseException, redact: Redactor) -> str:
    """Describe an error whose message says all: one of this package, or one of making a report."""
    return _sendable(redact(describe_validation_error(error) if isinstance(error, ValidationError) else str(error)))


def describe_exception(error: BaseException, redact: Redactor) -> str:
    """Describe an exception of a user's node: type, message and the last frames, bounded in size.

    Values are replaced before the text is cut, so that no part of one can survive at the cut.
    """
    # Without this package's own frames, which say nothing about the node.
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_PACKAGE)]
    frames = frames[-_MAX_FRAMES:]
    text = redact(f"{_headline(error)}\n{''.join(traceback.format_list(frames))}".rstrip())
    for inner in _members(error):
        text += f"\nwith {redact(_headline(inner))}"
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        text += f"\ncaused by {redact(_headline(cause))}"
    return _sendable(text)


def _members(error: BaseException) -> Sequence[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return ()
    members: Sequence[BaseException] = cast("BaseExceptionGroup[BaseException]", error).exceptions
    return members[:_MAX_FRAMES]


def _sendable(text: str) -> str:
    """Bound a text, and spell out lone surrogates (from file names, for instance), which JSON in UTF-8 cannot hold."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    if len(text) > MAX_ERROR_LENGTH:
        half = (MAX_ERROR_LENGTH - 40) // 2
        text = f"{text[:half]}\n... {len(text) - 2 * half} characters cut ...\n{text[-half:]}"
    return text


def _headline(error: BaseException) -> str:
    # pydantic's own text quotes, and cuts, the values that it refused.
    if isinstance(error, ValidationError):
        message = describe_validation_error(error)
    else:
        try:
            message = _QUOTED_INPUT.sub(f"input_value={MASK}, input_type=", str(error))
        except BaseException as failure:  # noqa: BLE001 - a user's __str__ may raise anything
            message = f"(its text cannot be made: {type(failure).__name__})"
    name = type(error).__qualname__
    return f"{name}: {message}" if message else name


def _without_beginning(text: str, value: str, mask: str = MASK) -> str:
    """Replace what begins as the value does, as far as it agrees: a value that was cut short."""
    piece = value[:_PIECE_LENGTH]
    start = text.find(piece)
    while start >= 0:
        agreeing = _PIECE_LENGTH
        while text[start + agreeing : start + agreeing + 1] == value[agreeing : agreeing + 1] != "":
            agreeing += 1
        text = text[:start] + mask + text[start + agreeing :]
        start = text.find(piece, start + len(mask))
    return text


def _spellings(value: Any) -> Iterator[str]:
    if not isinstance(value, str) or not value.strip():
        return
    parts = {value, value.strip(), *(line for line in value.splitlines() if len(line) >= _MIN_LINE_LENGTH)}
    for part in parts:
        yield part
        yield repr(part)[1:-1]
        # As part of a text that has both kinds of quotes, so that repr escapes one.
        yield repr(f"\"{part}'")[2:-3]
        yield ascii(part)[1:-1]
        yield json.dumps(part)[1:-1]
        yield json.dumps(part, ensure_ascii=False)[1:-1]
        yield quote(part, safe="")
        yield quote(part)
        yield quote_plus(part)
