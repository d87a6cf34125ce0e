"""Trigger states on services with and without the extension: nothing is ever dropped in silence."""

from __future__ import annotations

from typing import Any

import pytest

from exospherehost import (
    APIError,
    APIResponseError,
    ExosphereError,
    NotFoundError,
    ServerFailureError,
    StateManager,
    TriggerState,
    UnsupportedByServerError,
)
from exospherehost._state_manager import trigger_forms
from tests._support.fake_state_manager import FakeStateManager
from tests._support.graph_json import graph_answer, graph_node
from tests._support.http_service import DROP, Answer, Asked
from tests._support.runtimes import KEY
from tests._support.stand_in import stand_in

WITH = {"components": {"schemas": {"T": {"properties": {"states": {"x-exosphere-extension": "trigger-states"}}}}}}
GRAPH = graph_answer(
    graph_node("join", unites={"identifier": "start", "strategy": "ALL_DONE"}),
    graph_node("start", inputs={"user": "", "token": "${{store.token}}"}, next_nodes=["middle"]),
    graph_node("middle", inputs={"user": "${{start.outputs.user}}"}, next_nodes=["join"]),
)
AT_ROOT = TriggerState(identifier="start", inputs={"user": "u"})


@pytest.fixture
def manager(service: FakeStateManager) -> StateManager:
    service.graphs["g"] = GRAPH
    return StateManager("ns", service.uri, KEY)


def served(service: FakeStateManager, answer: Answer) -> None:
    service.before = lambda asked: answer if asked.path == "/openapi.json" else None


# ---- a service that has it ---------------------------------------------------------------------------


async def test_states_are_sent_where_the_document_has_the_extension(
    service: FakeStateManager, manager: StateManager
) -> None:
    service.document = WITH
    entries = [TriggerState(identifier="middle", inputs={"user": "1"}), TriggerState(identifier="middle")]

    answer = await manager.trigger("g", states=entries, store={"token": "t"})

    assert service.triggers == [
        {
            "states": [{"identifier": "middle", "inputs": {"user": "1"}}, {"identifier": "middle", "inputs": {}}],
            "store": {"token": "t"},
            "start_delay": 0,
        }
    ]
    assert [state["identifier"] for state in answer["states"]] == ["middle", "middle"]
    assert service.paths("GET") == ["/openapi.json", "/v0/namespace/ns/graph/g"]


async def test_document_is_asked_for_once(service: FakeStateManager, manager: StateManager) -> None:
    service.document = WITH

    for _ in range(3):
        await manager.trigger("g", state=AT_ROOT)
    async with manager:
        await manager.trigger("g", inputs={})

    assert service.paths("GET").count("/openapi.json") == 1


async def test_document_is_not_asked_for_without_need(service: FakeStateManager, manager: StateManager) -> None:
    await manager.get_graph("g")

    assert "/openapi.json" not in service.paths()


async def test_service_that_ignores_the_states_after_all_is_told_of(
    service: FakeStateManager, manager: StateManager
) -> None:
    service.document = WITH
    service.before = lambda asked: (
        Answer(200, {"status": "CREATED", "run_id": "the-run"}) if asked.path.endswith("/trigger") else None
    )

    with pytest.raises(APIResponseError, match="the-run"):
        await manager.trigger("g", state=AT_ROOT)
    service.before = lambda _: None
    service.document = None
    await manager.trigger("g", state=AT_ROOT)

    # What it can do has been asked for again.
    assert service.triggers == [{"inputs": {"user": "u"}, "store": {}, "start_delay": 0}]


# ---- a service that has not --------------------------------------------------------------------------

WITHOUT: dict[str, Answer] = {
    "404": Answer(404, {"detail": "Not Found"}),
    "405": Answer(405, {"detail": "Method Not Allowed"}),
    "document without": Answer(200, {"openapi": "3.1.0", "paths": {"/health": {}}}),
    "other extension": Answer(200, {"paths": {"/x": {"x-exosphere-extension": "wait"}}}),
    "odd mark": Answer(200, {"x-exosphere-extension": ["trigger-states"]}),
    "list": Answer(200, ["trigger-states"]),
    "HTML": Answer(200, b"<html>trigger-states</html>", content_type="text/html"),
    "broken JSON": Answer(200, b'{"x-exosphere-extension": "trigger-sta'),
    "not UTF-8": Answer(200, b'{"a": "\xff"}'),
    "very deep": Answer(200, b"[" * 200_000),
    "empty": Answer(200, b""),
    "redirect": Answer(307, b"", {"location": "/docs"}),
}


@pytest.mark.parametrize("document", WITHOUT.values(), ids=WITHOUT)
async def test_single_state_at_the_root_becomes_inputs(
    service: FakeStateManager, manager: StateManager, document: Answer
) -> None:
    served(service, document)

    await manager.trigger("g", state=AT_ROOT, store={"token": "t"}, start_delay=3)
    await manager.trigger("g", states=[AT_ROOT])

    assert service.triggers == [
        {"inputs": {"user": "u"}, "store": {"token": "t"}, "start_delay": 3},
        {"inputs": {"user": "u"}, "store": {}, "start_delay": 0},
    ]
    # Both answers are remembered: what the service can do, and the graph's root.
    assert service.paths("GET") == ["/openapi.json", "/v0/namespace/ns/graph/g"]


