"""What a response means: the service's status as our error, the extensions that it says it has."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from exospherehost._config import KEY_VARIABLE, URI_VARIABLE
from exospherehost._errors import APIError, APIResponseError, APIStatusError, status_error_class
from exospherehost._redaction import Message, Redactor, constant
from exospherehost_client import errors as client_errors
from exospherehost_client.types import Request

_SNIPPET_LENGTH = 200

# What to do about the refusals that speak of the configuration and not of the call.
_REMEDIES = {
    (401, "Invalid API key"): f"; correct key= or the variable {KEY_VARIABLE}",
    (404, "Not Found"): f"; there is no such path: correct state_manager_uri= or the variable {URI_VARIABLE}",
}


def error_of(error: client_errors.ApiError, request: Request, redact: Redactor) -> APIError:
    """Turn the generated client's error into ours, without any value that was sent."""
    where = f"{request.method} {request.path}"
    about = f" (request id {error.request_id})" if error.request_id else ""
    if isinstance(error, client_errors.InvalidResponse):
        unreadable = "{} answered {} with a body that cannot be read: {}{}"
        return APIResponseError(
            redact(Message(unreadable, where, constant(str(error.status_code)), error.detail, about))
        )
    # Redacted before anything is cut: a value cut in two would not be found any more.
    detail = redact(error.detail) or redact(_plain(error.content))[:_SNIPPET_LENGTH]
    cls: type[APIStatusError] = status_error_class(error.status_code)
    remedy = _REMEDIES.get((error.status_code, detail), "")
    status = constant(str(error.status_code))
    return cls(
        Message("{} answered {}: {}{}{}", redact(where), status, detail or "(no text)", about, constant(remedy)),
        status_code=error.status_code,
        detail=detail,
        request_id=error.request_id,
        retry_after=_retry_after(error.headers),
    )


def _plain(content: bytes) -> str:
    """A body that is not in the contract's form, such as a proxy's page, on one line."""
    return " ".join(content.decode("utf-8", "replace").split())


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After, in seconds: a number, or the time of day that it names."""
    value = headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
