"""No API key and no secret value in a report, a log record, a repr or an error."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator

from exospherehost import (
    APIError,
    BaseNode,
    ExosphereError,
    GraphNodeModel,
    GraphValidationError,
    PruneSignal,
    StateManager,
    StoreConfigModel,
    TriggerState,
)
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.graph_json import graph_answer, graph_node
from tests._support.http_service import DROP, Answer, Asked
from tests._support.nodes import Echo
from tests._support.runtimes import KEY, make_runtime, running

SECRET = "pg://us\"er:l'été-9f8e7d6c5b4a@db/prod?x=1"
LONG = "-".join(f"{number:04d}" for number in range(1000, 1040))
HEADER = "Basic dXNlcjpzZWNyZXQ="
HIDDEN = ("9f8e7d6c5b4a", "1003-1004-1005", "1036-1037-1038", KEY, "dXNlcjpzZWNyZXQ")


@pytest.fixture(autouse=True)
def all_log_records(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Every test ends with a look at every record of every logger."""
    with caplog.at_level(logging.DEBUG):
        yield
    for record in caplog.get_records("call"):
        clean(record.getMessage() + str(record.exc_info or "") + repr(record.args))


def clean(text: str) -> str:
    for hidden in HIDDEN:
        assert hidden not in text, text
    return text


def clean_error(error: BaseException) -> str:
    """Look at an error, its attributes, and everything that it is chained to."""
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in seen:
        seen.append(following)
        clean(f"{following!r} {following} {following.args!r} {vars(following)!r}")
        following = following.__cause__ or following.__context__
    return clean("".join(traceback.format_exception(error)))


class Secrets(BaseModel):
    url: str
    long: str


class Leaking(BaseNode[Any, Any, Secrets]):
    """Does with its secrets what it should not."""

    class Inputs(BaseModel):
        how: str

    async def execute(self) -> Any:
        return getattr(self, self.inputs.how)()

    def message(self) -> NoReturn:
        raise RuntimeError(f"cannot connect to {self.secrets.url} with {self.secrets.long}")

    def as_repr(self) -> NoReturn:
        raise RuntimeError(f"options: { {'url': self.secrets.url, 'n': [self.secrets.long]}!r}")

    def as_json(self) -> NoReturn:
        raise RuntimeError(json.dumps({"body": json.dumps({"url": self.secrets.url})}) + json.dumps(self.secrets.url))

    def cut_short(self) -> NoReturn:
        raise RuntimeError(f"bad token {self.secrets.long[:25]}...{self.secrets.long[-25:]}")

    def the_model(self) -> NoReturn:
        raise RuntimeError(self.secrets)

    def key_error(self) -> NoReturn:
        raise KeyError(self.secrets.url)

    def chained(self) -> NoReturn:
        try:
            self.message()
        except RuntimeError as error:
            raise OSError("connection failed") from error

    def in_context(self) -> NoReturn:
        try:
            self.message()
        except RuntimeError:
            raise OSError("connection failed")  # noqa: B904 - the context is what this is about

    def group(self) -> NoReturn:
        raise ExceptionGroup(f"for {self.secrets.url}", [RuntimeError(self.secrets.long)])

    def pydantic_of_its_own(self) -> NoReturn:
        class Number(BaseModel):
            number: int

        Number.model_validate({"number": self.secrets.long})
        raise AssertionError

    def pydantic_in_a_text(self) -> NoReturn:
        try:
            self.pydantic_of_its_own()
        except ValidationError as error:
            raise RuntimeError(str(error)) from None

    def exit(self) -> NoReturn:
        raise SystemExit(self.secrets.url)

    def api_key(self) -> NoReturn:
        raise RuntimeError(f"request had x-api-key {KEY}")

    def wrong_type(self) -> str:
        return self.secrets.url

    def undeliverable(self) -> NoReturn:
        raise PruneSignal({"value": _Unserializable(self.secrets.url)})


class _Unserializable:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


HOW = [name for name in vars(Leaking) if not name.startswith("_") and name not in ("Inputs", "Secrets", "execute")]


@pytest.fixture
def secrets(service: FakeStateManager) -> None:
    service.secrets = {"url": SECRET, "long": LONG}


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("how", HOW)
async def test_exception_of_a_node(service: FakeStateManager, how: str) -> None:
    state_id = service.put_state("Leaking", {"how": how})

    async with running(make_runtime(service, Leaking, headers={"authorization": HEADER})):
        said = await eventually(lambda: service.report_of(state_id))

    assert said.action == "errored"
    clean(said.body["error"])


class _Strict(BaseModel):
    url: str = Field(max_length=3)
    long: str

    @field_validator("long")
    @classmethod
    def refuse(cls, value: str) -> str:
        raise ValueError(f"not a good token: {value}, {value[:30]}")


class RefusesSecrets(BaseNode[Any, Any, _Strict]):
    async def execute(self) -> None:
        raise AssertionError("runs with wrong secrets")


@pytest.mark.usefixtures("secrets")
async def test_validation_error_of_the_secrets(service: FakeStateManager) -> None:
    state_id = service.put_state("RefusesSecrets")

    async with running(make_runtime(service, RefusesSecrets)):
        said = await eventually(lambda: service.report_of(state_id))

    text = clean(said.body["error"])
    assert "url" in text
    assert "not a good token" in text


