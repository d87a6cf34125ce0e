# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""List the namespaces that have a registered node: `GET /v0/namespaces`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exospherehost_client._wire import ErrorModels, read_json, text
from exospherehost_client.models import ErrorDetail, ListNamespacesResponse, ServerError
from exospherehost_client.types import RawResponse, Request, Response

if TYPE_CHECKING:
    from exospherehost_client.client import AuthenticatedClient

_OK = frozenset({200})
_ERRORS: ErrorModels = {401: (ErrorDetail,), 429: (ErrorDetail,), 500: (ServerError,)}


def build_request(*, x_exosphere_request_id: str | None = None) -> Request:
    """Make the request without sending it."""
    headers: dict[str, str] = {}
    if x_exosphere_request_id is not None:
        headers["x-exosphere-request-id"] = text(x_exosphere_request_id)
    return Request("GET", "/v0/namespaces", headers=headers)


def parse_response(raw: RawResponse) -> Response[ListNamespacesResponse]:
    """Read the response; raises the errors that `sync` raises."""
    return read_json(raw, ListNamespacesResponse, _OK, _ERRORS)


def sync_detailed(
    *, client: AuthenticatedClient, x_exosphere_request_id: str | None = None
) -> Response[ListNamespacesResponse]:
    """Like `sync`; the result comes with its status and headers."""
    return parse_response(client.send(build_request(x_exosphere_request_id=x_exosphere_request_id)))


def sync(*, client: AuthenticatedClient, x_exosphere_request_id: str | None = None) -> ListNamespacesResponse:
    """List the namespaces that have a registered node.

    Sorted by code point. Graphs and runs alone do not make a namespace appear.

    Args:
        client: What sends the request.
        x_exosphere_request_id: An id for this request. Echoed when it is a UUID in any spelling, else replaced.

    Raises:
        StatusError: The service answered with 401, 429, 500 or an undocumented status.
        InvalidResponse: The service answered with success, but not with what the document promises.
        httpx.TransportError: There was no response.
    """
    return sync_detailed(x_exosphere_request_id=x_exosphere_request_id, client=client).parsed


async def asyncio_detailed(
    *, client: AuthenticatedClient, x_exosphere_request_id: str | None = None
) -> Response[ListNamespacesResponse]:
    """Like `sync_detailed`, for asyncio."""
    return parse_response(await client.send_async(build_request(x_exosphere_request_id=x_exosphere_request_id)))


async def asyncio(*, client: AuthenticatedClient, x_exosphere_request_id: str | None = None) -> ListNamespacesResponse:
    """Like `sync`, for asyncio."""
    detailed = await asyncio_detailed(x_exosphere_request_id=x_exosphere_request_id, client=client)
    return detailed.parsed
