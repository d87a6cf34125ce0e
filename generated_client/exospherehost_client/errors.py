# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""What the operations raise.

    ApiError
    ├── StatusError            an error status
    │   └── UndocumentedStatus … that the document does not declare for the operation
    └── InvalidResponse        a success whose body cannot be used

What goes wrong before there is a response (no connection, a time-out) is raised as httpx raises it:
`httpx.TransportError`.

No message and no repr of these holds a body, a header or what a request contained. `content`, `headers`
and `parsed` hold what the service sent; treat them as confidential.
"""

from collections.abc import Mapping
from typing import Any

from ._model import WireModel
from .types import Headers

_MESSAGE_LIMIT = 2000


class ApiError(Exception):
    """The service answered with something other than the result that was asked for.

    Attributes:
        status_code: The HTTP status.
        detail: What the service, or the reader of its response, says about it. May be empty.
        request_id: The service's id for the request, if it gave one.
        headers: The response's headers.
        content: The response's body as it came.
    """

    def __init__(
        self,
        status_code: int,
        detail: str = "",
        *,
        request_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
    ) -> None:
        self.status_code = status_code
        self.detail = detail
        self.request_id = request_id
        self.headers = Headers(headers or {})
        self.content = content
        text = detail if len(detail) <= _MESSAGE_LIMIT else f"{detail[:_MESSAGE_LIMIT]}…"
        message = f"{self._label()} {status_code}" + (f": {text}" if text else "")
        super().__init__(message + (f" (request id {request_id})" if request_id else ""))

    def _label(self) -> str:
        return "status"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__)


class StatusError(ApiError):
    """The service answered with an error status.

    Attributes:
        parsed: The body as the document describes it for this status; None when it is something else.
    """

    parsed: WireModel | None

    def __init__(
        self,
        status_code: int,
        detail: str = "",
        *,
        request_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        parsed: WireModel | None = None,
    ) -> None:
        super().__init__(status_code, detail, request_id=request_id, headers=headers, content=content)
        self.parsed = parsed


class UndocumentedStatus(StatusError):
    """The service answered with a status that the document does not declare for the operation."""

    def _label(self) -> str:
        return "undocumented status"


class InvalidResponse(ApiError):
    """The service answered with success, but its body is not what the document promises."""

    def _label(self) -> str:
        return "invalid response with status"


def _restore(kind: type[ApiError], args: tuple[Any, ...], state: dict[str, Any]) -> ApiError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


__all__ = ["ApiError", "InvalidResponse", "StatusError", "UndocumentedStatus"]
