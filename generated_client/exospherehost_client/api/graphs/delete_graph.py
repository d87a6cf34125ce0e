# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""Delete a graph template: `DELETE /v0/namespace/{namespace_name}/graph/{graph_name}`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exospherehost_client._wire import ErrorModels, read_json, segment, text
from exospherehost_client.models import DeleteGraphResponse, ErrorDetail, ServerError
from exospherehost_client.types import RawResponse, Request, Response

if TYPE_CHECKING:
    from exospherehost_client.client import AuthenticatedClient

_OK = frozenset({200})
_ERRORS: ErrorModels = {
    401: (ErrorDetail,),
    403: (ErrorDetail,),
    404: (ErrorDetail,),
    405: (ErrorDetail,),
    429: (ErrorDetail,),
    500: (ServerError,),
}


def build_request(namespace_name: str, graph_name: str, *, x_exosphere_request_id: str | None = None) -> Request:
    """Make the request without sending it."""
    headers: dict[str, str] = {}
    if x_exosphere_request_id is not None:
        headers["x-exosphere-request-id"] = text(x_exosphere_request_id)
    return Request("DELETE", f"/v0/namespace/{segment(namespace_name)}/graph/{segment(graph_name)}", headers=headers)


def parse_response(raw: RawResponse) -> Response[DeleteGraphResponse]:
    """Read the response; raises the errors that `sync` raises."""
    return read_json(raw, DeleteGraphResponse, _OK, _ERRORS)


def sync_detailed(
    namespace_name: str, graph_name: str, *, client: AuthenticatedClient, x_exosphere_request_id: str | None = None
) -> Response[DeleteGraphResponse]:
    """Like `sync`; the result comes with its status and headers."""
    return parse_response(
        client.send(build_request(namespace_name, graph_name, x_exosphere_request_id=x_exosphere_request_id))
    )


def sync(
    namespace_name: str, graph_name: str, *, client: AuthenticatedClient, x_exosphere_request_id: str | None = None
) -> DeleteGraphResponse:
    """Delete a graph template.

    Its schedules end, running runs end as `cancel_run` ends them, and finished runs stay readable. A
    graph that is put under the name later is a new one. An idempotency key that started a run of the
    deleted graph still answers with that run.

    Args:
        namespace_name: The namespace: any text without a slash. It needs no creation and is case-sensitive.
        graph_name: The graph's name. Blanks around it are removed when it is stored.
        client: What sends the request.
        x_exosphere_request_id: An id for this request. Echoed when it is a UUID in any spelling, else replaced.

    Raises:
        StatusError: The service answered with 401, 403, 404, 405, 429, 500 or an undocumented status.
        InvalidResponse: The service answered with success, but not with what the document promises.
        httpx.TransportError: There was no response.
    """
    return sync_detailed(
        namespace_name, graph_name, x_exosphere_request_id=x_exosphere_request_id, client=client
    ).parsed


async def asyncio_detailed(
    namespace_name: str, graph_name: str, *, client: AuthenticatedClient, x_exosphere_request_id: str | None = None
) -> Response[DeleteGraphResponse]:
    """Like `sync_detailed`, for asyncio."""
    return parse_response(
        await client.send_async(
            build_request(namespace_name, graph_name, x_exosphere_request_id=x_exosphere_request_id)
        )
    )


async def asyncio(
    namespace_name: str, graph_name: str, *, client: AuthenticatedClient, x_exosphere_request_id: str | None = None
) -> DeleteGraphResponse:
    """Like `sync`, for asyncio."""
    detailed = await asyncio_detailed(
        namespace_name, graph_name, x_exosphere_request_id=x_exosphere_request_id, client=client
    )
    return detailed.parsed