UNSUPPORTED: dict[str, dict[str, Any]] = {
    "several": {"states": [AT_ROOT, AT_ROOT]},
    "not at the root": {"state": TriggerState(identifier="middle", inputs={"user": "u"})},
    "unknown identifier": {"state": TriggerState(identifier="nowhere")},
    "other case": {"state": TriggerState(identifier="Start")},
    "unknown key": {"state": TriggerState(identifier="start", inputs={"user": "u", "surplus": "x"})},
}


@pytest.mark.parametrize("arguments", UNSUPPORTED.values(), ids=UNSUPPORTED)
async def test_what_would_be_lost_is_refused_before_it_is_sent(
    service: FakeStateManager, manager: StateManager, arguments: dict[str, Any]
) -> None:
    with pytest.raises(UnsupportedByServerError) as caught:
        await manager.trigger("g", **arguments)

    text = str(caught.value)
    assert "'start'" in text
    assert "['token', 'user']" in text
    assert "trigger-states" in text
    assert isinstance(caught.value, ExosphereError)
    assert not isinstance(caught.value, APIError)
    assert service.paths("POST") == []


async def test_graph_without_one_root_is_refused(service: FakeStateManager, manager: StateManager) -> None:
    service.graphs["g"] = graph_answer(graph_node("a"), graph_node("b"))

    with pytest.raises(UnsupportedByServerError, match="2 roots"):
        await manager.trigger("g", state=TriggerState(identifier="a"))

    assert service.paths("POST") == []


async def test_unknown_graph_is_not_found(service: FakeStateManager, manager: StateManager) -> None:
    with pytest.raises(NotFoundError):
        await manager.trigger("other", state=AT_ROOT)

    assert service.paths("POST") == []


async def test_root_is_cached_for_a_minute(
    service: FakeStateManager, manager: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    stand_in(monkeypatch, trigger_forms, "time", monotonic=lambda: now)
    await manager.trigger("g", state=AT_ROOT)
    service.graphs["g"] = graph_answer(graph_node("other", inputs={"user": ""}))

    now += 59
    await manager.trigger("g", state=AT_ROOT)
    now += 2
    with pytest.raises(UnsupportedByServerError, match="'other'"):
        await manager.trigger("g", state=AT_ROOT)


async def test_root_is_forgotten_when_the_graph_is_put(service: FakeStateManager, manager: StateManager) -> None:
    from exospherehost import GraphNodeModel

    await manager.trigger("g", state=AT_ROOT)
    service.graphs["g"] = graph_answer(graph_node("other", inputs={"user": ""}))
    await manager.upsert_graph("g", [GraphNodeModel(node_name="N", namespace="ns", identifier="other")], {})

    with pytest.raises(UnsupportedByServerError, match="'other'"):
        await manager.trigger("g", state=AT_ROOT)


# ---- a service that does not say -----------------------------------------------------------------------


@pytest.mark.parametrize("fault", [DROP, Answer(500, {"detail": "broken"}), Answer(503, {"detail": "later"})])
async def test_transient_fault_is_raised_and_not_remembered(
    service: FakeStateManager, manager: StateManager, fault: Answer
) -> None:
    served(service, fault)

    with pytest.raises(APIError):
        await manager.trigger("g", state=AT_ROOT)
    assert service.paths("POST") == []

    service.document = WITH
    service.before = lambda _: None
    await manager.trigger("g", state=AT_ROOT)

    assert "states" in service.triggers[0]


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_key_says_nothing_about_the_extension(
    service: FakeStateManager, manager: StateManager, status: int
) -> None:
    served(service, Answer(status, {"detail": "Invalid API key"}))

    with pytest.raises(APIError, match=str(status)):
        await manager.trigger("g", state=AT_ROOT)
    served(service, Answer(200, WITH))
    await manager.trigger("g", state=AT_ROOT)

    assert "states" in service.triggers[0]


async def test_transient_fault_of_the_document_is_sat_out(service: FakeStateManager, manager: StateManager) -> None:
    faults = iter([DROP, Answer(500, {"detail": "broken"})])

    def before(asked: Asked) -> Answer | None:
        return next(faults, None) if asked.path == "/openapi.json" else None

    service.document = WITH
    service.before = before
    await manager.trigger("g", states=[AT_ROOT, AT_ROOT])

    assert len(service.triggers[0]["states"]) == 2


async def test_plain_inputs_need_no_document(service: FakeStateManager, manager: StateManager) -> None:
    served(service, Answer(500, {"detail": "broken"}))

    await manager.trigger("g", inputs={"user": "u"})

    assert service.triggers == [{"inputs": {"user": "u"}, "store": {}, "start_delay": 0}]


async def test_each_service_is_asked_for_itself(service: FakeStateManager) -> None:
    service.graphs["g"] = GRAPH
    with FakeStateManager() as first:
        first.document = WITH
        manager = StateManager("ns", f"{first.uri},{service.uri}", KEY)
        await manager.trigger("g", state=AT_ROOT)
        first.before = lambda asked: DROP if asked.method == "POST" else None
        with pytest.raises(APIError):
            await manager.trigger("g", state=AT_ROOT)
        await manager.trigger("g", state=AT_ROOT)

    assert service.triggers == [{"inputs": {"user": "u"}, "store": {}, "start_delay": 0}]


async def test_server_failure_keeps_its_class(service: FakeStateManager, manager: StateManager) -> None:
    served(service, Answer(500, {"success": False, "detail": "broken"}))

    with pytest.raises(ServerFailureError, match="500"):
        await manager.trigger("g", state=AT_ROOT)
