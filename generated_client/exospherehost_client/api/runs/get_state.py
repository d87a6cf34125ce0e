# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""Read one state in full: `GET /v0/namespace/{namespace_name}/graph/{graph_name}/run/{run_id}/node/{node_id}`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exospherehost_client._wire import ErrorModels, read_json, segment, text
from exospherehost_client.models import ErrorDetail, ServerError, StateDetail, ValidationErrorDetail
from exospherehost_client.types import RawResponse, Request, Response

if TYPE_CHECKING:
    from exospherehost_client.client import AuthenticatedClient

_OK = frozenset({200})
_ERRORS: ErrorModels = {
    400: (ErrorDetail,),
    401: (ErrorDetail,),
    403: (ErrorDetail,),
    404: (ErrorDetail,),
    422: (ValidationErrorDetail,),
    429: (ErrorDetail,),
    500: (ServerError,),
}


def build_request(
    namespace_name: str, graph_name: str, run_id: str, node_id: str, *, x_exosphere_request_id: str | None = None
) -> Request:
    """Make the request without sending it."""
    headers: dict[str, str] = {}
    if x_exosphere_request_id is not None:
        headers["x-exosphere-request-id"] = text(x_exosphere_request_id)
    return Request(
        "GET",
        f"/v0/namespace/{segment(namespace_name)}/graph/{segment(graph_name)}/run/{segment(run_id)}/node/{segment(node_id)}",
        headers=headers,
    )


def parse_response(raw: RawResponse) -> Response[StateDetail]:
    """Read the response; raises the errors that `sync` raises."""
    return read_json(raw, StateDetail, _OK, _ERRORS)


def sync_detailed(
    namespace_name: str,
    graph_name: str,
    run_id: str,
    node_id: str,
    *,
    client: AuthenticatedClient,
    x_exosphere_request_id: str | None = None,
) -> Response[StateDetail]:
    """Like `sync`; the result comes with its status and headers."""
    return parse_response(
        client.send(
            build_request(namespace_name, graph_name, run_id, node_id, x_exosphere_request_id=x_exosphere_request_id)
        )
    )


def sync(
    namespace_name: str,
    graph_name: str,
    run_id: str,
    node_id: str,
    *,
    client: AuthenticatedClient,
    x_exosphere_request_id: str | None = None,
) -> StateDetail:
    """Read one state in full.

    All four parts of the path must match the state, else 404.

    Args:
        namespace_name: The namespace: any text without a slash. It needs no creation and is case-sensitive.
        graph_name: The graph's name. Blanks around it are removed when it is stored.
        run_id: The run's id, a UUID. Another form is that of no run; it is 404 or 422 on some servers.
        node_id: The state's id: 24 hexadecimal digits. Another form is 400 on the hosted service and 422
            elsewhere.
        client: What sends the request.
        x_exosphere_request_id: An id for this request. Echoed when it is a UUID in any spelling, else replaced.

    Raises:
        StatusError: The service answered with 400, 401, 403, 404, 422, 429, 500 or an undocumented status.
        InvalidResponse: The service answered with success, but not with what the document promises.
        httpx.TransportError: There was no response.
    """
    return sync_detailed(
        namespace_name, graph_name, run_id, node_id, x_exosphere_request_id=x_exosphere_request_id, client=client
    ).parsed


async def asyncio_detailed(
    namespace_name: str,
    graph_name: str,
    run_id: str,
    node_id: str,
    *,
    client: AuthenticatedClient,
    x_exosphere_request_id: str | None = None,
) -> Response[StateDetail]:
    """Like `sync_detailed`, for asyncio."""
    return parse_response(
        await client.send_async(
            build_request(namespace_name, graph_name, run_id, node_id, x_exosphere_request_id=x_exosphere_request_id)
        )
    )


async def asyncio(
    namespace_name: str,
    graph_name: str,
    run_id: str,
    node_id: str,
    *,
    client: AuthenticatedClient,
    x_exosphere_request_id: str | None = None,
) -> StateDetail:
    """Like `sync`, for asyncio."""
    detailed = await asyncio_detailed(
        namespace_name, graph_name, run_id, node_id, x_exosphere_request_id=x_exosphere_request_id, client=client
    )
    return detailed.parsed
