"""Graph versions: what a request becomes, and how a version is stored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from exospherehost._rules.model import (
    FieldIssue,
    GraphSpec,
    NodeSpec,
    Refusal,
    Refused,
    RetryPolicySpec,
    RetryStrategy,
    StoreSpec,
    UnitesSpec,
    UniteStrategy,
)

FULL: dict[str, Any] = {
    "secrets": {" KEY": "hidden-value"},
    "nodes": [
        {
            "node_name": " A ",
            "namespace": " ns ",
            "identifier": "\ta",
            "inputs": {" x ": " ${{store.k}} "},
            "next_nodes": [" b "],
        },
        {
            "node_name": "B",
            "namespace": "ns",
            "identifier": "b",
            "inputs": {},
            "next_nodes": None,
            "unites": {"identifier": " a ", "strategy": "ALL_DONE"},
        },
    ],
    "retry_policy": {"strategy": "LINEAR_FULL_JITTER", "max_retries": 0, "max_delay": 5},
    "store_config": {"required_keys": [" k "], "default_values": {" d": " v "}},
    "triggers": [
        {"type": "CRON", "value": {"expression": " @daily", "note": 1}},
        {"type": "CRON", "value": {"expression": " @daily"}},
    ],
}


def test_a_request_is_trimmed_where_the_service_trims() -> None:
    graph = GraphSpec.from_request(" g ", " ns ", FULL)
    first, second = graph.nodes
    assert (graph.name, graph.namespace, graph.secrets) == ("g", " ns ", (" KEY",))
    assert (first.node_name, first.namespace, first.identifier) == ("A", " ns ", "a")
    assert (first.next_nodes, first.unites) == (("b",), None)
    assert first.inputs == {" x ": " ${{store.k}} "}
    assert (second.next_nodes, second.unites) == ((), UnitesSpec("a", UniteStrategy.ALL_DONE))
    assert graph.store == StoreSpec(("k",), {"d": " v "})
    assert graph.store.keys == {"k", "d"}
    assert graph.retry_policy == RetryPolicySpec(0, RetryStrategy.LINEAR_FULL_JITTER, max_delay=5)
    assert graph.crons == (" @daily",)
    assert [trigger.extra for trigger in graph.triggers] == [{"note": 1}, {}]


def test_what_is_left_out_takes_its_default() -> None:
    graph = GraphSpec.from_request("g", "ns", {"secrets": {}, "nodes": []})
    assert graph.retry_policy == RetryPolicySpec(3, RetryStrategy.EXPONENTIAL, 2000, 2, None)
    assert graph.store == StoreSpec((), {})
    assert graph.triggers == ()
    assert UnitesSpec.from_json({"identifier": "a"}).strategy is UniteStrategy.ALL_SUCCESS


def test_a_stored_version_reads_back_and_holds_no_secret_value() -> None:
    graph = GraphSpec.from_request("g", "ns", FULL)
    document = json.dumps(graph.to_json())
    assert GraphSpec.from_json(json.loads(document)) == graph
    assert "hidden-value" not in document


def test_a_version_is_stored_in_the_form_of_the_wire() -> None:
    document = GraphSpec.from_request("g", "ns", FULL).to_json()
    assert document["nodes"][0] == {
        "node_name": "A",
        "namespace": " ns ",
        "identifier": "a",
        "inputs": {" x ": " ${{store.k}} "},
        "next_nodes": ["b"],
        "unites": None,
    }
    assert document["triggers"][0] == FULL["triggers"][0]
    assert document["retry_policy"] == {
        "max_retries": 0,
        "strategy": "LINEAR_FULL_JITTER",
        "backoff_factor": 2000,
        "exponent": 2,
        "max_delay": 5,
    }


def test_a_node_reads_back() -> None:
    node = NodeSpec("A", "ns", {"type": "object"}, {}, ("s", "s"))
    assert NodeSpec.from_json(json.loads(json.dumps(node.to_json()))) == node


def test_nodes_are_found_by_identifier() -> None:
    graph = GraphSpec.from_request("g", "ns", FULL)
    assert graph.node("b") is graph.nodes[1]
    assert graph.node("c") is None


def test_a_refusal_reads_as_its_detail() -> None:
    with pytest.raises(Refused, match=r"^Missing$") as caught:
        raise Refused(400, "Missing")
    assert caught.value.refusal == Refusal(400, "Missing")
    assert (caught.value.status_code, caught.value.detail) == (400, "Missing")


def test_an_issue_has_the_form_of_the_wire() -> None:
    issue = FieldIssue("value_error", ("body", "nodes", 0), "wrong", "x")
    assert issue.to_json() == {
        "type": "value_error",
        "loc": ["body", "nodes", 0],
        "msg": "wrong",
        "input": "x",
    }
