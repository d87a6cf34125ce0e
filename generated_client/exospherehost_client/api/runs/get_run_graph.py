# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""Read the states of a run and how they follow from each other: `GET /v0/namespace/{namespace_name}/states/run/{run_id}/graph`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exospherehost_client._wire import ErrorModels, read_json, segment, text
from exospherehost_client.models import ErrorDetail, RunGraphResponse, ServerError, ValidationErrorDetail
from exospherehost_client.types import RawResponse, Request, Response

if TYPE_CHECKING:
    from exospherehost_client.client import AuthenticatedClient

_OK = frozenset({200})
_ERRORS: ErrorModels = {
    401: (ErrorDetail,),
    403: (ErrorDetail,),
    404: (ErrorDetail,),
    422: (ValidationErrorDetail,),
    429: (ErrorDetail,),
    500: (ServerError,),
}


def build_request(namespace_name: str, run_id: str, *, x_exosphere_request_id: str | None = None) -> Request:
    """Make the request without sending it."""
    headers: dict[str, str] = {}
    if x_exosphere_request_id is not None:
        headers["x-exosphere-request-id"] = text(x_exosphere_request_id)
    return Request(
        "GET", f"/v0/namespace/{segment(namespace_name)}/states/run/{segment(run_id)}/graph", headers=headers
    )


def parse_response(raw: RawResponse) -> Response[RunGraphResponse]:
    """Read the response; raises the errors that `sync` raises."""
    return read_json(raw, RunGraphResponse, _OK, _ERRORS)


def sync_detailed(
    namespace_name: str, run_id: str, *, client: AuthenticatedClient, x_exosphere_request_id: str | None = None
) -> Response[RunGraphResponse]:
    """Like `sync`; the result comes with its status and headers."""
    return parse_response(
        client.send(build_request(namespace_name, run_id, x_exosphere_request_id=x_exosphere_request_id))
    )


def sync(
    namespace_name: str, run_id: str, *, client: AuthenticatedClient, x_exosphere_request_id: str | None = None
) -> RunGraphResponse:
    """Read the states of a run and how they follow from each other.

    States in the order of their creation. An unknown run is 200 with empty lists on the hosted service.
    Edges show each state's nearest ancestor, not the joins.

    Args:
        namespace_name: The namespace: any text without a slash. It needs no creation and is case-sensitive.
        run_id: The run's id, a UUID. Another form is that of no run; it is 404 or 422 on some servers.
        client: What sends the request.
        x_exosphere_request_id: An id for this request. Echoed when it is a UUID in any spelling, else replaced.

    Raises:
        StatusError: The service answered with 401, 403, 404, 422, 429, 500 or an undocumented status.
        InvalidResponse: The service answered with success, but not with what the document promises.
        httpx.TransportError: There was no response.
    """
    return sync_detailed(namespace_name, run_id, x_exosphere_request_id=x_exosphere_request_id, client=client).parsed


async def asyncio_detailed(
    namespace_name: str, run_id: str, *, client: AuthenticatedClient, x_exosphere_request_id: str | None = None
) -> Response[RunGraphResponse]:
    """Like `sync_detailed`, for asyncio."""
    return parse_response(
        await client.send_async(build_request(namespace_name, run_id, x_exosphere_request_id=x_exosphere_request_id))
    )


async def asyncio(
    namespace_name: str, run_id: str, *, client: AuthenticatedClient, x_exosphere_request_id: str | None = None
) -> RunGraphResponse:
    """Like `sync`, for asyncio."""
    detailed = await asyncio_detailed(
        namespace_name, run_id, x_exosphere_request_id=x_exosphere_request_id, client=client
    )
    return detailed.parsed
