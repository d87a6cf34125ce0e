"""Every operation through the generated client, as an engineer without our SDK would call it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from exospherehost.server import ServerThread
from exospherehost_client import errors, models
from exospherehost_client.api.graphs import get_graph, list_graphs, trigger_graph, upsert_graph
from exospherehost_client.api.nodes import list_namespaces, list_nodes, register_nodes
from exospherehost_client.api.runs import get_run_graph, get_state, list_runs
from exospherehost_client.api.service import get_health
from exospherehost_client.api.states import (
    enqueue_states,
    get_state_secrets,
    prune_state,
    report_errored,
    report_executed,
    requeue_state,
    retry_state,
)
from exospherehost_client.client import AuthenticatedClient, Client
from tests._support.service import schema

_numbers = itertools.count(1)
UNKNOWN = "0123456789abcdef01234567"


@pytest.fixture
def space() -> str:
    return f"generated client {next(_numbers)}"


def graph_of(space: str, **sections: Any) -> models.UpsertGraphRequest:
    return models.UpsertGraphRequest(
        secrets={"token": "v"},
        nodes=[
            models.GraphNode(
                node_name="Step", namespace=space, identifier="a", inputs={"x": "${{store.k}}"}, next_nodes=["b"]
            ),
            models.GraphNode(node_name="Step", namespace=space, identifier="b", inputs={"x": "${{a.outputs.y}}"}),
        ],
        store_config=models.StoreConfig(required_keys=["k"]),
        **sections,
    )


@pytest.fixture
def ready(client: AuthenticatedClient, space: str) -> str:
    """A namespace with a node and a graph ``g``."""
    node = models.NodeRegistration(
        name="Step", inputs_schema=schema("x"), outputs_schema=schema("y"), secrets=["token"]
    )
    body = models.RegisterNodesRequest(runtime_name="r", nodes=[node])
    assert register_nodes.sync(space, client=client, body=body).registered_nodes == [node]
    policy = models.RetryPolicy(max_retries=1, strategy=models.RetryStrategy.FIXED, backoff_factor=1)
    stored = upsert_graph.sync(space, "g", client=client, body=graph_of(space, retry_policy=policy))
    assert stored.validation_status == "VALID", stored.validation_errors
    return space


def claim(client: AuthenticatedClient, space: str, size: int = 10) -> list[models.ClaimedState]:
    body = models.EnqueueStatesRequest(nodes=["Step"], batch_size=size)
    return enqueue_states.sync(space, client=client, body=body).states


def start(client: AuthenticatedClient, space: str) -> str:
    return trigger_graph.sync(space, "g", client=client, body=models.TriggerGraphRequest(store={"k": "1"})).run_id


def test_a_run_from_registration_to_its_end(client: AuthenticatedClient, ready: str, server: ServerThread) -> None:
    with Client(server.url) as anyone:
        assert get_health.sync(client=anyone).message == "OK"
    assert ready in list_namespaces.sync(client=client).namespaces
    assert [node.name for node in list_nodes.sync(ready, client=client).nodes] == ["Step"]
    assert get_graph.sync(ready, "g", client=client).secrets == {"token": True}
    assert [graph.name for graph in list_graphs.sync(ready, client=client).templates] == ["g"]

    run = start(client, ready)
    (first,) = claim(client, ready)
    assert first.inputs == {"x": "1"}
    assert get_state_secrets.sync(ready, first.state_id, client=client).secrets == {"token": "v"}
    delay = models.RequeueRequest(enqueue_after=1)
    assert requeue_state.sync(ready, first.state_id, client=client, body=delay).status == "CREATED"
    again = models.ManualRetryRequest(fanout_id="f")
    while not (claimed := claim(client, ready)):
        continue
    assert claimed[0].state_id == first.state_id
    retried = retry_state.sync(ready, first.state_id, client=client, body=again)
    assert (retried.status, claim(client, ready)[0].state_id) == ("CREATED", retried.id)
    outputs = models.ExecutedRequest(outputs=[{"y": "one"}, {"y": "two"}])
    assert report_executed.sync(ready, retried.id, client=client, body=outputs).status == "EXECUTED"
    left, right = claim(client, ready)
    failed = report_errored.sync(ready, left.state_id, client=client, body=models.ErroredRequest(error="e"))
    assert (failed.status, failed.retry_created) == ("ERRORED", True)
    pruned = prune_state.sync(ready, right.state_id, client=client, body=models.PruneRequest(data={"n": 1}))
    assert pruned.status == "PRUNED"

    (summary,) = list_runs.sync(ready, 1, 10, client=client).runs
    assert (summary.run_id, summary.total_count, summary.status) == (run, 6, "PENDING")
    view = get_run_graph.sync(ready, run, client=client)
    assert view.node_count == 6
    detail = get_state.sync(ready, "g", run, left.state_id, client=client)
    assert (detail.status, detail.error, detail.created_at.tzinfo is not None) == ("RETRY_CREATED", "e", True)


async def test_the_asynchronous_face_does_the_same(server: ServerThread, ready: str) -> None:
    async with AuthenticatedClient(server.url, server.api_key) as own:
        body = models.TriggerGraphRequest(store={"k": "1"})
        run = (await trigger_graph.asyncio(ready, "g", client=own, body=body)).run_id
        asked = models.EnqueueStatesRequest(nodes=["Step"], batch_size=1)
        (state,) = (await enqueue_states.asyncio(ready, client=own, body=asked)).states
        detailed = await report_executed.asyncio_detailed(
            ready, state.state_id, client=own, body=models.ExecutedRequest(outputs=[{"y": "1"}])
        )
        assert (detailed.status_code, detailed.parsed.status) == (200, "EXECUTED")
        assert detailed.headers["x-exosphere-request-id"]
        assert (await get_run_graph.asyncio(ready, run, client=own)).node_count == 2


def test_states_of_a_trigger_come_back(client: AuthenticatedClient, ready: str) -> None:
    entry = models.TriggerEntry(identifier="b", inputs={"x": "given"})
    body = models.TriggerGraphRequest(store={"k": "1"}, states=[entry, entry])
    answer = trigger_graph.sync(ready, "g", client=client, body=body)
    assert answer.states is not None
    assert [(state.identifier, state.inputs) for state in answer.states] == [("b", {"x": "given"})] * 2


Call = Callable[[AuthenticatedClient, str], object]

NO_KEY: list[tuple[str, Call]] = [
    ("list_namespaces", lambda c, _space: list_namespaces.sync(client=c)),
    ("list_nodes", lambda c, s: list_nodes.sync(s, client=c)),
    (
        "register_nodes",
        lambda c, s: register_nodes.sync(s, client=c, body=models.RegisterNodesRequest(runtime_name="", nodes=[])),
    ),
    ("get_graph", lambda c, s: get_graph.sync(s, "g", client=c)),
    ("list_graphs", lambda c, s: list_graphs.sync(s, client=c)),
    ("upsert_graph", lambda c, s: upsert_graph.sync(s, "g", client=c, body=graph_of(s))),
    ("trigger_graph", lambda c, s: trigger_graph.sync(s, "g", client=c, body=models.TriggerGraphRequest())),
    ("enqueue_states", claim),
    (
        "report_executed",
        lambda c, s: report_executed.sync(s, UNKNOWN, client=c, body=models.ExecutedRequest(outputs=[])),
    ),
    ("report_errored", lambda c, s: report_errored.sync(s, UNKNOWN, client=c, body=models.ErroredRequest(error=""))),
    ("prune_state", lambda c, s: prune_state.sync(s, UNKNOWN, client=c, body=models.PruneRequest(data={}))),
    (
        "requeue_state",
        lambda c, s: requeue_state.sync(s, UNKNOWN, client=c, body=models.RequeueRequest(enqueue_after=1)),
    ),
    ("retry_state", lambda c, s: retry_state.sync(s, UNKNOWN, client=c, body=models.ManualRetryRequest(fanout_id=""))),
    ("get_state_secrets", lambda c, s: get_state_secrets.sync(s, UNKNOWN, client=c)),
    ("list_runs", lambda c, s: list_runs.sync(s, 1, 1, client=c)),
    ("get_run_graph", lambda c, s: get_run_graph.sync(s, UNKNOWN, client=c)),
    ("get_state", lambda c, s: get_state.sync(s, "g", UNKNOWN, UNKNOWN, client=c)),
]


@pytest.mark.parametrize("call", [call for _name, call in NO_KEY], ids=[name for name, _call in NO_KEY])
def test_a_wrong_key_is_an_error_with_its_status(server: ServerThread, space: str, call: Call) -> None:
    with AuthenticatedClient(server.url, "wrong-key") as stranger, pytest.raises(errors.StatusError) as caught:
        call(stranger, space)
    assert caught.value.status_code == 401
    assert "wrong-key" not in str(caught.value)


BAD: list[tuple[str, int, Call]] = [
    ("unknown state", 404, NO_KEY[8][1]),
    ("malformed state", 422, lambda c, s: get_state_secrets.sync(s, "xyz", client=c)),
    ("malformed node", 422, lambda c, s: get_state.sync(s, "g", "r", "xyz", client=c)),
    ("unknown graph", 404, lambda c, s: get_graph.sync(s, "nowhere", client=c)),
    ("page 0", 422, lambda c, s: list_runs.sync(s, 0, 1, client=c)),
    (
        "missing store keys",
        400,
        lambda c, s: trigger_graph.sync(s, "g", client=c, body=models.TriggerGraphRequest()),
    ),
    (
        "no root",
        400,
        lambda c, s: upsert_graph.sync(s, "h", client=c, body=models.UpsertGraphRequest(secrets={}, nodes=[])),
    ),
    (
        "a negative delay",
        422,
        lambda c, s: trigger_graph.sync(s, "g", client=c, body=models.TriggerGraphRequest.model_construct(
            _fields_set={"start_delay"}, start_delay=-1)),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("status", "call"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD])
def test_what_is_refused_raises_the_documented_error(
    client: AuthenticatedClient, ready: str, status: int, call: Call
) -> None:
    with pytest.raises(errors.StatusError) as caught:
        call(client, ready)
    assert caught.value.status_code == status
    assert not isinstance(caught.value, errors.UndocumentedStatus)


def test_a_report_twice_and_a_retry_twice(client: AuthenticatedClient, ready: str) -> None:
    start(client, ready)
    (state,) = claim(client, ready)
    body = models.ExecutedRequest(outputs=[{"y": "1"}])
    report_executed.sync(ready, state.state_id, client=client, body=body)
    with pytest.raises(errors.StatusError) as late:
        report_executed.sync(ready, state.state_id, client=client, body=body)
    assert late.value.status_code == 400
    again = models.ManualRetryRequest(fanout_id="same")
    retry_state.sync(ready, state.state_id, client=client, body=again)
    with pytest.raises(errors.StatusError) as twice:
        retry_state.sync(ready, state.state_id, client=client, body=again)
    assert twice.value.status_code == 409
