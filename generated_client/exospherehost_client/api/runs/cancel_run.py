# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""Cancel a run: `POST /v0/namespace/{namespace_name}/runs/{run_id}/cancel`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exospherehost_client._wire import ErrorModels, read_json, segment, text
from exospherehost_client.models import CancelRunResponse, ErrorDetail, ServerError, ValidationErrorDetail
from exospherehost_client.types import RawResponse, Request, Response

if TYPE_CHECKING:
    from exospherehost_client.client import AuthenticatedClient

_OK = frozenset({200})
_ERRORS: ErrorModels = {
    401: (ErrorDetail,),
    403: (ErrorDetail,),
    404: (ErrorDetail,),
    405: (ErrorDetail,),
    422: (ValidationErrorDetail,),
    429: (ErrorDetail,),
    500: (ServerError,),
}


def build_request(namespace_name: str, run_id: str, *, x_exosphere_request_id: str | None = None) -> Request:
    """Make the request without sending it."""
    headers: dict[str, str] = {}
    if x_exosphere_request_id is not None:
        headers["x-exosphere-request-id"] = text(x_exosphere_request_id)
    return Request("POST", f"/v0/namespace/{segment(namespace_name)}/runs/{segment(run_id)}/cancel", headers=headers)


def parse_response(raw: RawResponse) -> Response[CancelRunResponse]:
    """Read the response; raises the errors that `sync` raises."""
    return read_json(raw, CancelRunResponse, _OK, _ERRORS)


def sync_detailed(
    namespace_name: str, run_id: str, *, client: AuthenticatedClient, x_exosphere_request_id: str | None = None
) -> Response[CancelRunResponse]:
    """Like `sync`; the result comes with its status and headers."""
    return parse_response(
        client.send(build_request(namespace_name, run_id, x_exosphere_request_id=x_exosphere_request_id))
    )


def sync(
    namespace_name: str, run_id: str, *, client: AuthenticatedClient, x_exosphere_request_id: str | None = None
) -> CancelRunResponse:
    """Cancel a run.

    States that are CREATED or QUEUED become PRUNED, nothing more is created, and late reports and
    manual retries are refused with 400. The run's status is FAILED from then on. A run that was
    cancelled before stays cancelled since then, and a run that has ended stays as it is.

    Args:
        namespace_name: The namespace: any text without a slash. It needs no creation and is case-sensitive.
        run_id: The run's id, a UUID. Another form is that of no run; it is 404 or 422 on some servers.
        client: What sends the request.
        x_exosphere_request_id: An id for this request. Echoed when it is a UUID in any spelling, else replaced.

    Raises:
        StatusError: The service answered with 401, 403, 404, 405, 422, 429, 500 or an undocumented status.
        InvalidResponse: The service answered with success, but not with what the document promises.
        httpx.TransportError: There was no response.
    """
    return sync_detailed(namespace_name, run_id, x_exosphere_request_id=x_exosphere_request_id, client=client).parsed


async def asyncio_detailed(
    namespace_name: str, run_id: str, *, client: AuthenticatedClient, x_exosphere_request_id: str | None = None
) -> Response[CancelRunResponse]:
    """Like `sync_detailed`, for asyncio."""
    return parse_response(
        await client.send_async(build_request(namespace_name, run_id, x_exosphere_request_id=x_exosphere_request_id))
    )


async def asyncio(
    namespace_name: str, run_id: str, *, client: AuthenticatedClient, x_exosphere_request_id: str | None = None
) -> CancelRunResponse:
    """Like `sync`, for asyncio."""
    detailed = await asyncio_detailed(
        namespace_name, run_id, x_exosphere_request_id=x_exosphere_request_id, client=client
    )
    return detailed.parsed
