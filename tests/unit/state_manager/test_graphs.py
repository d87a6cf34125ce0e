"""Storing and reading graph templates."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from exospherehost import (
    APIResponseError,
    BadRequestError,
    CronTrigger,
    ExosphereError,
    GraphNodeModel,
    GraphValidationError,
    GraphValidationTimeoutError,
    NotFoundError,
    RetryPolicyModel,
    RetryStrategyEnum,
    StateManager,
    StoreConfigModel,
    UnitesModel,
    UnitesStrategyEnum,
)
from tests._support.fake_state_manager import FakeStateManager
from tests._support.graph_json import graph_answer, graph_node
from tests._support.http_service import DROP, Answer, Asked
from tests._support.runtimes import KEY

NODES = [
    GraphNodeModel(node_name="A", namespace="ns", identifier="a", inputs={"k": "v"}, next_nodes=["b"]),
    GraphNodeModel(node_name="B", namespace="ns", identifier="b", unites=UnitesModel(identifier="a")),
]
# Recorded from exospherehost 0.0.3 for the same call.
RECORDED_NODES = [
    {
        "node_name": "A",
        "namespace": "ns",
        "identifier": "a",
        "inputs": {"k": "v"},
        "next_nodes": ["b"],
        "unites": None,
    },
    {
        "node_name": "B",
        "namespace": "ns",
        "identifier": "b",
        "inputs": {},
        "next_nodes": None,
        "unites": {"identifier": "a", "strategy": "ALL_SUCCESS"},
    },
]


@pytest.fixture
def manager(service: FakeStateManager) -> StateManager:
    service.graphs["g"] = graph_answer(graph_node("a"))
    return StateManager("ns", service.uri, KEY)


def verification(service: FakeStateManager, *statuses: str, errors: list[str] | None = None) -> list[dict[str, Any]]:
    """Let the PUT and the GETs after it answer these, the last one again and again."""
    answers = [
        {**graph_answer(graph_node("a"), status=status, errors=errors), "step": number}
        for number, status in enumerate(statuses)
    ]
    coming = iter(answers)

    def before(asked: Asked) -> Answer:
        return Answer(201 if asked.method == "PUT" else 200, next(coming, answers[-1]))

    service.before = before
    return answers


async def test_get_graph_gives_the_json(service: FakeStateManager, manager: StateManager) -> None:
    service.graphs["g"] = {**service.graphs["g"], "of a later version": {"kept": [1, None]}}

    assert await manager.get_graph("g") == service.graphs["g"]


async def test_get_graph_of_an_unknown_graph(manager: StateManager) -> None:
    with pytest.raises(NotFoundError, match="404"):
        await manager.get_graph("other")


async def test_get_graph_reads_statuses_that_it_does_not_know(service: FakeStateManager, manager: StateManager) -> None:
    service.graphs["g"] = graph_answer(graph_node("a"), status="ARCHIVED")

    assert (await manager.get_graph("g"))["validation_status"] == "ARCHIVED"


async def test_get_graph_with_an_odd_body(service: FakeStateManager, manager: StateManager) -> None:
    service.graphs["g"] = {"nodes": "none"}

    with pytest.raises(APIResponseError, match="nodes"):
        await manager.get_graph("g")


async def test_body_of_a_put_equals_that_of_the_published_sdk(service: FakeStateManager, manager: StateManager) -> None:
    await manager.upsert_graph("g", NODES, {"s": "v"})
    await manager.upsert_graph(
        "g",
        NODES,
        {},
        RetryPolicyModel(),
        StoreConfigModel(required_keys=["a"], default_values={"b": "c"}),
        [CronTrigger(expression="* * * * *")],
    )

    bodies = [asked.json for asked in service.asked if asked.method == "PUT"]
    assert bodies == [
        {"secrets": {"s": "v"}, "nodes": RECORDED_NODES},
        {
            "secrets": {},
            "nodes": RECORDED_NODES,
            "retry_policy": {
                "max_retries": 3,
                "strategy": "EXPONENTIAL",
                "backoff_factor": 2000,
                "exponent": 2,
                "max_delay": None,
            },
            "store_config": {"required_keys": ["a"], "default_values": {"b": "c"}},
            "triggers": [{"type": "CRON", "value": {"expression": "* * * * *"}}],
        },
    ]


async def test_everything_that_is_set_is_sent(service: FakeStateManager, manager: StateManager) -> None:
    joining = GraphNodeModel(
        node_name="B",
        namespace="ns",
        identifier="b",
        unites=UnitesModel(identifier="a", strategy=UnitesStrategyEnum.ALL_DONE),
    )
    policy = RetryPolicyModel(
        max_retries=0, strategy=RetryStrategyEnum.FIXED_FULL_JITTER, backoff_factor=1, exponent=7, max_delay=9
    )

    await manager.upsert_graph("g", [NODES[0], joining], {}, policy)

    body = service.asked[0].json
    assert body["nodes"][1]["unites"] == {"identifier": "a", "strategy": "ALL_DONE"}
    assert body["retry_policy"] == {
        "max_retries": 0,
        "strategy": "FIXED_FULL_JITTER",
        "backoff_factor": 1,
        "exponent": 7,
        "max_delay": 9,
    }


async def test_put_that_is_valid_at_once_is_returned(service: FakeStateManager, manager: StateManager) -> None:
    (put,) = verification(service, "VALID")

    assert await manager.upsert_graph("g", NODES, {}) == put
    assert service.paths() == ["/v0/namespace/ns/graph/g"]


async def test_pending_is_looked_at_again_and_the_last_body_returned(
    service: FakeStateManager, manager: StateManager
) -> None:
    answers = verification(service, "PENDING", "PENDING", "PENDING", "VALID")

    assert await manager.upsert_graph("g", NODES, {}, polling_interval=0.01) == answers[-1]
    assert len(service.paths("GET")) == 3
    assert len(service.paths("PUT")) == 1


@pytest.mark.parametrize("statuses", [["INVALID"], ["PENDING", "INVALID"], ["PENDING", "PENDING", "INVALID"]])
async def test_invalid_graph_is_an_error_with_the_reasons(
    service: FakeStateManager, manager: StateManager, statuses: list[str]
) -> None:
    verification(service, *statuses, errors=["node A is not registered", "secret s is missing"])

    with pytest.raises(GraphValidationError) as caught:
        await manager.upsert_graph("g", NODES, {}, polling_interval=0.01)

    assert caught.value.graph_name == "g"
    assert caught.value.status == "INVALID"
    assert caught.value.validation_errors == ["node A is not registered", "secret s is missing"]
    assert "node A is not registered; secret s is missing" in str(caught.value)
    assert isinstance(caught.value, ExosphereError)


@pytest.mark.parametrize("status", ["ONGOING", "SOMETHING_NEW"])
async def test_any_other_status_is_an_error(service: FakeStateManager, manager: StateManager, status: str) -> None:
    verification(service, status)

    with pytest.raises(GraphValidationError, match=status):
        await manager.upsert_graph("g", NODES, {})


async def test_verification_that_takes_too_long(service: FakeStateManager, manager: StateManager) -> None:
    verification(service, "PENDING")
    loop = asyncio.get_running_loop()
    started = loop.time()

    with pytest.raises(GraphValidationTimeoutError, match="stored and still PENDING") as caught:
        await manager.upsert_graph("g", NODES, {}, validation_timeout=2, polling_interval=60)

    assert isinstance(caught.value, TimeoutError)
    assert 2 <= loop.time() - started < 30
    # The time was used up, and one more look was taken at its end.
    assert len(service.paths("GET")) >= 1


async def test_template_that_breaks_a_rule(service: FakeStateManager, manager: StateManager) -> None:
    service.before = lambda _: Answer(400, {"detail": "exactly one root is needed"})

    with pytest.raises(BadRequestError, match=r"400.*exactly one root is needed"):
        await manager.upsert_graph("g", NODES, {})

    assert len(service.asked) == 1


async def test_put_is_sent_again_after_transient_faults(service: FakeStateManager, manager: StateManager) -> None:
    faults = iter([DROP, Answer(500, {"success": False, "detail": "broken"})])
    service.before = lambda _: next(faults, None)

    assert (await manager.upsert_graph("g", NODES, {}))["validation_status"] == "VALID"
    assert len(service.paths("PUT")) == 3


async def test_fault_while_waiting_for_the_verification_is_sat_out(
    service: FakeStateManager, manager: StateManager
) -> None:
    pending = graph_answer(graph_node("a"), status="PENDING")
    coming = iter([Answer(201, pending), DROP, Answer(503, {"detail": "later"})])
    service.before = lambda _: next(coming, None)

    assert (await manager.upsert_graph("g", NODES, {}, polling_interval=0.01))["validation_status"] == "VALID"


async def test_one_pool_serves_the_whole_wait(service: FakeStateManager, manager: StateManager) -> None:
    verification(service, "PENDING", "PENDING", "VALID")

    await manager.upsert_graph("g", NODES, {}, polling_interval=0.01)

    assert service.connections == 1


async def test_what_a_call_does_not_need_may_be_missing(service: FakeStateManager, manager: StateManager) -> None:
    service.graphs["g"] = {"nodes": [], "validation_status": "VALID"}
    service.before = lambda asked: Answer(200, {"run_id": "a-run"}) if asked.path.endswith("/trigger") else None

    assert await manager.get_graph("g") == service.graphs["g"]
    assert await manager.upsert_graph("g", [], {}) == service.graphs["g"]
    assert await manager.trigger("g", inputs={}) == {"run_id": "a-run"}


async def test_a_trigger_without_a_run_id_is_an_error(service: FakeStateManager, manager: StateManager) -> None:
    service.before = lambda asked: Answer(200, {"status": "CREATED"}) if asked.path.endswith("/trigger") else None

    with pytest.raises(APIResponseError, match="run_id"):
        await manager.trigger("g", inputs={})
