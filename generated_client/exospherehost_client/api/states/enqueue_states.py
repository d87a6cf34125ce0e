# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""Claim due states: `POST /v0/namespace/{namespace_name}/states/enqueue`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exospherehost_client._wire import JSON_HEADERS, ErrorModels, json_body, read_json, segment, text
from exospherehost_client.models import (
    EnqueueStatesRequest,
    EnqueueStatesResponse,
    ErrorDetail,
    ServerError,
    ValidationErrorDetail,
)
from exospherehost_client.types import RawResponse, Request, Response

if TYPE_CHECKING:
    from exospherehost_client import bodies
    from exospherehost_client.client import AuthenticatedClient

_OK = frozenset({200})
_ERRORS: ErrorModels = {
    400: (ErrorDetail,),
    401: (ErrorDetail,),
    403: (ErrorDetail,),
    404: (ErrorDetail,),
    408: (ErrorDetail,),
    413: (ErrorDetail,),
    422: (ValidationErrorDetail,),
    429: (ErrorDetail,),
    500: (ServerError,),
}


def build_request(
    namespace_name: str,
    *,
    body: EnqueueStatesRequest | bodies.EnqueueStatesRequest,
    prefer: str | None = None,
    x_exosphere_request_id: str | None = None,
) -> Request:
    """Make the request without sending it; a plain dict is sent as it is."""
    headers: dict[str, str] = dict(JSON_HEADERS)
    if prefer is not None:
        headers["Prefer"] = text(prefer)
    if x_exosphere_request_id is not None:
        headers["x-exosphere-request-id"] = text(x_exosphere_request_id)
    return Request(
        "POST", f"/v0/namespace/{segment(namespace_name)}/states/enqueue", headers=headers, content=json_body(body)
    )


def parse_response(raw: RawResponse) -> Response[EnqueueStatesResponse]:
    """Read the response; raises the errors that `sync` raises."""
    return read_json(raw, EnqueueStatesResponse, _OK, _ERRORS)


def sync_detailed(
    namespace_name: str,
    *,
    client: AuthenticatedClient,
    body: EnqueueStatesRequest,
    prefer: str | None = None,
    x_exosphere_request_id: str | None = None,
) -> Response[EnqueueStatesResponse]:
    """Like `sync`; the result comes with its status and headers."""
    return parse_response(
        client.send(
            build_request(namespace_name, body=body, prefer=prefer, x_exosphere_request_id=x_exosphere_request_id)
        )
    )


def sync(
    namespace_name: str,
    *,
    client: AuthenticatedClient,
    body: EnqueueStatesRequest,
    prefer: str | None = None,
    x_exosphere_request_id: str | None = None,
) -> EnqueueStatesResponse:
    """Claim due states.

    Each claimed state is given to one claimer only and becomes QUEUED. Due are the CREATED states of
    the namespace whose node name is among those asked for and whose `enqueue_after` has come. Fewer
    than `batch_size` may be answered. Execution is at least once.

    Args:
        namespace_name: The namespace: any text without a slash. It needs no creation and is case-sensitive.
        client: What sends the request.
        body: What is sent.
        prefer: `wait=<seconds>` (RFC 7240) holds the request until a state is due or the time is over, 30
            seconds at most.
        x_exosphere_request_id: An id for this request. Echoed when it is a UUID in any spelling, else replaced.

    Raises:
        StatusError: The service answered with 400, 401, 403, 404, 408, 413, 422, 429, 500 or an undocumented status.
        InvalidResponse: The service answered with success, but not with what the document promises.
        httpx.TransportError: There was no response.
    """
    return sync_detailed(
        namespace_name, client=client, body=body, prefer=prefer, x_exosphere_request_id=x_exosphere_request_id
    ).parsed


async def asyncio_detailed(
    namespace_name: str,
    *,
    client: AuthenticatedClient,
    body: EnqueueStatesRequest,
    prefer: str | None = None,
    x_exosphere_request_id: str | None = None,
) -> Response[EnqueueStatesResponse]:
    """Like `sync_detailed`, for asyncio."""
    return parse_response(
        await client.send_async(
            build_request(namespace_name, body=body, prefer=prefer, x_exosphere_request_id=x_exosphere_request_id)
        )
    )


async def asyncio(
    namespace_name: str,
    *,
    client: AuthenticatedClient,
    body: EnqueueStatesRequest,
    prefer: str | None = None,
    x_exosphere_request_id: str | None = None,
) -> EnqueueStatesResponse:
    """Like `sync`, for asyncio."""
    detailed = await asyncio_detailed(
        namespace_name, client=client, body=body, prefer=prefer, x_exosphere_request_id=x_exosphere_request_id
    )
    return detailed.parsed
