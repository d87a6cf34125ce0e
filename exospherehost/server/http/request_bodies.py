"""Reads what a request carries, and tells all that is wrong with it at once."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.types import Receive, Scope

from exospherehost._rules.json_values import is_array, is_object
from exospherehost._rules.model import FieldIssue
from exospherehost.server.domain.errors import Issue, ServiceError
from exospherehost.server.http import json_body
from exospherehost.server.http.issues import from_pydantic

_JSON_TYPE = re.compile(rb"application/(?:[^;\s]+\+)?json\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)
_NEVER_NULL = "x-never-null"
# What takes longer than a few milliseconds to read is read off the event loop.
_LARGE_BODY = 128 * 1024
_MASK = "***"
_MOST_ISSUES = 1_000
# Large bodies are read one at a time: what one of them becomes takes many times its own size.
_reading_large = threading.Lock()

BODY_LATE = "exosphere.body_late"
"""Set in the scope of a request by what serves connections, when it has given up on the body."""

M = TypeVar("M", bound=BaseModel)
FieldCheck = Callable[[Any], Sequence[FieldIssue]]
BodyReader = Callable[[dict[str, Any], Sequence[FieldIssue]], tuple[Any, list[Issue]]]
"""Turns an object, and where in it stands what cannot be stored, into what an operation takes, or into issues."""


async def read_body(scope: Scope, receive: Receive, largest: int) -> bytes:
    """Return a request's body.

    Raises:
        ServiceError: It is larger than it may be (413), did not come in time (408), or its sender went away (400).
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > largest:
            raise _too_large(largest)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ServiceError(400, "The client went away")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > largest:
            raise _too_large(largest)
        chunks.append(chunk)
        if not message.get("more_body", False):
            if scope.get(BODY_LATE):
                raise ServiceError(408, "The body did not arrive in time")
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def reads(
    model: type[BaseModel], *, ignored: frozenset[str] = frozenset(), check: FieldCheck | None = None
) -> BodyReader:
    """Return the reader of bodies with this schema.

    Args:
        model: The schema.
        ignored: Fields to take as unknown.
        check: Rules about fields beyond the schema.
    """

    def read(value: dict[str, Any], unsafe: Sequence[FieldIssue]) -> tuple[Any, list[Issue]]:
        known = {name: item for name, item in value.items() if name not in ignored}
        return validate(known, model, unsafe=unsafe, check=check)

    return read


async def parse_body(scope: Scope, raw: bytes, read: BodyReader, *, heavy: bool = False) -> tuple[Any, list[Issue]]:
    """Return what an operation takes from a body, and what is wrong with it; with issues there is nothing to take.

    Args:
        scope: The request.
        raw: The body.
        read: What reads an object.
        heavy: Whether a small body, too, is to be read off the event loop.

    Raises:
        ServiceError: The body is not UTF-8 (400).
    """
    if len(raw) > _LARGE_BODY:
        return await asyncio.to_thread(_parse_large, scope, raw, read)
    if heavy:
        return await asyncio.to_thread(_parse, scope, raw, read)
    return _parse(scope, raw, read)


def _parse_large(scope: Scope, raw: bytes, read: BodyReader) -> tuple[Any, list[Issue]]:
    with _reading_large:
        taken, issues = _parse(scope, raw, read)
    # What was wrong is not repeated: that could be most of the body, once for each issue.
    return taken, [{name: part for name, part in issue.items() if name != "input"} for issue in issues]


def _parse(scope: Scope, raw: bytes, read: BodyReader) -> tuple[Any, list[Issue]]:
    if not raw:
        return None, [{"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}]
    if not _is_json(scope):
        return None, [_not_an_object("Send an object as JSON, with content type application/json")]
    try:
        value, unsafe = json_body.decode(raw)
    except json_body.BodyNotUtf8 as error:
        raise ServiceError(400, "There was an error parsing the body") from error
    except json_body.JsonInvalid as error:
        return None, [_not_json(error)]
    except json_body.TooManyValues as error:
        return None, [{"type": "too_many_values", "loc": ["body"], "msg": str(error)}]
    if not is_object(value):
        return None, [issue.to_json() for issue in unsafe] or [_not_an_object("Input should be an object")]
    return read(value, unsafe)


def validate(
    value: dict[str, Any],
    model: type[M],
    *,
    unsafe: Sequence[FieldIssue] = (),
    check: FieldCheck | None = None,
) -> tuple[M | None, list[Issue]]:
    """Return an object as its model, and what is wrong with it; with issues there is no model.

    Args:
        value: The object.
        model: Its schema.
        unsafe: Where in it stands what cannot be stored.
        check: Rules about fields beyond the schema.
    """
    issues: list[Issue] = [issue.to_json() for issue in unsafe]
    parsed: M | None = None
    try:
        parsed = model.model_validate(value)
    except ValidationError as error:
        if error.error_count() > _MOST_ISSUES:
            message = f"{error.error_count()} values do not fit the schema"
            issues.append({"type": "too_many_violations", "loc": ["body"], "msg": message})
        else:
            issues += from_pydantic(error)
    except RecursionError:
        issues.append({"type": "nesting_too_deep", "loc": ["body"], "msg": "Nest values less deep"})
    issues += _nulls(model, value)
    if unsafe:
        # What could not be stored cannot be sent back either.
        issues = [{name: part for name, part in issue.items() if name != "input"} for issue in issues]
    if check is not None:
        known = {tuple(issue["loc"]) for issue in issues}
        issues += [issue.to_json() for issue in check(value) if issue.loc not in known]
    return (None if issues else parsed), [_without_secrets(issue) for issue in issues]


def _too_large(largest: int) -> ServiceError:
    return ServiceError(413, f"The body is larger than {largest} bytes")


def _is_json(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"content-type":
            return _JSON_TYPE.fullmatch(value.strip()) is not None
    return False


def _not_json(error: json_body.JsonInvalid) -> Issue:
    return {
        "type": "json_invalid",
        "loc": ["body", error.offset],
        "msg": "JSON decode error",
        "input": {},
        "ctx": {"error": error.reason},
    }


def _not_an_object(message: str) -> Issue:
    # What was sent is not repeated: unparsed, nothing tells where a secret is in it.
    return {"type": "model_attributes_type", "loc": ["body"], "msg": message}


def _nulls(model: type[BaseModel], value: Mapping[str, Any]) -> list[Issue]:
    """Return an issue for each null in a field that may be left out, but not be null."""
    return [
        {"type": "none_forbidden", "loc": ["body", name], "msg": "Input should not be null", "input": None}
        for name, field in model.model_fields.items()
        if name in value
        and value[name] is None
        and is_object(field.json_schema_extra)
        and field.json_schema_extra.get(_NEVER_NULL)
    ]


def _without_secrets(issue: Issue) -> Issue:
    """Return an issue that repeats no value of a body's ``secrets``."""
    loc, sent = issue["loc"], issue.get("input")
    if len(loc) > 1 and loc[1] == "secrets":
        return {**issue, "input": _MASK}
    # A missing field is reported with all that stands around it. (A node's ``secrets`` are a list of names.)
    if is_object(sent) and not is_array(sent.get("secrets", [])):
        return {**issue, "input": {**sent, "secrets": _MASK}}
    return issue
