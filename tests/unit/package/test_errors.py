"""One tree of errors, each of which survives pickling."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest

import exospherehost
from exospherehost import (
    APIConnectionError,
    APIError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ConflictError,
    ExosphereError,
    GraphValidationError,
    GraphValidationTimeoutError,
    InvalidTriggerError,
    NotFoundError,
    PayloadTooLargeError,
    RateLimitError,
    RunFailedError,
    ServerFailureError,
    StateManager,
    TriggerOutcomeUnknownError,
    UnprocessableEntityError,
    UnsupportedByServerError,
    WaitTimeoutError,
    _errors,
)
from tests._support.fake_state_manager import FakeStateManager
from tests._support.http_service import Answer
from tests._support.runtimes import KEY

CLASSES = [
    each
    for each in vars(_errors).values()
    if inspect.isclass(each) and issubclass(each, Exception) and each.__module__ == _errors.__name__
]

EXAMPLES: list[Exception] = [
    ExosphereError("m"),
    ConfigurationError("m"),
    InvalidTriggerError("m"),
    UnsupportedByServerError("m"),
    GraphValidationError("g", "INVALID", ["first", "second"]),
    GraphValidationTimeoutError("m"),
    RunFailedError("r", "g", ["first", "second"], is_cancelled=True),
    WaitTimeoutError("m", run_id="r"),
    APIError("m"),
    APIConnectionError("m", sent=False),
    APITimeoutError("m", sent=True),
    TriggerOutcomeUnknownError("m"),
    APIResponseError("m"),
    *(
        kind("m", status_code=418, detail="d", request_id="r", retry_after=1.5)
        for kind in (
            APIStatusError,
            BadRequestError,
            AuthenticationError,
            NotFoundError,
            ConflictError,
            PayloadTooLargeError,
            UnprocessableEntityError,
            RateLimitError,
            ServerFailureError,
        )
    ),
]


def test_examples_are_of_every_class() -> None:
    assert {type(example) for example in EXAMPLES} == set(CLASSES)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, *(lambda error, p=p: pickle.loads(pickle.dumps(error, p)) for p in range(2, 6))],
)
def test_error_survives_pickling_and_copying(error: Exception, copied: Callable[[Any], Any]) -> None:
    other = copied(error)

    assert type(other) is type(error)
    assert str(other) == str(error)
    assert vars(other) == vars(error)
    assert other.args == error.args


def test_every_error_is_public_and_of_one_root() -> None:
    for each in CLASSES:
        assert issubclass(each, ExosphereError)
        assert each.__name__ in exospherehost.__all__
        assert each.__doc__


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (ConfigurationError, ValueError),
        (InvalidTriggerError, ValueError),
        (APITimeoutError, TimeoutError),
        (GraphValidationTimeoutError, TimeoutError),
    ],
)
def test_what_the_documented_api_calls_a_builtin_is_one(error: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(error, builtin)


def test_tree_of_the_docstring_is_the_tree_of_the_classes() -> None:
    drawn: dict[str, str | None] = {}
    path: list[tuple[int, str]] = []
    for line in (_errors.__doc__ or "").splitlines():
        match = re.match(r"    ([ │├└─]*)([A-Z]\w+)", line)
        if match is None:
            continue
        depth = len(match[1])
        while path and path[-1][0] >= depth:
            path.pop()
        drawn[match[2]] = path[-1][1] if path else None
        path.append((depth, match[2]))

    classes = {
        each.__name__: next((base.__name__ for base in each.__bases__ if base in CLASSES), None) for each in CLASSES
    }
    assert drawn == classes


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (403, AuthenticationError),
        (404, NotFoundError),
        (405, APIStatusError),
        (409, ConflictError),
        (413, PayloadTooLargeError),
        (418, APIStatusError),
        (422, UnprocessableEntityError),
        (429, RateLimitError),
        (501, ServerFailureError),
        (520, ServerFailureError),
        (599, ServerFailureError),
        (204, APIStatusError),
        (302, APIStatusError),
        (307, APIStatusError),
    ],
)
async def test_status_and_text_of_the_service_stand_in_the_message(
    service: FakeStateManager, status: int, kind: type[APIStatusError]
) -> None:
    body = b"" if status == 204 else {"detail": "what the service says"}
    service.before = lambda _: Answer(status, body, {"x-exosphere-request-id": "the-id", "retry-after": "0"})

    with pytest.raises(Exception, match=str(status)) as caught:
        await StateManager("ns", service.uri, KEY).get_graph("g")

    assert type(caught.value) is kind
    assert isinstance(caught.value, APIStatusError)
    assert caught.value.status_code == status
    assert caught.value.request_id == "the-id"
    assert "the-id" in str(caught.value)
    assert "GET /v0/namespace/ns/graph/g" in str(caught.value)
    if status != 204:
        assert caught.value.detail == "what the service says"
        assert "what the service says" in str(caught.value)


BODIES: dict[str, tuple[Answer, str]] = {
    "list": (
        Answer(
            422,
            {
                "detail": [
                    {"type": "missing", "loc": ["body", "nodes", 0], "msg": "Field required", "input": {"a": 1}},
                    {"type": "t", "loc": ["path", "page"], "msg": "too small"},
                ]
            },
        ),
        "body.nodes.0: Field required; path.page: too small",
    ),
    "server error": (Answer(501, {"success": False, "detail": "write to us"}), "write to us"),
    "page": (
        Answer(404, b"<html>\n <b>no   page</b></html>", content_type="text/html"),
        "<html> <b>no page</b></html>",
    ),
    "text": (Answer(404, b"nothing here", content_type="text/plain"), "nothing here"),
    "odd json": (Answer(404, {"message": "other"}), '{"message": "other"}'),
    "not UTF-8": (Answer(404, b"caf\xe9"), "caf\ufffd"),
    "empty": (Answer(404, b""), "(no text)"),
    "very deep": (Answer(404, b'{"detail":' + b"[" * 100_000), '{"detail":[[['),
}


@pytest.mark.parametrize(("answer", "text"), BODIES.values(), ids=BODIES)
async def test_any_body_gives_a_text(service: FakeStateManager, answer: Answer, text: str) -> None:
    service.before = lambda _: answer

    with pytest.raises(APIStatusError) as caught:
        await StateManager("ns", service.uri, KEY).get_graph("g")

    assert text in str(caught.value)
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0.0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)
async def test_retry_after_is_read(service: FakeStateManager, header: str, seconds: float | None) -> None:
    service.before = lambda _: Answer(418, {"detail": "d"}, {"retry-after": header})

    with pytest.raises(APIStatusError) as caught:
        await StateManager("ns", service.uri, KEY).get_graph("g")

    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b"<p>", content_type="text/html"),
        Answer(200, b"{"),
        Answer(200, b""),
        Answer(200, ["list"]),
        Answer(200, {"validation_status": "VALID"}),
    ],
)
async def test_success_with_an_unreadable_body_has_a_class_of_its_own(
    service: FakeStateManager, answer: Answer
) -> None:
    service.before = lambda _: answer

    with pytest.raises(APIResponseError, match="200"):
        await StateManager("ns", service.uri, KEY).get_graph("g")
