"""Values that must not leave: API keys and secrets are taken out of every text that does."""

from __future__ import annotations

import json
import traceback
from base64 import b64encode
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
_MIN_LONG_LENGTH = 8
"""From this length on a value is replaced wherever it stands, and each line of it too."""
_PIECE_LENGTH = 12
"""How much of a value must be there for it to be known when it has been cut short."""

_LONGEST_READ = 64 * 1024
"""How much is read at either end of a user's text, in characters: far more than is reported."""

_PACKAGE = str(Path(__file__).parent)
# pydantic quotes, and cuts in the middle, what it refuses; its text may come wrapped in another error's.
_QUOTE, _END_OF_QUOTE = "input_value=", ", input_type="
_URL_SAFE = str.maketrans("+/", "-_")


class Redactor:
    """Replaces a fixed set of values, in every spelling in which a text may hold them, whole or cut short.

    A value of fewer than 8 characters is replaced only where it stands alone, with neither letter nor digit beside it.
    The work grows with the length of the text, whatever the text is.
    """

    __slots__ = ("_long", "_short", "_wrapped")

    def __init__(self, values: Iterable[str]) -> None:
        known = {value for value in values if isinstance(value, str) and value.strip()}
        long = {value for value in known if len(value.strip()) >= _MIN_LONG_LENGTH}
        self._long = sorted({spelling for value in long for spelling in _spellings(value)})
        self._short = sorted({spelling for value in known - long for spelling in _spellings(value)})
        self._wrapped = sorted({"".join(value.split()) for value in long if len(value) > _PIECE_LENGTH})

    def __repr__(self) -> str:
        return "Redactor(...)"

    def __call__(self, text: str) -> str:
        """Return the text with every protected value replaced."""
        parts: list[str] = []
        end = 0
        for first, last in _merged(self._spans(text)):
            parts += (text[end:first], MASK)
            end = last
        return "".join((*parts, text[end:])) if parts else text

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        for spelling in self._short:
            for start in _occurrences(text, spelling):
                if _stands_alone(text, start, start + len(spelling)):
                    yield start, start + len(spelling)
        for spelling in self._long:
            if len(spelling) <= _PIECE_LENGTH:
                yield from ((start, start + len(spelling)) for start in _occurrences(text, spelling))
            else:
                yield from _beginnings(text, spelling)
                yield from _endings(text, spelling)
        if self._wrapped and "\n" in text:
            places = [place for place, letter in enumerate(text) if not letter.isspace()]
            squeezed = "".join([text[place] for place in places])
            for value in self._wrapped:
                for start in _occurrences(squeezed, value):
                    yield places[start], places[start + len(value) - 1] + 1


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield spans in order, those that overlap as one."""
    current: tuple[int, int] | None = None
    for first, last in sorted(spans):
        if current is not None and first < current[1]:
            current = current[0], max(current[1], last)
            continue
        if current is not None:
            yield current
        current = first, last
    if current is not None:
        yield current


def _occurrences(text: str, part: str) -> Iterator[int]:
    start = text.find(part)
    while start >= 0:
        yield start
        start = text.find(part, start + len(part))


def _stands_alone(text: str, start: int, end: int) -> bool:
    return not (_is_of_a_word(text[start - 1 : start]) or _is_of_a_word(text[end : end + 1]))


def _is_of_a_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"


def _beginnings(text: str, value: str) -> Iterator[tuple[int, int]]:
    """Yield where the text agrees with a value from its beginning on, whole or cut short."""
    piece = value[:_PIECE_LENGTH]
    start = text.find(piece)
    while start >= 0:
        end = start + _PIECE_LENGTH
        while end - start < len(value) and text[end : end + 1] == value[end - start]:
            end += 1
        yield start, end
        start = text.find(piece, end)


def _endings(text: str, value: str) -> Iterator[tuple[int, int]]:
    """Yield where the text agrees with a value up to its end, whole or without its beginning."""
    piece = value[-_PIECE_LENGTH:]
    last = len(text)
    found = text.rfind(piece)
    while found >= 0:
        first, last = found, found + _PIECE_LENGTH
        while last - first < len(value) and first > 0 and text[first - 1] == value[first - 1 - last]:
            first -= 1
        yield first, last
        found = text.rfind(piece, 0, first)


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
    text = "\n".join([_headline(error, redact), *(_described(frame, redact) for frame in frames)])
    for inner in _members(error):
        text += f"\nwith {_headline(inner, redact)}"
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        text += f"\ncaused by {_headline(cause, redact)}"
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


def _described(frame: traceback.FrameSummary, redact: Redactor) -> str:
    """Describe a frame as Python does; what stands in it of the user's is redacted, and not its number."""
    place = f'  File "{redact(frame.filename)}", line {frame.lineno}, in {frame.name}'
    return f"{place}\n    {_redacted(frame.line, redact)}" if frame.line else place


