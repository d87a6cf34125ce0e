# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""Tell whether the service is alive: `GET /health`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exospherehost_client._wire import ErrorModels, read_json, text
from exospherehost_client.models import HealthResponse, ServerError
from exospherehost_client.types import RawResponse, Request, Response

if TYPE_CHECKING:
    from exospherehost_client.client import Client

_OK = frozenset({200})
_ERRORS: ErrorModels = {500: (ServerError,)}


def build_request(*, x_exosphere_request_id: str | None = None) -> Request:
    """Make the request without sending it."""
    headers: dict[str, str] = {}
    if x_exosphere_request_id is not None:
        headers["x-exosphere-request-id"] = text(x_exosphere_request_id)
    return Request("GET", "/health", headers=headers)


def parse_response(raw: RawResponse) -> Response[HealthResponse]:
    """Read the response; raises the errors that `sync` raises."""
    return read_json(raw, HealthResponse, _OK, _ERRORS)


def sync_detailed(*, client: Client, x_exosphere_request_id: str | None = None) -> Response[HealthResponse]:
    """Like `sync`; the result comes with its status and headers."""
    return parse_response(client.send(build_request(x_exosphere_request_id=x_exosphere_request_id)))


def sync(*, client: Client, x_exosphere_request_id: str | None = None) -> HealthResponse:
    """Tell whether the service is alive.

    Needs no API key and does not touch the database.

    Args:
        client: What sends the request.
        x_exosphere_request_id: An id for this request. Echoed when it is a UUID in any spelling, else replaced.

    Raises:
        StatusError: The service answered with 500 or an undocumented status.
        InvalidResponse: The service answered with success, but not with what the document promises.
        httpx.TransportError: There was no response.
    """
    return sync_detailed(x_exosphere_request_id=x_exosphere_request_id, client=client).parsed


async def asyncio_detailed(*, client: Client, x_exosphere_request_id: str | None = None) -> Response[HealthResponse]:
    """Like `sync_detailed`, for asyncio."""
    return parse_response(await client.send_async(build_request(x_exosphere_request_id=x_exosphere_request_id)))


async def asyncio(*, client: Client, x_exosphere_request_id: str | None = None) -> HealthResponse:
    """Like `sync`, for asyncio."""
    detailed = await asyncio_detailed(x_exosphere_request_id=x_exosphere_request_id, client=client)
    return detailed.parsed
