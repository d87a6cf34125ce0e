# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""Encodes requests and reads responses; the same for every operation."""

import json
from collections.abc import Collection, Mapping
from typing import Any, TypeVar, cast
from urllib.parse import quote

from pydantic import ValidationError
from pydantic_core import to_json

from ._model import WireModel
from .errors import InvalidResponse, StatusError, UndocumentedStatus
from .types import RawResponse, Response

M = TypeVar("M", bound=WireModel)
ErrorModels = Mapping[int, tuple[type[WireModel], ...]]

JSON_HEADERS: Mapping[str, str] = {"content-type": "application/json"}
_REQUEST_ID = "x-exosphere-request-id"
_PROBLEMS_SHOWN = 5


def segment(value: str | int) -> str:
    """Encode one path segment so that nothing on the way can change the route.

    Raises:
        ValueError: The segment is empty.
    """
    plain = str(value)
    # Ids and most names: encoding them would cost as much as the rest of building a request.
    encoded = plain if plain.isascii() and plain.isalnum() else quote(plain, safe="")
    if not encoded:
        raise ValueError("a path parameter must not be empty")
    # Clients and proxies remove "." and ".." from a path.
    return encoded.replace(".", "%2E") if encoded in (".", "..") else encoded


def text(value: str | float) -> str:
    """Write a scalar as headers and queries have it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def json_body(body: WireModel | Mapping[str, object]) -> bytes:
    """Encode a body; fields that were never set are left out."""
    if not isinstance(body, WireModel):
        return to_json(body, inf_nan_mode="constants")
    return type(body).__pydantic_serializer__.to_json(body, by_alias=True, exclude_unset=True)


def read_json(raw: RawResponse, model: type[M], ok: Collection[int], errors: ErrorModels) -> Response[M]:
    """Read a JSON response.

    Raises:
        StatusError: The status is not among `ok`.
        InvalidResponse: The body is not JSON or does not fit the model.
    """
    if raw.status_code not in ok:
        raise _status_error(raw, errors)
    media_type = _media_type(raw)
    if media_type in ("application/json", "") or media_type.endswith("+json"):
        try:
            parsed = model.model_validate_json(raw.content)
        except ValidationError as error:
            problem = _problems(error)
        else:
            return Response(raw.status_code, raw.headers, raw.content, parsed)
    else:
        problem = f"the content type is {media_type}, not JSON"
    # Raised out here so that no context holds the pydantic error, which quotes the body.
    raise _invalid(raw, problem)


def read_text(
    raw: RawResponse, media_types: Collection[str], ok: Collection[int], errors: ErrorModels
) -> Response[str]:
    """Read a text response.

    Raises:
        StatusError: The status is not among `ok`.
        InvalidResponse: The body is not UTF-8 or of another content type.
    """
    if raw.status_code not in ok:
        raise _status_error(raw, errors)
    media_type = _media_type(raw)
    if media_type in media_types:
        try:
            return Response(raw.status_code, raw.headers, raw.content, raw.content.decode("utf-8"))
        except UnicodeDecodeError:
            problem = "the body is not UTF-8"
    else:
        problem = f"the content type is {media_type or 'missing'}, not {' or '.join(media_types)}"
    raise _invalid(raw, problem)


def read_empty(raw: RawResponse, ok: Collection[int], errors: ErrorModels) -> Response[None]:
    """Read a response that has no body.

    Raises:
        StatusError: The status is not among `ok`.
    """
    if raw.status_code not in ok:
        raise _status_error(raw, errors)
    return Response(raw.status_code, raw.headers, raw.content, None)


def _media_type(raw: RawResponse) -> str:
    return raw.headers.get("content-type", "").partition(";")[0].strip().lower()


def _problems(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [f"{_place(item['loc'])}: {item['type']}" for item in found[:_PROBLEMS_SHOWN]]
    return "; ".join(shown if len(found) <= _PROBLEMS_SHOWN else [*shown, f"{len(found)} problems in all"])


def _place(loc: Collection[object]) -> str:
    return ".".join(str(part) for part in loc) or "body"


def _invalid(raw: RawResponse, problem: str) -> InvalidResponse:
    return InvalidResponse(
        raw.status_code, problem, request_id=raw.headers.get(_REQUEST_ID), headers=raw.headers, content=raw.content
    )


def _status_error(raw: RawResponse, errors: ErrorModels) -> StatusError:
    models = errors.get(raw.status_code)
    kind = UndocumentedStatus if models is None else StatusError
    return kind(
        raw.status_code,
        _detail(raw.content),
        request_id=raw.headers.get(_REQUEST_ID),
        headers=raw.headers,
        content=raw.content,
        parsed=_parse_error(raw.content, models or ()),
    )


def _parse_error(content: bytes, models: tuple[type[WireModel], ...]) -> WireModel | None:
    for model in models:
        try:
            return model.model_validate_json(content)
        except ValidationError:
            continue
    return None


def _detail(content: bytes) -> str:
    """The `detail` of an error body as one text, without what the request contained."""
    try:
        body: object = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    detail = cast("dict[str, Any]", body).get("detail") if isinstance(body, dict) else None
    if isinstance(detail, list):
        return "; ".join(_issue(item) for item in cast("list[object]", detail))
    return detail if isinstance(detail, str) else ""


def _issue(item: object) -> str:
    if not isinstance(item, dict):
        return item if isinstance(item, str) else "an issue of unknown form"
    issue = cast("dict[str, Any]", item)
    loc: object = issue.get("loc")
    place = _place(cast("list[object]", loc)) if isinstance(loc, list) else "body"
    return f"{place}: {issue.get('msg', 'invalid')}"
