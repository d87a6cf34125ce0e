"""What the operations raise, and what those errors show."""

import copy
import pickle
from typing import Any

import httpx
import pytest

from exospherehost_client.api.graphs import get_graph
from exospherehost_client.api.states import enqueue_states, get_state_secrets, report_executed
from exospherehost_client.errors import ApiError, InvalidResponse, StatusError, UndocumentedStatus
from exospherehost_client.models import (
    EnqueueStatesRequest,
    ErrorDetail,
    ExecutedRequest,
    ServerError,
    ValidationErrorDetail,
)
from exospherehost_client.types import RawResponse

REQUEST_ID = "3f2a52c4-6cf6-4be3-9b2c-1f5f3f5d3c55"
SECRET = "value-that-must-not-show"
STATE = "65f0c0ffee0123456789abcf"
JSON = {"content-type": "application/json"}


def report(call: Any, answer: httpx.Response) -> Any:
    body = ExecutedRequest(outputs=[{"token": SECRET}])
    return call(report_executed, "billing", STATE, client=call.client(answer), body=body)


def shown(error: BaseException) -> str:
    """All that printing or logging an error, with its causes, can bring to light."""
    texts = list[str]()
    current: BaseException | None = error
    while current is not None:
        texts += [str(current), repr(current), repr(current.args)]
        current = current.__cause__ or current.__context__
    return "\n".join(texts)


@pytest.mark.parametrize(
    ("status", "body", "model", "detail"),
    [
        (400, {"detail": "State is not queued"}, ErrorDetail, "State is not queued"),
        (401, {"detail": "Invalid API key"}, ErrorDetail, "Invalid API key"),
        (404, {"detail": "State not found"}, ErrorDetail, "State not found"),
        (
            422,
            {"detail": [{"type": "missing", "loc": ["body", "outputs", 0], "msg": "Field required", "input": SECRET}]},
            ValidationErrorDetail,
            "body.outputs.0: Field required",
        ),
        (500, {"success": False, "detail": "Something failed"}, ServerError, "Something failed"),
    ],
)
def test_a_documented_error_status(call: Any, status: int, body: Any, model: type[Any], detail: str) -> None:
    answer = httpx.Response(status, json=body, headers={"X-Exosphere-Request-Id": REQUEST_ID})
    with pytest.raises(StatusError) as caught:
        report(call, answer)
    error = caught.value
    assert type(error) is StatusError
    assert (error.status_code, error.detail, error.request_id) == (status, detail, REQUEST_ID)
    assert isinstance(error.parsed, model)
    assert error.content == answer.content
    assert error.headers["X-EXOSPHERE-REQUEST-ID"] == REQUEST_ID
    assert str(error) == f"status {status}: {detail} (request id {REQUEST_ID})"
    assert SECRET not in shown(error)


@pytest.mark.parametrize("status", [409, 418, 451, 503, 520, 599, 301, 307, 204])
def test_a_status_outside_the_document(call: Any, status: int) -> None:
    with pytest.raises(UndocumentedStatus) as caught:
        report(call, httpx.Response(status, json={"detail": "Odd"}, headers={"location": "http://elsewhere.test/"}))
    assert caught.value.status_code == status
    assert caught.value.detail == "Odd"
    assert len(call.requests) == 1, "a redirect was followed"


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"<html><h1>Bad gateway</h1></html>", ""),
        (b"", ""),
        (b"\xff\xfe", ""),
        (b"[1, 2]", ""),
        (b"{}", ""),
        (b"[" * 100_000, ""),
        (b'{"detail": 5}', ""),
        (b'{"detail": "plain text"}', "plain text"),
        (b'{"detail": ["first", 7, {"loc": "nowhere"}]}', "first; an issue of unknown form; body: invalid"),
    ],
)
def test_an_error_body_of_another_form_is_still_the_status_error(call: Any, content: bytes, detail: str) -> None:
    with pytest.raises(StatusError) as caught:
        report(call, httpx.Response(422, content=content))
    assert (caught.value.detail, caught.value.parsed) == (detail, None)
    assert caught.value.content == content


@pytest.mark.parametrize(
    ("content", "headers", "problem"),
    [
        (b"<html>", {"content-type": "text/html; charset=utf-8"}, "the content type is text/html, not JSON"),
        (b"not json", JSON, "body: json_invalid"),
        (b"", JSON, "body: json_invalid"),
        (b"null", JSON, "body: model_type"),
        (b"{}", JSON, "status: missing"),
        (b'{"status": 5}', JSON, "status.str: string_type"),
    ],
)
def test_a_success_that_cannot_be_used(call: Any, content: bytes, headers: dict[str, str], problem: str) -> None:
    answer = httpx.Response(200, content=content, headers={**headers, "x-exosphere-request-id": REQUEST_ID})
    with pytest.raises(InvalidResponse) as caught:
        report(call, answer)
    assert problem in caught.value.detail
    assert (caught.value.status_code, caught.value.request_id) == (200, REQUEST_ID)
    assert caught.value.content == content


@pytest.mark.parametrize(
    "media_type", ["application/json", "Application/JSON; charset=utf-8", "application/x+json", ""]
)
def test_json_is_read_under_its_content_types(media_type: str) -> None:
    headers = {"content-type": media_type} if media_type else {}
    raw = RawResponse(200, headers, b'{"status": "EXECUTED"}')
    assert report_executed.parse_response(raw).parsed.status == "EXECUTED"


def test_an_unfit_body_of_secrets_is_not_shown(call: Any) -> None:
    answer = httpx.Response(200, json={"secrets": {"token": [SECRET], SECRET[::-1]: SECRET}})
    with pytest.raises(InvalidResponse) as caught:
        call(get_state_secrets, "billing", STATE, client=call.client(answer))
    assert SECRET not in shown(caught.value)
    assert caught.value.__context__ is None


def test_of_many_problems_the_first_are_named() -> None:
    raw = RawResponse(
        200, JSON, b'{"count": 9, "namespace": "n", "status": "QUEUED", "states": [1, 2, 3, 4, 5, 6, 7, 8, 9]}'
    )
    with pytest.raises(InvalidResponse) as caught:
        enqueue_states.parse_response(raw)
    assert caught.value.detail.endswith("states.4: model_type; 9 problems in all")


def test_a_long_detail_is_cut_in_the_message_only() -> None:
    error = StatusError(400, "x" * 10_000)
    assert len(str(error)) < 2_100
    assert len(error.detail) == 10_000


@pytest.mark.parametrize("duplicate", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
@pytest.mark.parametrize(
    "raw",
    [
        RawResponse(404, {"x-exosphere-request-id": REQUEST_ID}, b'{"detail": "Graph template not found"}'),
        RawResponse(520, {}, b"gateway"),
        RawResponse(200, {}, b"{}"),
    ],
    ids=["documented", "undocumented", "invalid"],
)
def test_errors_survive_pickling_and_copying(raw: RawResponse, duplicate: Any) -> None:
    with pytest.raises(ApiError) as caught:
        get_graph.parse_response(raw)
    again = duplicate(caught.value)
    assert type(again) is type(caught.value)
    assert (str(again), again.args) == (str(caught.value), caught.value.args)
    assert {**again.__dict__, "headers": dict(again.headers)} == {
        **caught.value.__dict__,
        "headers": dict(caught.value.headers),
    }


def test_no_response_is_httpxs_own_error(call: Any) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    body = EnqueueStatesRequest(nodes=["Read"], batch_size=1)
    with pytest.raises(httpx.ConnectError):
        call(enqueue_states, "billing", client=call.client(refuse), body=body)
