"""Extensions of a service, and what is known of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, cast

from exospherehost_client import errors as client_errors
from exospherehost_client.extensions import MARK
from exospherehost_client.types import RawResponse, Request, Response

ASK_AGAIN_SECONDS = 5.0
"""How long a failure to learn the extensions counts as having none."""


DOCUMENT = Request("GET", "/openapi.json")


class ServiceMemory:
    """What outlives a session: which of the services is in use and which extensions each has."""

    def __init__(self) -> None:
        self.current = 0
        self.extensions: dict[str, frozenset[str]] = {}
        self.asked_in_vain = float("-inf")


def read_extensions(raw: RawResponse) -> Response[frozenset[str]]:
    """Collect the extensions that a served document marks."""
    if raw.status_code >= 500 or raw.status_code in (401, 403, 408, 429):
        raise client_errors.UndocumentedStatus(raw.status_code, headers=raw.headers, content=raw.content)
    found = marked_extensions(raw.content) if raw.status_code == 200 else frozenset[str]()
    return Response(raw.status_code, raw.headers, raw.content, found)


def marked_extensions(document: bytes) -> frozenset[str]:
    """Return the extensions that a document marks; none if it cannot be read."""
    found: set[str] = set()
    try:
        pending: list[Any] = [json.loads(document)]
    except (ValueError, RecursionError):
        pending = []
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            members = cast("dict[str, Any]", part)
            mark = members.get(MARK)
            if isinstance(mark, str):
                found.add(mark)
            pending.extend(members.values())
        elif isinstance(part, list):
            pending.extend(cast("Iterable[Any]", part))
    return frozenset(found)
