"""Every error that this package raises on purpose.

::

    ExosphereError
    ├── ConfigurationError          (also a ValueError)  an argument, a variable, a node class
    ├── InvalidTriggerError         (also a ValueError)  a trigger that cannot be sent as it was given
    ├── UnsupportedByServerError    the service lacks what the call needs; nothing was sent
    ├── GraphValidationError        the service found the graph INVALID
    ├── GraphValidationTimeoutError (also a TimeoutError)  still not verified when the time was over
    ├── RunFailedError           a run has failed, or was cancelled
    ├── WaitTimeoutError         (also a TimeoutError)  a run was not finished when the time was over; it goes on
    └── APIError                    a request did not end well
        ├── APIConnectionError      no response
        │   └── APITimeoutError     (also a TimeoutError)
        ├── TriggerOutcomeUnknownError  no response to a trigger: the run may exist
        ├── APIResponseError        a 2xx whose body cannot be read
        └── APIStatusError          a status of 400 or above, or one outside the contract
            ├── BadRequestError            400
            ├── AuthenticationError        401, 403
            ├── NotFoundError              404
            ├── ConflictError              409
            ├── PayloadTooLargeError       413
            ├── UnprocessableEntityError   422
            ├── RateLimitError             429
            └── ServerFailureError         500 and above

No message, attribute or repr of these holds an API key or a secret value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_REASONS_SHOWN = 3
_LONGEST_REASON = 200


class ExosphereError(Exception):
    """The root of this package's errors."""


class ConfigurationError(ExosphereError, ValueError):
    """An argument, an environment variable or a node class breaks a rule."""


class InvalidTriggerError(ExosphereError, ValueError):
    """A trigger cannot be sent as it was given."""


class UnsupportedByServerError(ExosphereError):
    """The service lacks an extension that the call needs; nothing was sent."""


class GraphValidationError(ExosphereError):
    """The service found a graph INVALID.

    Attributes:
        graph_name: the graph.
        status: the validation status, as the service spells it.
        validation_errors: the reasons that the service gave.
    """

    def __init__(self, graph_name: str, status: str, validation_errors: list[str]) -> None:
        reasons = "; ".join(reason.rstrip(".") for reason in validation_errors) or "the service gave no reason"
        super().__init__(f"graph {graph_name!r} is {status}: {reasons}")
        self.graph_name = graph_name
        self.status = status
        self.validation_errors = validation_errors

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.graph_name, self.status, self.validation_errors)


class GraphValidationTimeoutError(ExosphereError, TimeoutError):
    """A graph was still being verified when `validation_timeout` was over; it is stored."""


class RunFailedError(ExosphereError):
    """A run has failed, or was cancelled; `Run.raise_for_status` raises it.

    Attributes:
        run_id: the run.
        graph_name: its graph.
        reasons: the error of each state that failed for good, after its identifier and id.
        is_cancelled: whether the run was cancelled.
    """

    def __init__(self, run_id: str, graph_name: str, reasons: list[str], is_cancelled: bool = False) -> None:
        shown = [_first_line(reason) for reason in reasons[:_REASONS_SHOWN]]
        if len(reasons) > len(shown):
            shown.append(f"and {len(reasons) - len(shown)} more")
        what = "was cancelled" if is_cancelled else "has failed"
        why = f": {'; '.join(shown)}" if shown else ""
        super().__init__(f"run {run_id} of graph {graph_name!r} {what}{why}")
        self.run_id = run_id
        self.graph_name = graph_name
        self.reasons = reasons
        self.is_cancelled = is_cancelled

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.run_id, self.graph_name, self.reasons, self.is_cancelled)


class WaitTimeoutError(ExosphereError, TimeoutError):
    """A run was not finished when the time to wait was over; it goes on.

    Attributes:
        run_id: the run.
    """

    def __init__(self, message: str, *, run_id: str) -> None:
        super().__init__(message)
        self.run_id = run_id

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), str(self), {"run_id": self.run_id})


class APIError(ExosphereError):
    """A request to the service did not end well."""


class APIConnectionError(APIError):
    """There was no response: the service could not be reached, or the connection was lost.

    Attributes:
        sent: False when it is certain that the service has not seen the request.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), str(self), {"sent": self.sent})


class APITimeoutError(APIConnectionError, TimeoutError):
    """There was no response in time."""


class TriggerOutcomeUnknownError(APIError):
    """The connection was lost after a trigger had been sent: the run may exist.

    Look at the namespace's runs before triggering again.
    """


class APIResponseError(APIError):
    """A success status came with a body that cannot be read as the contract says."""


class APIStatusError(APIError):
    """The service answered with a status that is not a success.

    Attributes:
        status_code: the HTTP status.
        detail: the service's text, without the values that were sent.
        request_id: the service's id of the request, where it gave one.
        retry_after: seconds to wait, where the service said so.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        detail: str,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.detail = detail
        self.request_id = request_id
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        attributes = {
            "status_code": self.status_code,
            "detail": self.detail,
            "request_id": self.request_id,
            "retry_after": self.retry_after,
        }
        return _rebuild, (type(self), str(self), attributes)


class BadRequestError(APIStatusError):
    """400: the request is understood and refused, for instance a state that is not queued."""


class AuthenticationError(APIStatusError):
    """401 or 403: the API key is missing or wrong."""


class NotFoundError(APIStatusError):
    """404: there is no such graph, state or path."""


class ConflictError(APIStatusError):
    """409: the same has been asked for before."""


class PayloadTooLargeError(APIStatusError):
    """413: the body is larger than the service takes."""


class UnprocessableEntityError(APIStatusError):
    """422: the body or the path does not fit the contract."""


class RateLimitError(APIStatusError):
    """429: too many requests."""


class ServerFailureError(APIStatusError):
    """500 and above: the service, or something before it, failed."""


_BY_STATUS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: AuthenticationError,
    404: NotFoundError,
    409: ConflictError,
    413: PayloadTooLargeError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}


def status_error_class(status_code: int) -> type[APIStatusError]:
    """Tell which class stands for a status."""
    if status_code >= 500:
        return ServerFailureError
    return _BY_STATUS.get(status_code, APIStatusError)


def _first_line(text: str) -> str:
    line = text.partition("\n")[0].rstrip(".")
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}…"


def _rebuild(cls: Callable[..., ExosphereError], message: str, attributes: dict[str, Any]) -> ExosphereError:
    return cls(message, **attributes)
