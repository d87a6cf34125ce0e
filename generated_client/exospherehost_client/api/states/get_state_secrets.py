# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""Read the secrets for executing a state: `GET /v0/namespace/{namespace_name}/state/{state_id}/secrets`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exospherehost_client._wire import ErrorModels, read_json, segment, text
from exospherehost_client.models import ErrorDetail, SecretsResponse, ServerError, ValidationErrorDetail
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
    503: (ErrorDetail,),
}


def build_request(namespace_name: str, state_id: str, *, x_exosphere_request_id: str | None = None) -> Request:
    """Make the request without sending it."""
    headers: dict[str, str] = {}
    if x_exosphere_request_id is not None:
        headers["x-exosphere-request-id"] = text(x_exosphere_request_id)
    return Request("GET", f"/v0/namespace/{segment(namespace_name)}/state/{segment(state_id)}/secrets", headers=headers)


def parse_response(raw: RawResponse) -> Response[SecretsResponse]:
    """Read the response; raises the errors that `sync` raises."""
    return read_json(raw, SecretsResponse, _OK, _ERRORS)


def sync_detailed(
    namespace_name: str, state_id: str, *, client: AuthenticatedClient, x_exosphere_request_id: str | None = None
) -> Response[SecretsResponse]:
    """Like `sync`; the result comes with its status and headers."""
    return parse_response(
        client.send(build_request(namespace_name, state_id, x_exosphere_request_id=x_exosphere_request_id))
    )


def sync(
    namespace_name: str, state_id: str, *, client: AuthenticatedClient, x_exosphere_request_id: str | None = None
) -> SecretsResponse:
    """Read the secrets for executing a state.

    In clear, of the current template. The hosted service answers all the graph's secrets, and 500 for
    an unknown state; another server may answer only those that the state's node declares.

    Args:
        namespace_name: The namespace: any text without a slash. It needs no creation and is case-sensitive.
        state_id: The state's id: 24 hexadecimal digits. Another form is 500 on the hosted service and 422
            elsewhere.
        client: What sends the request.
        x_exosphere_request_id: An id for this request. Echoed when it is a UUID in any spelling, else replaced.

    Raises:
        StatusError: The service answered with 401, 403, 404, 422, 429, 500, 503 or an undocumented status.
        InvalidResponse: The service answered with success, but not with what the document promises.
        httpx.TransportError: There was no response.
    """
    return sync_detailed(namespace_name, state_id, x_exosphere_request_id=x_exosphere_request_id, client=client).parsed


async def asyncio_detailed(
    namespace_name: str, state_id: str, *, client: AuthenticatedClient, x_exosphere_request_id: str | None = None
) -> Response[SecretsResponse]:
    """Like `sync_detailed`, for asyncio."""
    return parse_response(
        await client.send_async(build_request(namespace_name, state_id, x_exosphere_request_id=x_exosphere_request_id))
    )


async def asyncio(
    namespace_name: str, state_id: str, *, client: AuthenticatedClient, x_exosphere_request_id: str | None = None
) -> SecretsResponse:
    """Like `sync`, for asyncio."""
    detailed = await asyncio_detailed(
        namespace_name, state_id, x_exosphere_request_id=x_exosphere_request_id, client=client
    )
    return detailed.parsed
