"""What is taken and is probably not meant is said in the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from exospherehost.server import ServerThread
from tests._support.service import Api, connect, good, registration

CHANGED = (
    "Node 'Step' was registered by the runtime 'first' with another schema (inputs: added 'new', removed 'old'; "
    "outputs: added 'z'): runtimes that share a namespace need nodes of different names"
)
DROPPED = (
    "The input 'adress' was dropped: it is not among the inputs of the root 'a' in the graph: did you mean 'address'?"
)


def register(api: Api, runtime: str, *nodes: dict[str, Any]) -> dict[str, Any]:
    return good(api.put("/nodes/", {"runtime_name": runtime, "nodes": list(nodes)}))


def trigger(api: Api, inputs: dict[str, str], **headers: str) -> dict[str, Any]:
    return good(api.call("POST", "/graph/g/trigger", json={"inputs": inputs}, headers=headers))


def addressed(api: Api) -> None:
    api.register(registration("Step", ["address"], ["y"]))
    api.graph("g", api.node("a", {"address": "here"}))


def test_an_input_that_the_root_does_not_have_is_named_with_the_nearest_one(api: Api) -> None:
    addressed(api)
    assert trigger(api, {"adress": "x"})["warnings"] == [DROPPED]
    assert trigger(api, {"zzz": "x"})["warnings"][0].endswith("in the graph, which has 'address'")
    assert "warnings" not in trigger(api, {"address": "x"})
    many = trigger(api, {f"{number}\n" * 200: "x" for number in range(30)})["warnings"]
    assert (len(many), many[-1]) == (21, "10 more inputs were dropped")
    assert max(map(len, many)) < 400
    assert "\n" not in "".join(many)


def test_the_same_trigger_again_has_the_same_warnings(api: Api) -> None:
    addressed(api)
    first = trigger(api, {"adress": "x"}, **{"Idempotency-Key": "k"})
    # The graph's newer version knows the name; the run's does not.
    api.register(registration("Step", ["adress"], ["y"]))
    api.graph("g", api.node("a", {"adress": "here"}))
    assert trigger(api, {"adress": "x"}, **{"Idempotency-Key": "k"}) == first
    assert first["warnings"] == [DROPPED]


def test_a_node_of_another_runtime_with_another_schema_is_told(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    assert "warnings" not in register(api, "first", registration("Step", ["x", "old"], ["y"]))
    # Its own runtime may change it, and another may register the same.
    assert "warnings" not in register(api, "first", registration("Step", ["old"], ["y"]))
    assert "warnings" not in register(api, "second", registration("Step", ["old"], ["y"]))
    register(api, "first", registration("Step", ["old"], ["y"]))
    caplog.clear()
    assert register(api, "second", registration("Step", ["new"], ["y", "z"]))["warnings"] == [CHANGED]
    assert "event=node_replaced" in caplog.text
    assert "'old'" in caplog.text


def test_without_it_nothing_is_said(start_server: Callable[..., ServerThread]) -> None:
    with connect(start_server(without=frozenset({"warnings"}))) as http:
        api = Api(http)
        addressed(api)
        assert trigger(api, {"adress": "x"}).keys() == {"status", "run_id"}
        assert "warnings" not in register(api, "other", registration("Step", ["new"], ["y"]))
