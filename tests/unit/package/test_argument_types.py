"""An argument of the wrong kind is refused in our own words, before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from exospherehost import (
    APIConnectionError,
    AuthenticationError,
    BaseNode,
    ConfigurationError,
    GraphNodeModel,
    InvalidTriggerError,
    NotFoundError,
    Runtime,
    StateManager,
)
from tests._support.fake_state_manager import FakeStateManager
from tests._support.http_service import Answer
from tests._support.runtimes import KEY

NODE = GraphNodeModel(node_name="N", namespace="ns", identifier="n")


@pytest.mark.parametrize(
    "arguments",
    [
        {"inputs": {"a": 1}},
        {"inputs": ["a"]},
        {"inputs": {}, "store": {"a": None}},
        {"inputs": {}, "start_delay": -1},
        {"inputs": {}, "start_delay": "soon"},
        {"inputs": {}, "idempotency_key": ""},
        {"inputs": {}, "idempotency_key": "a\nb"},
        {"inputs": {}, "idempotency_key": "é"},
        {"inputs": {}, "idempotency_key": 5},
        {"inputs": {}, "idempotency_key": "x" * 256},
    ],
)
async def test_trigger_refuses(service: FakeStateManager, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidTriggerError) as caught:
        await StateManager("ns", service.uri, KEY).trigger("g", **arguments)

    assert "pydantic.dev" not in str(caught.value)
    assert service.paths() == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"graph_nodes": None},
        {"graph_nodes": [{"node_name": "N"}]},
        {"secrets": None},
        {"secrets": {"t": 5}},
        {"secrets": "text"},
        {"retry_policy": {"max_retries": 3}},
        {"store_config": 5},
        {"triggers": ["* * * * *"]},
    ],
)
async def test_upsert_refuses(service: FakeStateManager, arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await StateManager("ns", service.uri, KEY).upsert_graph(
            "g", **{"graph_nodes": [NODE], "secrets": {}, **arguments}
        )

    assert "pydantic.dev" not in str(caught.value)
    assert service.paths() == []


async def test_one_node_in_place_of_a_list_is_told_of(service: FakeStateManager) -> None:
    with pytest.raises(ConfigurationError, match="graph_nodes is a GraphNodeModel; pass a list of GraphNodeModel"):
        await StateManager("ns", service.uri, KEY).upsert_graph("g", NODE, {})  # type: ignore[arg-type]

    assert service.paths() == []


@pytest.mark.parametrize("timeouts", ["x", (1, 2), {"read": 5}])
def test_timeouts_of_another_kind_are_refused(timeouts: Any) -> None:
    with pytest.raises(ConfigurationError, match="timeouts="):
        StateManager("ns", "http://127.0.0.1:1", KEY, timeouts=timeouts)


@pytest.mark.parametrize(("name", "value"), [("headers", "a"), ("proxy", 5)])
def test_connection_option_of_another_kind_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        StateManager("ns", "http://127.0.0.1:1", KEY, **{name: value})


def test_uri_without_a_scheme_is_quoted_and_one_with_a_password_is_not() -> None:
    with pytest.raises(ConfigurationError, match="'localhost:8000' is not a URI"):
        StateManager("ns", "localhost:8000", KEY)
    with pytest.raises(ConfigurationError) as caught:
        StateManager("ns", "user:pa55word@localhost:8000", KEY)
    assert "pa55word" not in str(caught.value)


@pytest.mark.parametrize("nodes", [None, 5])
def test_nodes_that_are_no_list_are_refused(nodes: Any) -> None:
    with pytest.raises(ConfigurationError, match="nodes="):
        Runtime("ns", "r", nodes, "http://127.0.0.1:1", KEY)


class Takes(BaseNode):
    async def execute(self, what: str) -> None:  # type: ignore[override]
        raise NotImplementedError


class Yields(BaseNode):
    class Outputs(BaseModel):
        a: str

    async def execute(self) -> Any:
        yield self.Outputs(a="1")


class Five(BaseNode):
    execute = 5  # type: ignore[assignment]


class NeedsArgument(BaseNode):
    def __init__(self, what: str) -> None:
        self.what = what

    async def execute(self) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        (Takes, "Takes.execute needs arguments"),
        (Yields, "Yields.execute yields"),
        (Five, "Five.execute is a int"),
        (NeedsArgument, "NeedsArgument.__init__ needs arguments"),
    ],
)
def test_node_that_cannot_be_executed_is_refused(node: type[BaseNode], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Runtime("ns", "r", [node], "http://127.0.0.1:1", KEY)


async def test_connection_error_names_the_service() -> None:
    with pytest.raises(APIConnectionError, match=r"at http://127\.0\.0\.1:9/base"):
        await StateManager("ns", "http://127.0.0.1:9/base", KEY, timeouts=2).get_graph("g")


async def test_refusals_that_speak_of_the_configuration_say_what_to_correct(service: FakeStateManager) -> None:
    service.before = lambda _: Answer(401, {"detail": "Invalid API key"})
    with pytest.raises(AuthenticationError, match="EXOSPHERE_API_KEY"):
        await StateManager("ns", service.uri, KEY).get_graph("g")

    service.before = lambda _: Answer(404, {"detail": "Not Found"})
    with pytest.raises(NotFoundError, match="EXOSPHERE_STATE_MANAGER_URI"):
        await StateManager("ns", service.uri, KEY).get_graph("g")
