"""Redaction: replaces API keys and secret values in every text that leaves the process."""

from __future__ import annotations

import html
import json
import re
import sysconfig
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Self, TypeVar, cast, get_args
from urllib.parse import quote, quote_plus

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

M = TypeVar("M", bound=BaseModel)

MASK = "[redacted]"
MAX_ERROR_LENGTH = 16_384
"""The longest error text that is reported for a state, in characters."""

_MAX_FRAMES = 8
_MIN_LONG_LENGTH = 8
"""From this length on, a value and each of its lines are replaced wherever they stand."""
_MIN_ENCODED_LENGTH = 7
"""From this length on, the base64 spelling of a shorter value is replaced too."""
_PIECE_LENGTH = 12
"""How many characters of a shortened value identify it."""

_LONGEST_READ = 64 * 1024
"""How many characters are read at either end of a user's text: far more than is reported."""

_MAX_ISSUES = 20
"""How many problems of one validation are described."""

_PACKAGE = str(Path(__file__).parent)
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
# pydantic quotes the values that it refuses and cuts them in the middle; another error may quote pydantic's text.
_QUOTE, _END_OF_QUOTE = "input_value=", ", input_type="
_URL_SAFE = str.maketrans("+/", "-_")
_PERCENT_ENCODED = re.compile("%[0-9A-F]{2}")

# The texts of these kinds are constant unless they have a context. All other texts may quote a value.
_PYDANTIC_KINDS = frozenset(get_args(ErrorType))
_ADVICE = {
    "missing": "give it, or declare a default",
    "string_type": "pass text, for instance str(value) or json.dumps(value)",
    "extra_forbidden": "leave it out, or declare it in the model",
}


class Message(str):
    """A text of this package, which keeps its constant words apart from the values in it.

    Redaction reads the values only. A secret such as `test` or `state` would otherwise rewrite our own sentences.

    Args:
        template: the constant words, with a `{}` for each value.
        values: the values, in order.
    """

    __slots__ = ("_template", "_values")

    _template: str
    _values: tuple[str, ...]

    def __new__(cls, template: str, *values: object) -> Self:
        """Put the values into the template."""
        texts = tuple(value if isinstance(value, Message) else str(value) for value in values)
        self = super().__new__(cls, template.format(*texts))
        self._template, self._values = template, texts
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._template, *self._values)

    def redacted(self, redact: Callable[[str], str]) -> Message:
        """Return the text with its values redacted."""
        return type(self)(self._template, *map(redact, self._values))


def constant(text: str) -> Message:
    """Return a text of this package without values that redaction must read."""
    return Message(text.replace("{", "{{").replace("}", "}}"))


class Redactor:
    """Replaces a fixed set of values in every supported spelling, whole or cut short.

    A value of fewer than 8 characters is replaced only where it stands alone, with neither letter nor digit beside it.
    The work grows linearly with the length of the text.

    Args:
        values: the values to replace. Blank ones are ignored.
    """

    __slots__ = ("_long", "_short", "_wrapped")

    def __init__(self, values: Iterable[str]) -> None:
        known = {value for value in values if isinstance(value, str) and value.strip()}
        long = {value for value in known if len(value.strip()) >= _MIN_LONG_LENGTH}
        short = known - long
        # In base64 a short value never stands alone; from 7 letters on its spelling is rare in other text.
        encoded = {text for value in short for text in _in_base64(_bytes(value)) if len(text) >= _MIN_ENCODED_LENGTH}
        self._long = sorted({spelling for value in long for spelling in _spellings(value)} | encoded)
        self._short = sorted({spelling for value in short for spelling in _spellings(value)})
        self._wrapped = sorted({"".join(value.split()) for value in long})

    def __repr__(self) -> str:
        return "Redactor(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Redactor holds the values that it protects, and is neither pickled nor copied")

    def __call__(self, text: str) -> str:
        """Return the text with every protected value replaced.

        Of a :class:`Message`, only the values are read.
        """
        if isinstance(text, Message):
            return text.redacted(self)
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
                    first, last = places[start], places[start + len(value) - 1] + 1
                    if "\n" in text[first:last]:
                        yield first, last


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


