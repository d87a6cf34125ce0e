"""One state: its inputs and secrets reach the node, and what the node returns is reported."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, Field

from exospherehost import BaseNode
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager, Report
from tests._support.nodes import Echo, NeedsSecret
from tests._support.runtimes import make_runtime, running


class Out(BaseModel):
    text: str = "default"


class Other(BaseModel):
    other: str


class Returns(BaseNode[Any, Out]):
    """Returns what the test says."""

    def result(self) -> Any:
        """Replaced by subclasses."""

    async def execute(self) -> Any:
        return self.result()


async def report(service: FakeStateManager, node: type[BaseNode], inputs: dict[str, Any] | None = None) -> Report:
    """Execute one state and return what was reported of it."""
    state_id = service.put_state(node.__name__, inputs)
    async with running(make_runtime(service, node)):
        return await eventually(lambda: service.report_of(state_id))


def returning(result: Callable[[], Any]) -> type[BaseNode]:
    return type("Returning", (Returns,), {"result": lambda _: result()})


@pytest.mark.parametrize(
    ("result", "outputs"),
    [
        (lambda: None, []),
        (lambda: Out(text="one"), [{"text": "one"}]),
        (Out, [{"text": "default"}]),
        (lambda: [Out(text="1"), Out(text="2")], [{"text": "1"}, {"text": "2"}]),
        (lambda: (Out(text="1"), Out(text="2")), [{"text": "1"}, {"text": "2"}]),
        (list, []),
        (tuple, []),
    ],
    ids=["none", "one", "defaults", "list", "tuple", "empty list", "empty tuple"],
)
async def test_outputs_are_reported(
    service: FakeStateManager, result: Callable[[], Any], outputs: list[dict[str, str]]
) -> None:
    said = await report(service, returning(result))

    assert (said.action, said.body) == ("executed", {"outputs": outputs})


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (lambda: {"other": "x"}, "dict"),
        (lambda: {"text": "x", "other": "y"}, "dict"),
        (lambda: "x", "str"),
        (lambda: 0, "int"),
        (lambda: [Out(), "x"], "str"),
        (lambda: [None], "NoneType"),
        (lambda: (each for each in [Out()]), "generator"),
        (lambda: Other(other="x"), "Other"),
        (lambda: Out, "ModelMetaclass"),
    ],
)
async def test_wrong_return_type_fails_the_state_and_says_what_to_return(
    service: FakeStateManager, result: Callable[[], Any], kind: str
) -> None:
    said = await report(service, returning(result))

    assert said.action == "errored"
    assert f"Returning.execute returned a {kind}" in said.body["error"]
    assert "return Returning.Outputs" in said.body["error"]


async def test_plain_function_runs_in_a_thread_beside_the_loop(service: FakeStateManager) -> None:
    class Plain(BaseNode):
        class Outputs(BaseModel):
            thread: str

        def execute(self) -> Outputs:
            with pytest.raises(RuntimeError):
                asyncio.get_running_loop()
            return self.Outputs(thread=threading.current_thread().name)

    said = await report(service, Plain)

    assert said.body["outputs"][0]["thread"].startswith("exospherehost-test-runtime")


async def test_plain_functions_do_not_hold_up_the_loop(service: FakeStateManager) -> None:
    release = threading.Event()

    class Blocking(BaseNode):
        def execute(self) -> None:
            assert release.wait(20)

    blocked = [service.put_state("Blocking") for _ in range(3)]
    async with running(make_runtime(service, Blocking, Echo, workers=4)):
        await eventually(lambda: len(service.claims) > 1)
        echoed = service.put_state("Echo", {"text": "meanwhile"})
        await eventually(lambda: service.report_of(echoed))
        assert not any(service.report_of(state_id) for state_id in blocked)
        release.set()
        await eventually(lambda: all(service.report_of(state_id) for state_id in blocked))


async def test_plain_function_may_return_an_awaitable(service: FakeStateManager) -> None:
    async def later(node: BaseNode) -> Out:
        return Out(text=type(node).__name__)

    class Wrapped(BaseNode[Any, Out]):
        def execute(self) -> Any:
            return functools.partial(later, self)()

    assert (await report(service, Wrapped)).body == {"outputs": [{"text": "Wrapped"}]}


async def test_context_variables_reach_a_plain_function(service: FakeStateManager) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("from outside")

    class Reads(BaseNode[Any, Out]):
        def execute(self) -> Out:
            return Out(text=variable.get())

    assert (await report(service, Reads)).body == {"outputs": [{"text": "from outside"}]}


async def test_inputs_are_validated_by_the_model(service: FakeStateManager) -> None:
    class Limited(BaseNode):
        class Inputs(BaseModel):
            first: str = Field(max_length=3)
            second: str
            third: str = "default"

        async def execute(self) -> None:
            pytest.fail("ran with wrong inputs")

    said = await report(service, Limited, {"first": "too long", "third": 5})

    assert said.action == "errored"
    for field in ("first", "second", "third"):
        assert field in said.body["error"]


async def test_unknown_inputs_are_no_error(service: FakeStateManager) -> None:
    assert (await report(service, Echo, {"text": "x", "surplus": "y"})).body == {"outputs": [{"text": "x"}]}


async def test_aliases_are_the_names_on_the_wire(service: FakeStateManager) -> None:
    service.secrets = {"API-TOKEN": "hidden-value", "VALIDATED": "also-hidden"}

    class Aliased(BaseNode):
        class Inputs(BaseModel):
            text: str = Field(alias="in-text")

        class Outputs(BaseModel):
            text: str = Field(alias="out-text")
            other: str = Field(default="o", serialization_alias="out-other")

        class Secrets(BaseModel):
            token: str = Field(alias="API-TOKEN")
            second: str = Field(validation_alias="VALIDATED")

        async def execute(self) -> Outputs:
            assert (self.secrets.token, self.secrets.second) == ("hidden-value", "also-hidden")
            return self.Outputs.model_validate({"out-text": self.inputs.text})

    said = await report(service, Aliased, {"in-text": "hello"})

    assert said.body == {"outputs": [{"out-text": "hello", "out-other": "o"}]}
    (registered,) = service.registrations[0]["nodes"]
    assert list(registered["inputs_schema"]["properties"]) == ["in-text"]
    assert list(registered["outputs_schema"]["properties"]) == ["out-text", "out-other"]
    assert registered["secrets"] == ["API-TOKEN", "VALIDATED"]


async def test_generic_form_runs(service: FakeStateManager) -> None:
    class Sized(BaseModel):
        size: str

    class Token(BaseModel):
        token: str

    class Measure(BaseNode[Out, Sized, Token]):
        async def execute(self) -> list[Sized]:
            return [Sized(size=str(len(self.inputs.text))), Sized(size=str(len(self.secrets.token)))]

    service.secrets = {"token": "12345"}

    assert (await report(service, Measure, {"text": "abc"})).body == {"outputs": [{"size": "3"}, {"size": "5"}]}


async def test_secrets_are_asked_for_only_by_nodes_that_declare_some(service: FakeStateManager) -> None:
    service.secrets = {"token": "1234567"}
    with_secret = service.put_state("NeedsSecret")
    without = service.put_state("Echo", {"text": "x"})

    async with running(make_runtime(service, NeedsSecret, Echo)):
        said = await eventually(lambda: service.report_of(with_secret))
        await eventually(lambda: service.report_of(without))

    assert said.body == {"outputs": [{"length": "7"}]}
    assert [path.split("/")[-2] for path in service.paths("GET") if path.endswith("/secrets")] == [with_secret]


async def test_every_state_has_an_instance_of_its_own(service: FakeStateManager) -> None:
    class Counts(BaseNode[Any, Out]):
        def __init__(self) -> None:
            self.calls = 0

        async def execute(self) -> Out:
            self.calls += 1
            return Out(text=str(self.calls))

    states = [service.put_state("Counts") for _ in range(3)]
    async with running(make_runtime(service, Counts)):
        said = [await eventually(lambda state_id=state_id: service.report_of(state_id)) for state_id in states]

    assert {each.body["outputs"][0]["text"] for each in said} == {"1"}


async def test_state_of_a_node_that_is_not_there_is_an_error_report(service: FakeStateManager) -> None:
    from tests._support.http_service import Answer, Asked

    state = {
        "state_id": f"{99:024x}",
        "node_name": "Stranger",
        "identifier": "s",
        "inputs": {},
        "created_at": "2025-01-02T03:04:05",
    }

    def once(asked: Asked) -> Answer | None:
        if asked.path.endswith("/enqueue") and not service.claims:
            service.claims.append(asked.json)
            return Answer(200, {"count": 1, "namespace": "ns", "status": "QUEUED", "states": [state]})
        return None

    service.before = once
    async with running(make_runtime(service, Echo)):
        said = await eventually(lambda: service.report_of(state["state_id"]))

    assert said.action == "errored"
    assert "'Stranger'" in said.body["error"]
    assert "Echo" in said.body["error"]
