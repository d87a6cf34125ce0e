"""Names go into paths encoded, so that none can change where a request goes."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest

from exospherehost import ConfigurationError, NotFoundError, StateManager
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.graph_json import graph_answer, graph_node
from tests._support.nodes import Echo
from tests._support.runtimes import KEY, make_runtime, running

ODD_NAMES = [".", "..", " ", "a b", "ümläut 東", "100%", "%2F", "a?b", "a#b", "a;b=c", "a+b", "a:b@c", "'\"", "a\\b"]


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_namespace_and_graph_arrive_as_they_were_given(service: FakeStateManager, name: str) -> None:
    service.graphs[name] = graph_answer(graph_node("a"))

    await StateManager(name, service.uri, KEY).get_graph(name)

    (path,) = service.paths()
    assert [unquote(part) for part in path.split("/")] == ["", "v0", "namespace", name, "graph", name]
    assert "?" not in path


@pytest.mark.parametrize("name", ["a/b", "", None, 5, "x" * 1_001])
async def test_graph_name_that_no_path_can_hold_is_refused(service: FakeStateManager, name: Any) -> None:
    manager = StateManager("ns", service.uri, KEY)

    for call in (manager.get_graph(name), manager.trigger(name, inputs={}), manager.upsert_graph(name, [], {})):
        with pytest.raises(ConfigurationError, match="graph_name="):
            await call

    assert service.paths() == []


async def test_base_path_and_version_stand_before(service: FakeStateManager) -> None:
    manager = StateManager("ns", f"{service.uri}/base/path/", KEY, "v7.1")

    with pytest.raises(NotFoundError):
        await manager.get_graph("g")

    assert service.paths() == ["/base/path/v7.1/namespace/ns/graph/g"]


@pytest.mark.parametrize("version", ["v1", "v0", "2024-01"])
async def test_another_version_replaces_the_prefix_everywhere(service: FakeStateManager, version: str) -> None:
    state_id = service.put_state("Echo", {"text": "x"})

    async with running(make_runtime(service, Echo, state_manager_version=version)):
        await eventually(lambda: service.report_of(state_id))

    prefixes = {unquote(path.split("/")[1]) for path in service.paths() if path != "/openapi.json"}
    assert prefixes == {version}


async def test_namespace_v0_is_no_version(service: FakeStateManager) -> None:
    service.graphs["v0"] = graph_answer(graph_node("a"))

    await StateManager("v0", service.uri, KEY, "v1").get_graph("v0")

    assert service.paths() == ["/v1/namespace/v0/graph/v0"]
