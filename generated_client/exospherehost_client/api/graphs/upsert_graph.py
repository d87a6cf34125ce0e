# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""Create a graph template, or replace it: `PUT /v0/namespace/{namespace_name}/graph/{graph_name}`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exospherehost_client._wire import JSON_HEADERS, ErrorModels, json_body, read_json, segment, text
from exospherehost_client.models import (
    ErrorDetail,
    GraphResponse,
    ServerError,
    UpsertGraphRequest,
    ValidationErrorDetail,
)
from exospherehost_client.types import RawResponse, Request, Response

if TYPE_CHECKING:
    from exospherehost_client import bodies
    from exospherehost_client.client import AuthenticatedClient

_OK = frozenset({201})
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
    503: (ErrorDetail,),
}


def build_request(
    namespace_name: str,
    graph_name: str,
    *,
    body: UpsertGraphRequest | bodies.UpsertGraphRequest,
    x_exosphere_request_id: str | None = None,
) -> Request:
    """Make the request without sending it; a plain dict is sent as it is."""
    headers: dict[str, str] = dict(JSON_HEADERS)
    if x_exosphere_request_id is not None:
        headers["x-exosphere-request-id"] = text(x_exosphere_request_id)
    return Request(
        "PUT",
        f"/v0/namespace/{segment(namespace_name)}/graph/{segment(graph_name)}",
        headers=headers,
        content=json_body(body),
    )


def parse_response(raw: RawResponse) -> Response[GraphResponse]:
    """Read the response; raises the errors that `sync` raises."""
    return read_json(raw, GraphResponse, _OK, _ERRORS)


def sync_detailed(
    namespace_name: str,
    graph_name: str,
    *,
    client: AuthenticatedClient,
    body: UpsertGraphRequest,
    x_exosphere_request_id: str | None = None,
) -> Response[GraphResponse]:
    """Like `sync`; the result comes with its status and headers."""
    return parse_response(
        client.send(build_request(namespace_name, graph_name, body=body, x_exosphere_request_id=x_exosphere_request_id))
    )


def sync(
    namespace_name: str,
    graph_name: str,
    *,
    client: AuthenticatedClient,
    body: UpsertGraphRequest,
    x_exosphere_request_id: str | None = None,
) -> GraphResponse:
    """Create a graph template, or replace it.

    Replaces everything, secrets included; a section left out goes back to its default. Rules of one
    field are refused with 422, rules of the template as a whole with 400; a refused PUT changes
    nothing. Verification against the registered nodes follows: a service may answer PENDING and verify
    afterwards (poll `get_graph` until the status is another), or answer VALID or INVALID at once.

    Args:
        namespace_name: The namespace: any text without a slash. It needs no creation and is case-sensitive.
        graph_name: The graph's name. Blanks around it are removed when it is stored.
        client: What sends the request.
        body: What is sent.
        x_exosphere_request_id: An id for this request. Echoed when it is a UUID in any spelling, else replaced.

    Raises:
        StatusError: The service answered with 400, 401, 403, 404, 408, 413, 422, 429, 500, 503 or an undocumented status.
        InvalidResponse: The service answered with success, but not with what the document promises.
        httpx.TransportError: There was no response.
    """
    return sync_detailed(
        namespace_name, graph_name, client=client, body=body, x_exosphere_request_id=x_exosphere_request_id
    ).parsed


async def asyncio_detailed(
    namespace_name: str,
    graph_name: str,
    *,
    client: AuthenticatedClient,
    body: UpsertGraphRequest,
    x_exosphere_request_id: str | None = None,
) -> Response[GraphResponse]:
    """Like `sync_detailed`, for asyncio."""
    return parse_response(
        await client.send_async(
            build_request(namespace_name, graph_name, body=body, x_exosphere_request_id=x_exosphere_request_id)
        )
    )


async def asyncio(
    namespace_name: str,
    graph_name: str,
    *,
    client: AuthenticatedClient,
    body: UpsertGraphRequest,
    x_exosphere_request_id: str | None = None,
) -> GraphResponse:
    """Like `sync`, for asyncio."""
    detailed = await asyncio_detailed(
        namespace_name, graph_name, client=client, body=body, x_exosphere_request_id=x_exosphere_request_id
    )
    return detailed.parsed
