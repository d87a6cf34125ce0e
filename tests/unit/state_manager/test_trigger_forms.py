"""What trigger() takes: the documented form, today's, and that of 0.0.3; never two at once."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from exospherehost import ExosphereError, InvalidTriggerError, NotFoundError, StateManager, TriggerState
from tests._support.fake_state_manager import FakeStateManager
from tests._support.graph_json import graph_answer, graph_node
from tests._support.http_service import Answer
from tests._support.runtimes import KEY

ONE = TriggerState(identifier="a", inputs={"k": "v"})
TWO = TriggerState(identifier="b")


@pytest.fixture
def manager(service: FakeStateManager) -> StateManager:
    service.document = {"paths": {}, "components": {"x": {"x-exosphere-extension": "trigger-states"}}}
    return StateManager("ns", service.uri, KEY)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "inputs={}"),
    "a text that is expanded": (
        {"inputs": {"k": "${{a.outputs.b}}"}},
        "'k'; pass the text as a value of store=",
    ),
    "a text that is refused": ({"inputs": {"j": "x", "k": "costs ${{5}"}}, "in the input 'k'"),
    "a key of no store": ({"inputs": {"k": "${{store.secret}}"}, "store": {"other": "x"}}, "in the input 'k'"),
    "a text in a state": ({"state": TriggerState(identifier="a", inputs={"k": "${{store.s}}"})}, "in the input 'k'"),
    "state and states": ({"state": ONE, "states": [TWO]}, "both state and states"),
    "state and empty states": ({"state": ONE, "states": []}, "both state and states"),
    "empty states": ({"states": []}, "empty list"),
    "no states from an iterator": ({"states": ()}, "empty list"),
    "state and inputs": ({"state": ONE, "inputs": {}}, "both trigger states and inputs"),
    "states and inputs": ({"states": [ONE], "inputs": {"k": "v"}}, "both trigger states and inputs"),
    "empty states and inputs": ({"states": [], "inputs": {}}, "both trigger states and inputs"),
    "state and states and inputs": ({"state": ONE, "states": [ONE], "inputs": {}}, "both"),
    "state is text": ({"state": "a"}, "str in place of a TriggerState"),
    "state is a list": ({"state": [ONE]}, "list in place of a TriggerState"),
    "states hold a mapping": ({"states": [ONE, {"identifier": "a", "inputs": {}}]}, "dict in place of a TriggerState"),
    "states is one of them": ({"states": ONE}, "pass it as state="),
    "states hold None": ({"states": [None]}, "NoneType in place of a TriggerState"),
}


@pytest.mark.parametrize(("arguments", "says"), REFUSED.values(), ids=REFUSED)
async def test_refused_before_anything_is_sent(
    service: FakeStateManager, manager: StateManager, arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidTriggerError, match=says) as caught:
        await manager.trigger("g", **arguments)

    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, ExosphereError)
    assert service.asked == []


POSITIONAL_REFUSED: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "inputs twice": (({"k": "v"},), {"inputs": {"k": "w"}}),
    "store twice": (({"k": "v"}, {"s": "t"}), {"store": {"s": "u"}}),
    "state and store": ((ONE, {"s": "t"}), {}),
    "inputs and states": (({"k": "v"}, [ONE]), {}),
    "delay twice": (({}, {}, 5), {"start_delay": 6}),
    "too many": (({}, {}, 5, 6), {}),
}


@pytest.mark.parametrize(("positional", "named"), POSITIONAL_REFUSED.values(), ids=POSITIONAL_REFUSED)
async def test_positional_call_that_means_nothing_is_refused(
    service: FakeStateManager, manager: StateManager, positional: tuple[Any, ...], named: dict[str, Any]
) -> None:
    with pytest.warns(DeprecationWarning, match="inputs="), pytest.raises(InvalidTriggerError):
        await manager.trigger("g", *positional, **named)

    assert service.asked == []


async def test_positional_call_of_the_published_sdk_works_and_warns(
    service: FakeStateManager, manager: StateManager
) -> None:
    with pytest.warns(DeprecationWarning, match=r"inputs=.*store=") as caught:  # noqa: PT031 - four calls, four warnings
        await manager.trigger("g", {"k": "v"}, {"s": "t"}, start_delay=5)
        await manager.trigger("g", {"k": "v"})
        await manager.trigger("g", {})
        await manager.trigger("g", {"k": "v"}, store={"s": "t"})

    assert [warning.filename for warning in caught] == [__file__] * 4
    assert service.triggers == [
        {"inputs": {"k": "v"}, "store": {"s": "t"}, "start_delay": 5},
        {"inputs": {"k": "v"}, "store": {}, "start_delay": 0},
        {"inputs": {}, "store": {}, "start_delay": 0},
        {"inputs": {"k": "v"}, "store": {"s": "t"}, "start_delay": 0},
    ]


async def test_fourth_positional_argument_is_the_delay(service: FakeStateManager, manager: StateManager) -> None:
    with pytest.warns(DeprecationWarning, match="start_delay="):
        await manager.trigger("g", {"k": "v"}, {"s": "t"}, 5)
    with pytest.warns(DeprecationWarning, match="start_delay="):
        await manager.trigger("g", None, {"s": "t"})

    assert service.triggers == [
        {"inputs": {"k": "v"}, "store": {"s": "t"}, "start_delay": 5},
        {"inputs": {}, "store": {"s": "t"}, "start_delay": 0},
    ]


async def test_store_or_delay_alone_has_no_inputs(service: FakeStateManager, manager: StateManager) -> None:
    await manager.trigger("g", store={"s": "t"})
    await manager.trigger("g", start_delay=5)

    assert service.triggers == [
        {"inputs": {}, "store": {"s": "t"}, "start_delay": 0},
        {"inputs": {}, "store": {}, "start_delay": 5},
    ]


async def test_a_placeholder_for_a_key_of_the_own_store_is_sent(
    service: FakeStateManager, manager: StateManager
) -> None:
    await manager.trigger("g", inputs={"k": "costs ${{store.s}}"}, store={"s": "${{5}}"})

    assert service.triggers == [{"inputs": {"k": "costs ${{store.s}}"}, "store": {"s": "${{5}}"}, "start_delay": 0}]


async def test_unknown_input_is_refused_and_names_the_nearest(service: FakeStateManager, manager: StateManager) -> None:
    service.graphs["g"] = graph_answer({**graph_node("a"), "inputs": {"name": "x"}})

    with pytest.raises(
        InvalidTriggerError, match="node 'a' of graph 'g' has no input 'nam': did you mean 'name'"
    ) as caught:
        await manager.trigger("g", inputs={"nam": "y"})
    assert str(caught.value).startswith("nothing was sent: ")
    assert service.triggers == []

    # What was known is read anew before anything is refused.
    service.graphs["g"] = graph_answer({**graph_node("a"), "inputs": {"nam": "x"}})
    await manager.trigger("g", inputs={"nam": "y"})
    await manager.trigger("g", inputs={"nam": "y"})
    assert len(service.triggers) == 2
    assert service.paths("GET").count("/v0/namespace/ns/graph/g") == 2


async def test_a_graph_that_cannot_be_read_is_not_checked(service: FakeStateManager, manager: StateManager) -> None:
    service.before = lambda asked: Answer(503) if asked.method == "GET" else None

    await manager.trigger("g", inputs={"any": "y"})

    assert len(service.triggers) == 1


async def test_named_forms_do_not_warn(service: FakeStateManager, manager: StateManager) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await manager.trigger("g", inputs={"k": "v"}, store={"s": "t"}, start_delay=7)
        await manager.trigger("g", inputs={})
        await manager.trigger("g", state=ONE, store={"s": "t"}, start_delay=8)
        await manager.trigger("g", states=[ONE, TWO, ONE])
        await manager.trigger("g", ONE)
        await manager.trigger("g", None, [TWO])

    one, two = {"identifier": "a", "inputs": {"k": "v"}}, {"identifier": "b", "inputs": {}}
    assert service.triggers == [
        {"inputs": {"k": "v"}, "store": {"s": "t"}, "start_delay": 7},
        {"inputs": {}, "store": {}, "start_delay": 0},
        {"states": [one], "store": {"s": "t"}, "start_delay": 8},
        {"states": [one, two, one], "store": {}, "start_delay": 0},
        {"states": [one], "store": {}, "start_delay": 0},
        {"states": [two], "store": {}, "start_delay": 0},
    ]


async def test_answer_is_the_json(service: FakeStateManager, manager: StateManager) -> None:
    answer = {"status": "CREATED", "run_id": "r", "unknown": {"kept": [1, None]}, "states": []}
    service.before = lambda asked: Answer(200, answer) if asked.path.endswith("/trigger") else None

    assert await manager.trigger("g", inputs={}) == answer
    assert await manager.trigger("g", state=ONE) == answer


async def test_refusal_has_status_code_and_text_of_the_service(
    service: FakeStateManager, manager: StateManager
) -> None:
    service.before = lambda asked: (
        Answer(404, {"detail": "Graph template not found"}, {"x-exosphere-request-id": "the-id"})
        if asked.path.endswith("/trigger")
        else None
    )

    with pytest.raises(Exception, match=r"404.*Graph template not found.*the-id") as caught:
        await manager.trigger("g", inputs={})

    assert isinstance(caught.value, NotFoundError)
    assert caught.value.status_code == 404
    assert caught.value.detail == "Graph template not found"
    assert caught.value.request_id == "the-id"


@pytest.mark.parametrize(
    "arguments",
    [
        {"inputs": {"k": 1}},
        {"inputs": {"k": None}},
        {"inputs": {}, "store": {"k": 1}},
        {"inputs": {}, "start_delay": -1},
    ],
)
async def test_values_that_the_service_would_refuse_are_a_value_error(
    service: FakeStateManager, manager: StateManager, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"inputs|store|start_delay"):
        await manager.trigger("g", **arguments)

    assert service.triggers == []
