# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""Register nodes, or replace what is registered: `PUT /v0/namespace/{namespace_name}/nodes/`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exospherehost_client._wire import JSON_HEADERS, ErrorModels, json_body, read_json, segment, text
from exospherehost_client.models import (
    ErrorDetail,
    RegisterNodesRequest,
    RegisterNodesResponse,
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
    body: RegisterNodesRequest | bodies.RegisterNodesRequest,
    x_exosphere_request_id: str | None = None,
) -> Request:
    """Make the request without sending it; a plain dict is sent as it is."""
    headers: dict[str, str] = dict(JSON_HEADERS)
    if x_exosphere_request_id is not None:
        headers["x-exosphere-request-id"] = text(x_exosphere_request_id)
    return Request("PUT", f"/v0/namespace/{segment(namespace_name)}/nodes/", headers=headers, content=json_body(body))


def parse_response(raw: RawResponse) -> Response[RegisterNodesResponse]:
    """Read the response; raises the errors that `sync` raises."""
    return read_json(raw, RegisterNodesResponse, _OK, _ERRORS)


def sync_detailed(
    namespace_name: str,
    *,
    client: AuthenticatedClient,
    body: RegisterNodesRequest,
    x_exosphere_request_id: str | None = None,
) -> Response[RegisterNodesResponse]:
    """Like `sync`; the result comes with its status and headers."""
    return parse_response(
        client.send(build_request(namespace_name, body=body, x_exosphere_request_id=x_exosphere_request_id))
    )


def sync(
    namespace_name: str,
    *,
    client: AuthenticatedClient,
    body: RegisterNodesRequest,
    x_exosphere_request_id: str | None = None,
) -> RegisterNodesResponse:
    """Register nodes, or replace what is registered.

    An upsert by node name within the namespace; the last writer wins, also inside one request. Nothing
    is ever removed, and graphs are not verified again. Schemas are stored as they are. The namespace of
    the path decides; one in the body is ignored.

    Args:
        namespace_name: The namespace: any text without a slash. It needs no creation and is case-sensitive.
        client: What sends the request.
        body: What is sent.
        x_exosphere_request_id: An id for this request. Echoed when it is a UUID in any spelling, else replaced.

    Raises:
        StatusError: The service answered with 400, 401, 403, 404, 408, 413, 422, 429, 500 or an undocumented status.
        InvalidResponse: The service answered with success, but not with what the document promises.
        httpx.TransportError: There was no response.
    """
    return sync_detailed(namespace_name, client=client, body=body, x_exosphere_request_id=x_exosphere_request_id).parsed


async def asyncio_detailed(
    namespace_name: str,
    *,
    client: AuthenticatedClient,
    body: RegisterNodesRequest,
    x_exosphere_request_id: str | None = None,
) -> Response[RegisterNodesResponse]:
    """Like `sync_detailed`, for asyncio."""
    return parse_response(
        await client.send_async(build_request(namespace_name, body=body, x_exosphere_request_id=x_exosphere_request_id))
    )


async def asyncio(
    namespace_name: str,
    *,
    client: AuthenticatedClient,
    body: RegisterNodesRequest,
    x_exosphere_request_id: str | None = None,
) -> RegisterNodesResponse:
    """Like `sync`, for asyncio."""
    detailed = await asyncio_detailed(
        namespace_name, client=client, body=body, x_exosphere_request_id=x_exosphere_request_id
    )
    return detailed.parsed