def _redacted(text: str, redact: Redactor) -> str:
    """Redact a user's text; of a very long one only its ends are read."""
    if len(text) <= 2 * _LONGEST_READ:
        return redact(text)
    # At the cut less of a value may be left than it is known by: that goes too.
    head, tail = redact(text[:_LONGEST_READ])[:-_PIECE_LENGTH], redact(text[-_LONGEST_READ:])[_PIECE_LENGTH:]
    return f"{head}\n... {len(text) - 2 * _LONGEST_READ} characters cut ...\n{tail}"


def _without_quotations(text: str) -> str:
    parts: list[str] = []
    end = 0
    while (start := text.find(_QUOTE, end)) >= 0 and (last := text.find(_END_OF_QUOTE, start)) >= 0:
        parts += (text[end:start], f"{_QUOTE}{MASK}")
        end = last
    return "".join((*parts, text[end:]))


def _headline(error: BaseException, redact: Redactor) -> str:
    # pydantic's own text quotes, and cuts, the values that it refused.
    if isinstance(error, ValidationError):
        message = describe_validation_error(error)
    else:
        try:
            message = _without_quotations(str(error))
        except BaseException as failure:  # noqa: BLE001 - a user's __str__ may raise anything
            message = f"(its text cannot be made: {type(failure).__name__})"
    name = type(error).__qualname__
    return f"{name}: {_redacted(message, redact)}" if message else name


def _spellings(value: str) -> Iterator[str]:
    lines = {line for line in value.splitlines() if len(line) >= _MIN_LONG_LENGTH}
    for part in {value, value.strip(), *lines}:
        quoted = (
            repr(part)[1:-1],
            # As part of a text that has both kinds of quotes, so that repr escapes one.
            repr(f"\"{part}'")[2:-3],
            ascii(part)[1:-1],
            repr(part.encode("utf-8", "surrogatepass"))[2:-1],
            json.dumps(part)[1:-1],
            json.dumps(part, ensure_ascii=False)[1:-1],
        )
        yield from (part, *quoted)
        # JSON in JSON, and JSON of those who escape slashes.
        yield from (json.dumps(text)[1:-1] for text in quoted[-2:])
        yield from (text.replace("/", "\\/") for text in quoted[-2:])
        safe = part.encode("utf-8", "surrogatepass")
        yield from (quote(safe, safe=""), quote(safe), quote_plus(safe))
        if len(part) >= _MIN_LONG_LENGTH:
            yield from _in_base64(safe)


def _in_base64(value: bytes) -> Iterator[str]:
    """Yield what base64 makes of a value within other bytes, as in a header for basic authentication."""
    for before in range(3):
        # Of the first and the last group, what does not depend on the bytes beside the value.
        first = (before * 8 + 5) // 6
        bits = (before + len(value)) * 8
        encoded = b64encode(b"\0" * before + value).decode("ascii")[first : bits // 6]
        yield from {encoded, encoded.translate(_URL_SAFE)}
