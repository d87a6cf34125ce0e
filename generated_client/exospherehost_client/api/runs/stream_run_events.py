# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""Follow the transitions of a run: `GET /v0/namespace/{namespace_name}/runs/{run_id}/events`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exospherehost_client._wire import ErrorModels, read_text, segment, text
from exospherehost_client.models import ErrorDetail, ServerError, ValidationErrorDetail
from exospherehost_client.types import RawResponse, Request, Response

if TYPE_CHECKING:
    from exospherehost_client.client import AuthenticatedClient

_OK = frozenset({200})
_ERRORS: ErrorModels = {
    401: (ErrorDetail,),
    403: (ErrorDetail,),
    404: (ErrorDetail,),
    405: (ErrorDetail,),
    422: (ValidationErrorDetail,),
    429: (ErrorDetail,),
    500: (ServerError,),
}


def build_request(
    namespace_name: str, run_id: str, *, last_event_id: str | None = None, x_exosphere_request_id: str | None = None
) -> Request:
    """Make the request without sending it."""
    headers: dict[str, str] = {}
    if last_event_id is not None:
        headers["Last-Event-ID"] = text(last_event_id)
    if x_exosphere_request_id is not None:
        headers["x-exosphere-request-id"] = text(x_exosphere_request_id)
    return Request("GET", f"/v0/namespace/{segment(namespace_name)}/runs/{segment(run_id)}/events", headers=headers)


def parse_response(raw: RawResponse) -> Response[str]:
    """Read the response; raises the errors that `sync` raises."""
    return read_text(raw, ("application/json", "text/event-stream"), _OK, _ERRORS)


def sync_detailed(
    namespace_name: str,
    run_id: str,
    *,
    client: AuthenticatedClient,
    last_event_id: str | None = None,
    x_exosphere_request_id: str | None = None,
) -> Response[str]:
    """Like `sync`; the result comes with its status and headers."""
    return parse_response(
        client.send(
            build_request(
                namespace_name, run_id, last_event_id=last_event_id, x_exosphere_request_id=x_exosphere_request_id
            )
        )
    )


def sync(
    namespace_name: str,
    run_id: str,
    *,
    client: AuthenticatedClient,
    last_event_id: str | None = None,
    x_exosphere_request_id: str | None = None,
) -> str:
    """Follow the transitions of a run.

    Server-sent events named `state`, one for each transition of a state, from the one after `Last-
    Event-ID` on; when none of the run's states is pending any longer, an event named `end`, and the end
    of the stream. The data of each event is a `RunEvent`. A stream that ends without `end` is to be
    asked for again. A comment is sent when nothing has happened for 15 seconds.

    Args:
        namespace_name: The namespace: any text without a slash. It needs no creation and is case-sensitive.
        run_id: The run's id, a UUID. Another form is that of no run; it is 404 or 422 on some servers.
        client: What sends the request.
        last_event_id: The id of the last event that the caller has seen, as it came.
        x_exosphere_request_id: An id for this request. Echoed when it is a UUID in any spelling, else replaced.

    Raises:
        StatusError: The service answered with 401, 403, 404, 405, 422, 429, 500 or an undocumented status.
        InvalidResponse: The service answered with success, but not with what the document promises.
        httpx.TransportError: There was no response.
    """
    return sync_detailed(
        namespace_name,
        run_id,
        last_event_id=last_event_id,
        x_exosphere_request_id=x_exosphere_request_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    namespace_name: str,
    run_id: str,
    *,
    client: AuthenticatedClient,
    last_event_id: str | None = None,
    x_exosphere_request_id: str | None = None,
) -> Response[str]:
    """Like `sync_detailed`, for asyncio."""
    return parse_response(
        await client.send_async(
            build_request(
                namespace_name, run_id, last_event_id=last_event_id, x_exosphere_request_id=x_exosphere_request_id
            )
        )
    )


async def asyncio(
    namespace_name: str,
    run_id: str,
    *,
    client: AuthenticatedClient,
    last_event_id: str | None = None,
    x_exosphere_request_id: str | None = None,
) -> str:
    """Like `sync`, for asyncio."""
    detailed = await asyncio_detailed(
        namespace_name,
        run_id,
        last_event_id=last_event_id,
        x_exosphere_request_id=x_exosphere_request_id,
        client=client,
    )
    return detailed.parsed
