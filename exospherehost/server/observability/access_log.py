"""One line for each request, in the form that a log collector wants."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from starlette.types import Scope

from exospherehost.server.security.access import SCOPE_KEY, Access

LOGGER = "exospherehost.access"
AccessLogForm = Literal["json", "text", "off"]

logger = logging.getLogger(LOGGER)
# An orchestrator asks for them every few seconds.
_QUIET = frozenset({"/health", "/ready", "/metrics"})


class AccessLog:
    """Logs requests at INFO, and those of probes at DEBUG; the message is the whole line.

    A query is never logged. The path is as it was sent, so it holds no blank and no line break.

    Args:
        form: ``json`` for an object, ``text`` for ``key=value``.
    """

    def __init__(self, form: Literal["json", "text"]) -> None:
        self._format: Callable[[Mapping[str, Any]], str] = _as_json if form == "json" else _as_text

    def write(self, scope: Scope, route: str, status: int, seconds: float, size: int, request_id: str) -> None:
        """Log one request that is over.

        Args:
            scope: The request's.
            route: The template of its path.
            status: The status answered; 0 for none.
            seconds: How long it took.
            size: The bytes of the answer's body.
            request_id: Its id.
        """
        level = logging.DEBUG if route in _QUIET else logging.INFO
        if not logger.isEnabledFor(level):
            return
        client = scope.get("client")
        fields = {
            "time": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "method": scope["method"],
            "route": route,
            "path": scope["raw_path"].decode("ascii", "backslashreplace"),
            "status": status,
            "ms": round(seconds * 1_000, 1),
            "bytes": size,
            "client": client[0] if client else None,
            "request_id": request_id,
            "key_id": _key_id(scope),
        }
        logger.log(level, "%s", self._format(fields))


def _key_id(scope: Scope) -> str | None:
    """Return the public id of the stored key that a request came with; never the key."""
    access: Access | None = scope.get(SCOPE_KEY)
    return None if access is None else access.key_id or None


def _as_json(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, separators=(",", ":"))


def _as_text(fields: Mapping[str, Any]) -> str:
    known = " ".join(f"{name}={value}" for name, value in fields.items() if value is not None)
    return f"event=request {known}"