def describe_validation_error(
    error: ValidationError, name: str | None = None, advice: Mapping[str, str] | None = None
) -> Message:
    """Describe each problem that pydantic found by field, rule, type and remedy, and never by the value.

    Args:
        error: pydantic's error.
        name: the refused model. Default: pydantic's title of it.
        advice: remedies by pydantic's kind of problem; they override the usual ones.
    """
    issues = error.errors(include_url=False)
    shown = [_described_issue(issue, {**_ADVICE, **(advice or {})}) for issue in issues[:_MAX_ISSUES]]
    if len(issues) > _MAX_ISSUES:
        shown.append(constant(f"and {len(issues) - _MAX_ISSUES} more"))
    return Message("{} is not valid: " + "; ".join(["{}"] * len(shown)), constant(name or error.title), *shown)


def _described_issue(issue: ErrorDetails, advice: Mapping[str, str]) -> Message:
    kind = issue["type"]
    is_constant = kind in _PYDANTIC_KINDS and not issue.get("ctx")
    rule = constant(issue["msg"]) if is_constant else issue["msg"]
    # The input of a missing field is all that was given in its place.
    given = "" if kind == "missing" else f", got {type(issue['input']).__name__}"
    remedy = f" ({advice[kind]})" if kind in advice else ""
    return Message("{}: {}{}", ".".join(map(str, issue["loc"])) or "(whole)", rule, constant(given + remedy))


def validated(
    validate: Callable[[Any], M],
    values: object,
    error_class: Callable[[str], Exception],
    name: str | None = None,
    advice: Mapping[str, str] | None = None,
) -> M:
    """Validate values as a model does; the error that this raises does not hold them.

    Args:
        validate: a model's validation.
        values: the values.
        error_class: makes the error from its text, a :class:`Message`.
        name: the model, for the text. Default: pydantic's title of it.
        advice: remedies by pydantic's kind of problem; they override the usual ones.

    Raises:
        Exception: the error that `error_class` makes.
    """
    try:
        return validate(values)
    except ValidationError as error:
        problem = describe_validation_error(error, name, advice)
    # Raised outside the handler: the context would be pydantic's own error, which quotes the refused values.
    raise error_class(problem)


def validated_json(model: type[M], text: str, error_class: Callable[[str], Exception]) -> M:
    """Validate JSON as :func:`validated` validates values."""
    return validated(model.model_validate_json, text, error_class)


def describe_refusal(error: BaseException, redact: Redactor) -> str:
    """Describe an error whose message suffices: one of this package, or one of serialising a report."""
    if isinstance(error, ValidationError):
        return _sendable(_redacted(describe_validation_error(error), redact))
    return _sendable(_message_of(error, redact))


def describe_exception(error: BaseException, redact: Redactor, models: Mapping[str, str] | None = None) -> str:
    """Describe an exception of a user's node by type, message and last frames, in bounded size.

    Values are replaced before the text is cut, since part of a value could survive at the cut.

    Args:
        error: the exception.
        redact: takes protected values out.
        models: full names of the node's models by pydantic's title of them, for pydantic's errors. Default: none.
    """
    # Frames of this package say nothing about the node.
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_PACKAGE)]
    frames = frames[-_MAX_FRAMES:]
    names = models or {}
    text = "\n".join([_headline(error, redact, names), *(_described(frame, redact) for frame in frames)])
    for inner in _members(error):
        text += f"\nwith {_headline(inner, redact, names)}"
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        text += f"\ncaused by {_headline(cause, redact, names)}"
    return _sendable(text)


def place_of(error: BaseException, redact: Redactor) -> str:
    """Return the file and line of the user's code that an exception came from, redacted; empty if it has none.

    That is the innermost frame outside of this package, the standard library and installed packages, or else the
    innermost one outside of this package.
    """
    while members := _members(error):
        error = members[0]
    frames = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not frame.f_code.co_filename.startswith(_PACKAGE)
    ]
    own = [place for place in frames if not place[0].startswith(_INSTALLED) and not place[0].startswith("<")]
    if not frames:
        return ""
    file, line = (own or frames)[-1]
    return f"{redact(file)}:{line}"


