# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""Report that a state's node has succeeded: `POST /v0/namespace/{namespace_name}/state/{state_id}/executed`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exospherehost_client._wire import JSON_HEADERS, ErrorModels, json_body, read_json, segment, text
from exospherehost_client.models import (
    ErrorDetail,
    ExecutedRequest,
    ExecutedResponse,
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
    state_id: str,
    *,
    body: ExecutedRequest | bodies.ExecutedRequest,
    x_exosphere_request_id: str | None = None,
) -> Request:
    """Make the request without sending it; a plain dict is sent as it is."""
    headers: dict[str, str] = dict(JSON_HEADERS)
    if x_exosphere_request_id is not None:
        headers["x-exosphere-request-id"] = text(x_exosphere_request_id)
    return Request(
        "POST",
        f"/v0/namespace/{segment(namespace_name)}/state/{segment(state_id)}/executed",
        headers=headers,
        content=json_body(body),
    )


def parse_response(raw: RawResponse) -> Response[ExecutedResponse]:
    """Read the response; raises the errors that `sync` raises."""
    return read_json(raw, ExecutedResponse, _OK, _ERRORS)


def sync_detailed(
    namespace_name: str,
    state_id: str,
    *,
    client: AuthenticatedClient,
    body: ExecutedRequest,
    x_exosphere_request_id: str | None = None,
) -> Response[ExecutedResponse]:
    """Like `sync`; the result comes with its status and headers."""
    return parse_response(
        client.send(build_request(namespace_name, state_id, body=body, x_exosphere_request_id=x_exosphere_request_id))
    )


def sync(
    namespace_name: str,
    state_id: str,
    *,
    client: AuthenticatedClient,
    body: ExecutedRequest,
    x_exosphere_request_id: str | None = None,
) -> ExecutedResponse:
    """Report that a state's node has succeeded.

    Only a QUEUED state can be reported; another is 400. No output and one output give each next node
    one state; several fan out: each next node gets a state for each of them. The hosted service does
    not look at the namespace here.

    Args:
        namespace_name: The namespace: any text without a slash. It needs no creation and is case-sensitive.
        state_id: The state's id: 24 hexadecimal digits. Another form is 500 on the hosted service and 422
            elsewhere.
        client: What sends the request.
        body: What is sent.
        x_exosphere_request_id: An id for this request. Echoed when it is a UUID in any spelling, else replaced.

    Raises:
        StatusError: The service answered with 400, 401, 403, 404, 408, 413, 422, 429, 500 or an undocumented status.
        InvalidResponse: The service answered with success, but not with what the document promises.
        httpx.TransportError: There was no response.
    """
    return sync_detailed(
        namespace_name, state_id, client=client, body=body, x_exosphere_request_id=x_exosphere_request_id
    ).parsed


async def asyncio_detailed(
    namespace_name: str,
    state_id: str,
    *,
    client: AuthenticatedClient,
    body: ExecutedRequest,
    x_exosphere_request_id: str | None = None,
) -> Response[ExecutedResponse]:
    """Like `sync_detailed`, for asyncio."""
    return parse_response(
        await client.send_async(
            build_request(namespace_name, state_id, body=body, x_exosphere_request_id=x_exosphere_request_id)
        )
    )


async def asyncio(
    namespace_name: str,
    state_id: str,
    *,
    client: AuthenticatedClient,
    body: ExecutedRequest,
    x_exosphere_request_id: str | None = None,
) -> ExecutedResponse:
    """Like `sync`, for asyncio."""
    detailed = await asyncio_detailed(
        namespace_name, state_id, client=client, body=body, x_exosphere_request_id=x_exosphere_request_id
    )
    return detailed.parsed