async def test_missing_secret_names_only_the_field(service: FakeStateManager) -> None:
    service.secrets = {"url": SECRET}
    state_id = service.put_state("Leaking", {"how": "message"})

    async with running(make_runtime(service, Leaking)):
        said = await eventually(lambda: service.report_of(state_id))

    assert "long: Field required" in clean(said.body["error"])


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize(
    "answer",
    [
        Answer(400, {"detail": f"the state with {SECRET} is not queued; {LONG}"}),
        Answer(422, {"detail": [{"type": "t", "loc": ["body", "error"], "msg": f"bad {SECRET}", "input": SECRET}]}),
        Answer(200, {"status": {"unexpected": SECRET}}),
        Answer(418, f"<html>{SECRET} {KEY}</html>".encode(), content_type="text/html"),
    ],
    ids=["400", "422", "unreadable", "page"],
)
async def test_service_that_echoes_a_report(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture, answer: Answer
) -> None:
    service.before = lambda asked: answer if asked.path.endswith(("/errored", "/executed")) else None
    service.put_state("Leaking", {"how": "message"})

    async with running(make_runtime(service, Leaking, grace_period=0.1)):
        await eventually(lambda: "event=reports_failing" in caplog.text or "event=report_failed" in caplog.text)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(401, {"detail": f"Invalid API key {KEY}"}),
        Answer(400, {"detail": json.dumps({"headers": {"x-api-key": KEY, "authorization": HEADER}})}),
        Answer(418, f"<pre>x-api-key: {KEY}\nauthorization: {HEADER}</pre>".encode(), content_type="text/html"),
        Answer(422, {"detail": [{"type": "t", "loc": ["header", KEY], "msg": KEY, "input": KEY, "ctx": {"k": KEY}}]}),
        Answer(400, ("x" * 195 + KEY).encode(), content_type="text/plain"),
        Answer(200, {"nodes": KEY, KEY: "x"}),
        Answer(200, KEY.encode()),
        Answer(200, b"<p>" + KEY.encode(), content_type="text/html"),
    ],
    ids=["401", "400", "page", "422", "cut", "shape", "no json", "html"],
)
async def test_service_that_echoes_the_api_key(service: FakeStateManager, answer: Answer) -> None:
    service.before = lambda _: answer
    manager = StateManager("ns", service.uri, KEY, headers={"authorization": HEADER})

    with pytest.raises(APIError) as caught:
        await manager.get_graph("g")

    clean_error(caught.value)


async def test_connection_error_holds_no_request(service: FakeStateManager) -> None:
    service.before = lambda _: DROP

    with pytest.raises(APIError) as caught:
        await StateManager("ns", service.uri, KEY, headers={"authorization": HEADER}).trigger("g", inputs={})

    clean_error(caught.value)


NODES = [GraphNodeModel(node_name="A", namespace="ns", identifier="a")]


@pytest.mark.parametrize("status", [400, 409, 422, 501])
async def test_service_that_echoes_the_secrets_of_a_graph(service: FakeStateManager, status: int) -> None:
    def echo(asked: Asked) -> Answer:
        text = asked.content.decode()
        if status == 422:
            return Answer(422, {"detail": [{"type": "t", "loc": ["body"], "msg": f"see {text}", "input": asked.json}]})
        return Answer(status, {"detail": text})

    service.before = echo

    with pytest.raises(ExosphereError) as caught:
        await StateManager("ns", service.uri, KEY).upsert_graph("g", NODES, {"url": SECRET, "long": LONG})

    assert str(status) in clean_error(caught.value)


async def test_invalid_graph_whose_reasons_quote_a_secret(service: FakeStateManager) -> None:
    service.graphs["g"] = graph_answer(graph_node("a"), status="INVALID", errors=[f"bad secret {SECRET}", LONG])

    with pytest.raises(GraphValidationError) as caught:
        await StateManager("ns", service.uri, KEY).upsert_graph("g", NODES, {"url": SECRET, "long": LONG})

    assert "bad secret" in clean_error(caught.value)


async def test_secrets_that_are_no_text(service: FakeStateManager) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - which ValueError does not matter
        await StateManager("ns", service.uri, KEY).upsert_graph(
            "g",
            NODES,
            {"url": SECRET, "long": [LONG, SECRET]},  # type: ignore[dict-item]
        )

    clean_error(caught.value)
    assert service.asked == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: TriggerState(identifier="a", inputs={"k": [SECRET, LONG]}),  # type: ignore[dict-item]
        lambda: GraphNodeModel(node_name="", namespace="ns", identifier="a", inputs={"k": SECRET}),
        lambda: GraphNodeModel(node_name="A", namespace="ns", identifier="a", inputs=SECRET),  # type: ignore[arg-type]
        lambda: StoreConfigModel(default_values={"k": [SECRET]}),  # type: ignore[dict-item]
    ],
)
def test_model_that_refuses_quotes_nothing(make: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        make()

    clean(str(caught.value) + repr(caught.value))


@pytest.mark.usefixtures("secrets")
async def test_reprs_of_what_holds_secrets(service: FakeStateManager) -> None:
    manager = StateManager("ns", service.uri, KEY, headers={"authorization": HEADER})
    async with manager:
        for thing in (manager, manager.raw_client, manager._session, manager._settings, make_runtime(service, Echo)):
            clean(f"{thing!r} {thing}")


async def test_unserializable_secret_in_prune_data_is_reported_without_it(service: FakeStateManager) -> None:
    service.secrets = {"url": SECRET, "long": LONG}
    state_id = service.put_state("Leaking", {"how": "undeliverable"})

    async with running(make_runtime(service, Leaking)):
        said = await eventually(lambda: service.report_of(state_id))

    assert "cannot be delivered" in clean(said.body["error"])
