# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""Start a run of a graph: `POST /v0/namespace/{namespace_name}/graph/{graph_name}/trigger`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exospherehost_client._wire import JSON_HEADERS, ErrorModels, json_body, read_json, segment, text
from exospherehost_client.models import (
    ErrorDetail,
    ServerError,
    TriggerGraphRequest,
    TriggerGraphResponse,
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
    503: (ErrorDetail,),
}


def build_request(
    namespace_name: str,
    graph_name: str,
    *,
    body: TriggerGraphRequest | bodies.TriggerGraphRequest,
    idempotency_key: str | None = None,
    x_exosphere_request_id: str | None = None,
) -> Request:
    """Make the request without sending it; a plain dict is sent as it is."""
    headers: dict[str, str] = dict(JSON_HEADERS)
    if idempotency_key is not None:
        headers["Idempotency-Key"] = text(idempotency_key)
    if x_exosphere_request_id is not None:
        headers["x-exosphere-request-id"] = text(x_exosphere_request_id)
    return Request(
        "POST",
        f"/v0/namespace/{segment(namespace_name)}/graph/{segment(graph_name)}/trigger",
        headers=headers,
        content=json_body(body),
    )


def parse_response(raw: RawResponse) -> Response[TriggerGraphResponse]:
    """Read the response; raises the errors that `sync` raises."""
    return read_json(raw, TriggerGraphResponse, _OK, _ERRORS)


def sync_detailed(
    namespace_name: str,
    graph_name: str,
    *,
    client: AuthenticatedClient,
    body: TriggerGraphRequest,
    idempotency_key: str | None = None,
    x_exosphere_request_id: str | None = None,
) -> Response[TriggerGraphResponse]:
    """Like `sync`; the result comes with its status and headers."""
    return parse_response(
        client.send(
            build_request(
                namespace_name,
                graph_name,
                body=body,
                idempotency_key=idempotency_key,
                x_exosphere_request_id=x_exosphere_request_id,
            )
        )
    )


def sync(
    namespace_name: str,
    graph_name: str,
    *,
    client: AuthenticatedClient,
    body: TriggerGraphRequest,
    idempotency_key: str | None = None,
    x_exosphere_request_id: str | None = None,
) -> TriggerGraphResponse:
    """Start a run of a graph.

    Checked in this order: the graph exists (404), it is VALID (400), the root's inputs resolve (400),
    the store's required keys are given (400). A default value does not satisfy a required key. The body
    may be `{}`; an empty body is 422.

    Args:
        namespace_name: The namespace: any text without a slash. It needs no creation and is case-sensitive.
        graph_name: The graph's name. Blanks around it are removed when it is stored.
        client: What sends the request.
        body: What is sent.
        idempotency_key: The same key and body within 24 hours gives the same response and no second run; the same
            key with another body is 422.
        x_exosphere_request_id: An id for this request. Echoed when it is a UUID in any spelling, else replaced.

    Raises:
        StatusError: The service answered with 400, 401, 403, 404, 408, 413, 422, 429, 500, 503 or an undocumented status.
        InvalidResponse: The service answered with success, but not with what the document promises.
        httpx.TransportError: There was no response.
    """
    return sync_detailed(
        namespace_name,
        graph_name,
        client=client,
        body=body,
        idempotency_key=idempotency_key,
        x_exosphere_request_id=x_exosphere_request_id,
    ).parsed


async def asyncio_detailed(
    namespace_name: str,
    graph_name: str,
    *,
    client: AuthenticatedClient,
    body: TriggerGraphRequest,
    idempotency_key: str | None = None,
    x_exosphere_request_id: str | None = None,
) -> Response[TriggerGraphResponse]:
    """Like `sync_detailed`, for asyncio."""
    return parse_response(
        await client.send_async(
            build_request(
                namespace_name,
                graph_name,
                body=body,
                idempotency_key=idempotency_key,
                x_exosphere_request_id=x_exosphere_request_id,
            )
        )
    )


async def asyncio(
    namespace_name: str,
    graph_name: str,
    *,
    client: AuthenticatedClient,
    body: TriggerGraphRequest,
    idempotency_key: str | None = None,
    x_exosphere_request_id: str | None = None,
) -> TriggerGraphResponse:
    """Like `sync`, for asyncio."""
    detailed = await asyncio_detailed(
        namespace_name,
        graph_name,
        client=client,
        body=body,
        idempotency_key=idempotency_key,
        x_exosphere_request_id=x_exosphere_request_id,
    )
    return detailed.parsed