def _members(error: BaseException) -> Sequence[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return ()
    members: Sequence[BaseException] = cast("BaseExceptionGroup[BaseException]", error).exceptions
    return members[:_MAX_FRAMES]


def _sendable(text: str) -> str:
    """Bound a text and spell out its lone surrogates, which JSON in UTF-8 cannot hold; file names may have them."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    if len(text) > MAX_ERROR_LENGTH:
        half = (MAX_ERROR_LENGTH - 40) // 2
        text = f"{text[:half]}\n... {len(text) - 2 * half} characters cut ...\n{text[-half:]}"
    return text


def _described(frame: traceback.FrameSummary, redact: Redactor) -> str:
    """Describe a frame as Python does; path and source line are redacted, the line's number is not."""
    place = f'  File "{redact(frame.filename)}", line {frame.lineno}, in {frame.name}'
    return f"{place}\n    {_redacted(frame.line, redact)}" if frame.line else place


def _redacted(text: str, redact: Redactor) -> str:
    """Redact a user's text; only the ends of a very long one are read."""
    if isinstance(text, Message):
        return text.redacted(partial(_redacted, redact=redact))
    if len(text) <= 2 * _LONGEST_READ:
        return redact(text)
    # The cut may leave less of a value than identifies it: drop that too.
    head, tail = redact(text[:_LONGEST_READ])[:-_PIECE_LENGTH], redact(text[-_LONGEST_READ:])[_PIECE_LENGTH:]
    return f"{head}\n... {len(text) - 2 * _LONGEST_READ} characters cut ...\n{tail}"


def _without_quotations(text: str) -> str:
    parts: list[str] = []
    end = 0
    while (start := text.find(_QUOTE, end)) >= 0 and (last := text.find(_END_OF_QUOTE, start)) >= 0:
        parts += (text[end:start], f"{_QUOTE}{MASK}")
        end = last
    return "".join((*parts, text[end:]))


def _headline(error: BaseException, redact: Redactor, models: Mapping[str, str]) -> str:
    # pydantic's own text quotes, and cuts, the refused values.
    if isinstance(error, ValidationError):
        message = _redacted(describe_validation_error(error, models.get(error.title)), redact)
    else:
        message = _message_of(error, redact)
    name = type(error).__qualname__
    return f"{name}: {message}" if message else name


def _message_of(error: BaseException, redact: Redactor) -> str:
    """Return an exception's message, redacted: all of a user's, the values of one of ours."""
    try:
        text = str(error)
    except BaseException as failure:  # noqa: BLE001 - a user's __str__ may raise anything
        return f"(its text cannot be made: {type(failure).__name__})"
    # str() has made a plain str of a Message.
    own = error.args[0] if error.args else None
    if isinstance(own, Message) and own == text:
        return _redacted(own, redact)
    return _redacted(_without_quotations(text), redact)


def _spellings(value: str) -> Iterator[str]:
    lines = {line for line in value.splitlines() if len(line) >= _MIN_LONG_LENGTH}
    for part in {value, value.strip(), *lines}:
        quoted = (
            repr(part)[1:-1],
            # In a text that has both kinds of quotes, repr escapes one kind.
            repr(f"\"{part}'")[2:-3],
            ascii(part)[1:-1],
            repr(_bytes(part))[2:-1],
            json.dumps(part)[1:-1],
            json.dumps(part, ensure_ascii=False)[1:-1],
        )
        yield from (part, *quoted)
        # JSON within JSON, and JSON of writers that escape slashes.
        yield from (json.dumps(text)[1:-1] for text in quoted[-2:])
        yield from (text.replace("/", "\\/") for text in quoted[-2:])
        safe = _bytes(part)
        for encoded in (quote(safe, safe=""), quote(safe), quote_plus(safe)):
            yield from (encoded, _PERCENT_ENCODED.sub(_lower_case, encoded))
        # Proxies answer with HTML.
        yield html.escape(part)
        if len(part) >= _MIN_LONG_LENGTH:
            yield from _in_base64(safe)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _lower_case(match: re.Match[str]) -> str:
    return match.group().lower()


def _in_base64(value: bytes) -> Iterator[str]:
    """Yield the base64 spellings of a value within other bytes, as in a header for basic authentication."""
    for before in range(3):
        # Of the first and the last group, keep the letters that do not depend on the neighbouring bytes.
        first = (before * 8 + 5) // 6
        bits = (before + len(value)) * 8
        encoded = b64encode(b"\0" * before + value).decode("ascii")[first : bits // 6]
        yield from {encoded, encoded.translate(_URL_SAFE)}
