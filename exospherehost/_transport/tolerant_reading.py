"""Reads what a success still tells when a part of its body cannot be read: item by item, field by field.

Only a body that does not validate as a whole comes here, so the usual answer costs nothing more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import from_json

from exospherehost._redaction import describe_validation_error
from exospherehost_client import errors as client_errors
from exospherehost_client.types import RawResponse, Response

logger = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)

OnUnreadable = Callable[[object, str], None]
"""Called with an item that cannot be read and with why."""


@dataclass(frozen=True, slots=True)
class Needed:
    """The parts of a body, or of an item, that a call cannot do without.

    Attributes:
        fields: Names of fields. Other fields may be missing or unreadable.
        items: The name of a field that holds a list, to be read item by item. Default: none.
        of_item: The fields that each item needs. Default: all of them.
    """

    fields: Collection[str] = ()
    items: str = ""
    of_item: Collection[str] | None = None


def tolerant(
    parse: Callable[[RawResponse], Response[M]],
    model: type[M],
    needed: Needed,
    on_unreadable: OnUnreadable | None = None,
) -> Callable[[RawResponse], Response[M]]:
    """Make a reader that returns a success although parts of it, which the call does not need, cannot be read.

    Args:
        parse: The operation's own reader.
        model: What it returns.
        needed: What the call needs.
        on_unreadable: Called with each item that cannot be read. Default: such an item is skipped with a warning.

    Returns:
        The reader. It raises what `parse` raises.
    """

    def read(raw: RawResponse) -> Response[M]:
        try:
            return parse(raw)
        except client_errors.InvalidResponse:
            parsed = _read(model, raw, needed, on_unreadable or _skipped)
            if parsed is None:
                raise
        return Response(raw.status_code, raw.headers, raw.content, parsed)

    return read


def _skipped(item: object, problem: str) -> None:
    logger.warning("event=unreadable_item_skipped type=%s reason=%r", type(item).__name__, problem)


def _read(model: type[M], raw: RawResponse, needed: Needed, on_unreadable: OnUnreadable) -> M | None:
    media_type = raw.headers.get("content-type", "")
    if media_type and "json" not in media_type.lower():
        return None
    try:
        body = from_json(raw.content)
    except ValueError:
        return None
    if not isinstance(body, dict):
        return None
    unreadable: list[tuple[object, str]] = []
    try:
        parsed = _constructed(model, cast("dict[str, Any]", body), needed, unreadable)
    except ValidationError:
        return None
    for item, problem in unreadable:
        on_unreadable(item, problem)
    return parsed


def _constructed(model: type[M], body: dict[str, Any], needed: Needed, unreadable: list[tuple[object, str]]) -> M:
    parsed = model.model_construct()
    for name, field in model.model_fields.items():
        value: Any = body.get(field.alias or name)
        if name == needed.items and isinstance(value, list):
            item_model: type[BaseModel] = get_args(field.annotation)[0]
            setattr(parsed, name, _items(item_model, cast("list[object]", value), needed, unreadable))
            continue
        try:
            model.__pydantic_validator__.validate_assignment(parsed, name, value)
        except ValidationError:
            if name in needed.fields:
                raise
            setattr(parsed, name, _stand_in(field))
    return parsed


def _items(
    model: type[BaseModel], items: list[object], needed: Needed, unreadable: list[tuple[object, str]]
) -> list[BaseModel]:
    read: list[BaseModel] = []
    for item in items:
        try:
            read.append(_item(model, item, needed.of_item))
        except ValidationError as error:
            unreadable.append((item, describe_validation_error(error, model.__name__)))
    return read


def _item(model: type[BaseModel], item: object, of_item: Collection[str] | None) -> BaseModel:
    try:
        return model.model_validate(item)
    except ValidationError:
        if of_item is None or not isinstance(item, dict):
            raise
    return _constructed(model, cast("dict[str, Any]", item), Needed(of_item), [])


def _stand_in(field: FieldInfo) -> object:
    """Return what stands for a field that is missing or unreadable: its default, an empty collection, or None."""
    if not field.is_required():
        return field.get_default(call_default_factory=True)
    empty: dict[Any, object] = {list: [], dict: {}}
    return empty.get(get_origin(field.annotation))
