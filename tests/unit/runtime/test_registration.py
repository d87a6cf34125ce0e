"""What a runtime tells the service about its nodes: the same as the published SDK does."""

from __future__ import annotations

import logging

import pytest
from pydantic import BaseModel, Field

from exospherehost import AuthenticationError, BaseNode, UnprocessableEntityError
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.http_service import DROP, Answer, Asked
from tests._support.nodes import Echo
from tests._support.runtimes import make_runtime, running


class Full(BaseNode):
    class Inputs(BaseModel):
        name: str
        data: str = "d"
        query: str = Field(description="what to look for", max_length=5, default="q")

    class Outputs(BaseModel):
        message: str
        note: str = "n"

    class Secrets(BaseModel):
        api_key: str
        other: str

    async def execute(self) -> Outputs:
        return self.Outputs(message="m")


class Plain(BaseNode):
    """A docstring."""

    class Inputs(BaseModel):
        """What goes in."""

        text: str

    class Outputs(BaseModel):
        text: str

    async def execute(self) -> Outputs:
        return self.Outputs(text=self.inputs.text)


# Recorded from exospherehost 0.0.3, with the two keys left out that the service ignores
# (runtime_namespace, and namespace of each node).
RECORDED = {
    "runtime_name": "test-runtime",
    "nodes": [
        {
            "name": "Full",
            "inputs_schema": {
                "properties": {
                    "name": {"title": "Name", "type": "string"},
                    "data": {"default": "d", "title": "Data", "type": "string"},
                    "query": {
                        "default": "q",
                        "description": "what to look for",
                        "maxLength": 5,
                        "title": "Query",
                        "type": "string",
                    },
                },
                "required": ["name"],
                "title": "Inputs",
                "type": "object",
            },
            "outputs_schema": {
                "properties": {
                    "message": {"title": "Message", "type": "string"},
                    "note": {"default": "n", "title": "Note", "type": "string"},
                },
                "required": ["message"],
                "title": "Outputs",
                "type": "object",
            },
            "secrets": ["api_key", "other"],
        },
        {
            "name": "Plain",
            "inputs_schema": {
                "description": "What goes in.",
                "properties": {"text": {"title": "Text", "type": "string"}},
                "required": ["text"],
                "title": "Inputs",
                "type": "object",
            },
            "outputs_schema": {
                "properties": {"text": {"title": "Text", "type": "string"}},
                "required": ["text"],
                "title": "Outputs",
                "type": "object",
            },
            "secrets": [],
        },
    ],
}


async def test_body_equals_that_of_the_published_sdk(service: FakeStateManager) -> None:
    async with running(make_runtime(service, Full, Plain)):
        await eventually(lambda: service.claims)

    assert service.registrations == [RECORDED]
    assert service.paths("PUT") == ["/v0/namespace/ns/nodes/"]


async def test_node_without_models_registers_objects_without_fields(service: FakeStateManager) -> None:
    class Bare(BaseNode):
        async def execute(self) -> None:
            """Do nothing."""

    async with running(make_runtime(service, Bare)):
        await eventually(lambda: service.registrations)

    (node,) = service.registrations[0]["nodes"]
    assert node["inputs_schema"]["properties"] == node["outputs_schema"]["properties"] == {}
    assert node["secrets"] == []


async def test_service_that_is_not_there_yet_is_waited_for(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture
) -> None:
    refused = iter([DROP, Answer(503, {"success": False, "detail": "starting"})])

    def starting(asked: Asked) -> Answer | None:
        return next(refused, None) if asked.method == "PUT" else None

    service.before = starting
    with caplog.at_level(logging.INFO, logger="exospherehost"):
        async with running(make_runtime(service, Echo)):
            await eventually(lambda: service.claims)

    assert len(service.paths("PUT")) == 3
    assert caplog.text.count("event=registration_failing") == 1
    assert caplog.text.count("event=registration_recovered") == 1


async def test_refused_key_ends_the_runtime(service: FakeStateManager) -> None:
    service.before = lambda _: Answer(401, {"detail": "Invalid API key"})

    with pytest.raises(AuthenticationError, match=r"401.*Invalid API key"):
        await make_runtime(service, Echo).run()

    assert len(service.asked) == 1


async def test_refused_body_ends_the_runtime(service: FakeStateManager) -> None:
    service.before = lambda _: Answer(422, {"detail": [{"type": "t", "loc": ["body", "nodes"], "msg": "odd"}]})

    with pytest.raises(UnprocessableEntityError, match=r"body\.nodes: odd"):
        await make_runtime(service, Echo).run()


async def test_ready_waits_for_the_registration(service: FakeStateManager) -> None:
    runtime = make_runtime(service, Echo)

    async with running(runtime):
        await runtime.ready()
        assert len(service.registrations) == 1


async def test_ready_raises_when_the_run_ends_before(service: FakeStateManager) -> None:
    import asyncio

    service.before = lambda _: Answer(401, {"detail": "Invalid API key"})
    runtime = make_runtime(service, Echo)
    waiting = asyncio.ensure_future(runtime.ready())

    with pytest.raises(AuthenticationError):
        await runtime.run()
    with pytest.raises(RuntimeError, match="ended before"):
        await waiting


async def test_stop_during_the_registration(service: FakeStateManager) -> None:
    service.before = lambda _: DROP
    runtime = make_runtime(service, Echo)

    async with running(runtime):
        await eventually(lambda: service.asked)

    assert service.claims == []


async def test_start_of_the_published_notebooks_works_and_warns(service: FakeStateManager) -> None:
    runtime = make_runtime(service, Echo)
    runtime.stop()

    with pytest.warns(DeprecationWarning, match=r"use `await runtime\.run\(\)`"):
        await runtime._start()
