"""The graph models take and refuse what those of the published SDK do."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from exospherehost import (
    CronTrigger,
    GraphNodeModel,
    RetryPolicyModel,
    RetryStrategyEnum,
    StoreConfigModel,
    TriggerState,
    UnitesModel,
    UnitesStrategyEnum,
)
from exospherehost_client import models

Case = tuple[type[BaseModel], dict[str, Any]]

NODE = {"node_name": "A", "namespace": "ns", "identifier": "a"}
DEFAULTS: dict[type[BaseModel], dict[str, Any]] = {
    GraphNodeModel: {**NODE, "inputs": {}, "next_nodes": None, "unites": None},
    RetryPolicyModel: {
        "max_retries": 3,
        "strategy": "EXPONENTIAL",
        "backoff_factor": 2000,
        "exponent": 2,
        "max_delay": None,
    },
    StoreConfigModel: {"required_keys": [], "default_values": {}},
    UnitesModel: {"strategy": "ALL_SUCCESS"},
    CronTrigger: {},
}


def node(**fields: Any) -> Case:
    return GraphNodeModel, {**NODE, **fields}


# Both tables record the behaviour of exospherehost 0.0.3. Accepted: the differences from the defaults. Unknown fields
# have a table of their own: 0.0.3 dropped them, and these models refuse them.
ACCEPTED: list[tuple[Case, dict[str, Any]]] = [
    (node(), {}),
    (node(node_name=" A "), {}),
    (node(namespace=""), {"namespace": ""}),
    (node(namespace=" "), {"namespace": " "}),
    (node(namespace=" x "), {"namespace": " x "}),
    (node(namespace="a/b"), {"namespace": "a/b"}),
    (node(identifier=" a "), {}),
    (node(identifier="Store"), {"identifier": "Store"}),
    (node(identifier="STORE"), {"identifier": "STORE"}),
    (node(identifier="a.b"), {"identifier": "a.b"}),
    (node(inputs={}), {}),
    (node(inputs={"k": "v"}), {"inputs": {"k": "v"}}),
    (node(inputs={"k": 1}), {"inputs": {"k": 1}}),
    (node(inputs={"k": None}), {"inputs": {"k": None}}),
    (node(inputs={"k": ["x"]}), {"inputs": {"k": ["x"]}}),
    (node(inputs={" k ": " v "}), {"inputs": {" k ": " v "}}),
    (node(inputs={"": ""}), {"inputs": {"": ""}}),
    (node(next_nodes=None), {"next_nodes": []}),
    (node(next_nodes=[]), {"next_nodes": []}),
    (node(next_nodes=["b"]), {"next_nodes": ["b"]}),
    (node(next_nodes=[" b "]), {"next_nodes": ["b"]}),
    (node(next_nodes=["store"]), {"next_nodes": ["store"]}),
    (node(next_nodes=["a"]), {"next_nodes": ["a"]}),
    (node(next_nodes=("b",)), {"next_nodes": ["b"]}),
    (node(next_nodes={"b"}), {"next_nodes": ["b"]}),
    (node(unites=None), {}),
    (node(unites={"identifier": "r"}), {"unites": {"identifier": "r", "strategy": "ALL_SUCCESS"}}),
    (node(unites={"identifier": " r "}), {"unites": {"identifier": "r", "strategy": "ALL_SUCCESS"}}),
    (node(unites={"identifier": "r", "strategy": "ALL_DONE"}), {"unites": {"identifier": "r", "strategy": "ALL_DONE"}}),
    (node(unites={"identifier": "store"}), {"unites": {"identifier": "store", "strategy": "ALL_SUCCESS"}}),
    (node(unites={"identifier": "a"}), {"unites": {"identifier": "a", "strategy": "ALL_SUCCESS"}}),
    ((UnitesModel, {"identifier": "r"}), {"identifier": "r"}),
    ((UnitesModel, {"identifier": " r "}), {"identifier": " r "}),
    ((UnitesModel, {"identifier": ""}), {"identifier": ""}),
    ((UnitesModel, {"identifier": " "}), {"identifier": " "}),
    ((UnitesModel, {"identifier": "r", "strategy": "ALL_SUCCESS"}), {"identifier": "r"}),
    ((UnitesModel, {"identifier": "r", "strategy": "ALL_DONE"}), {"identifier": "r", "strategy": "ALL_DONE"}),
    ((RetryPolicyModel, {}), {}),
    ((RetryPolicyModel, {"max_retries": 0}), {"max_retries": 0}),
    ((RetryPolicyModel, {"max_retries": "3"}), {}),
    ((RetryPolicyModel, {"max_retries": 3.0}), {}),
    ((RetryPolicyModel, {"max_retries": True}), {"max_retries": 1}),
    ((RetryPolicyModel, {"strategy": "LINEAR"}), {"strategy": "LINEAR"}),
    ((RetryPolicyModel, {"strategy": "FIXED_EQUAL_JITTER"}), {"strategy": "FIXED_EQUAL_JITTER"}),
    ((RetryPolicyModel, {"backoff_factor": 1}), {"backoff_factor": 1}),
    ((RetryPolicyModel, {"exponent": 1}), {"exponent": 1}),
    ((RetryPolicyModel, {"max_delay": None}), {}),
    ((RetryPolicyModel, {"max_delay": 1}), {"max_delay": 1}),
    ((RetryPolicyModel, {"max_delay": "5"}), {"max_delay": 5}),
    ((RetryPolicyModel, {"max_retries": 1180591620717411303424}), {"max_retries": 1180591620717411303424}),
    ((StoreConfigModel, {}), {}),
    ((StoreConfigModel, {"required_keys": []}), {}),
    ((StoreConfigModel, {"required_keys": ["a"]}), {"required_keys": ["a"]}),
    ((StoreConfigModel, {"required_keys": [" a "]}), {"required_keys": ["a"]}),
    ((StoreConfigModel, {"required_keys": ("a",)}), {"required_keys": ["a"]}),
    ((StoreConfigModel, {"required_keys": {"a"}}), {"required_keys": ["a"]}),
    ((StoreConfigModel, {"default_values": {"a": "b"}}), {"default_values": {"a": "b"}}),
    ((StoreConfigModel, {"default_values": {" a ": "b"}}), {"default_values": {"a": "b"}}),
    ((StoreConfigModel, {"default_values": {"a": "  b  "}}), {"default_values": {"a": "  b  "}}),
    ((StoreConfigModel, {"default_values": {"a": ""}}), {"default_values": {"a": ""}}),
    (
        (StoreConfigModel, {"required_keys": ["a"], "default_values": {"a": "b"}}),
        {"required_keys": ["a"], "default_values": {"a": "b"}},
    ),
    ((StoreConfigModel, {"default_values": {"a": b"x"}}), {"default_values": {"a": "x"}}),
    ((CronTrigger, {"expression": "* * * * *"}), {"expression": "* * * * *"}),
    ((CronTrigger, {"expression": ""}), {"expression": ""}),
    ((CronTrigger, {"expression": " "}), {"expression": " "}),
    ((CronTrigger, {"expression": "nope"}), {"expression": "nope"}),
    ((CronTrigger, {"expression": " 0 9 * * * "}), {"expression": " 0 9 * * * "}),
    ((CronTrigger, {"expression": "99 * * * *"}), {"expression": "99 * * * *"}),
    ((CronTrigger, {"expression": "@daily"}), {"expression": "@daily"}),
    ((CronTrigger, {"expression": "*/5 * * * * *"}), {"expression": "*/5 * * * * *"}),
]
REFUSED: list[Case] = [
    (GraphNodeModel, {"namespace": "ns", "identifier": "a"}),
    (GraphNodeModel, {"node_name": "A", "identifier": "a"}),
    (GraphNodeModel, {"node_name": "A", "namespace": "ns"}),
    node(node_name=""),
    node(node_name="  "),
    node(node_name=1),
    node(node_name=None),
    node(namespace=1),
    node(identifier=""),
    node(identifier="\t"),
    node(identifier="store"),
    node(identifier=" store "),
    node(identifier=1),
    node(inputs=None),
    node(inputs=[]),
    node(inputs={1: "x"}),
    node(next_nodes=["b", " b"]),
    node(next_nodes=["b", "b"]),
    node(next_nodes=[""]),
    node(next_nodes=[" ", "b"]),
    node(next_nodes="b"),
    node(next_nodes=[1]),
    node(next_nodes=[None]),
    node(next_nodes=["b", "c", " b", "", "c"]),
    node(unites={"identifier": ""}),
    node(unites={"identifier": " "}),
    node(unites={"identifier": "r", "strategy": "NOPE"}),
    node(unites={"identifier": "r", "strategy": "all_done"}),
    node(unites={"identifier": "r", "strategy": None}),
    node(unites={}),
    node(unites="r"),
    node(node_name="", identifier="store"),
    (UnitesModel, {}),
    (UnitesModel, {"identifier": "r", "strategy": "X"}),
    (UnitesModel, {"identifier": "r", "strategy": 1}),
    (UnitesModel, {"identifier": 1}),
    (RetryPolicyModel, {"max_retries": -1}),
    (RetryPolicyModel, {"max_retries": 3.5}),
    (RetryPolicyModel, {"max_retries": None}),
    (RetryPolicyModel, {"strategy": "nope"}),
    (RetryPolicyModel, {"strategy": None}),
    (RetryPolicyModel, {"backoff_factor": 0}),
    (RetryPolicyModel, {"backoff_factor": -5}),
    (RetryPolicyModel, {"backoff_factor": None}),
    (RetryPolicyModel, {"exponent": 0}),
    (RetryPolicyModel, {"exponent": -1}),
    (RetryPolicyModel, {"exponent": None}),
    (RetryPolicyModel, {"max_delay": 0}),
    (RetryPolicyModel, {"max_delay": -1}),
    (StoreConfigModel, {"required_keys": ["a", "a "]}),
    (StoreConfigModel, {"required_keys": ["a", "a"]}),
    (StoreConfigModel, {"required_keys": [""]}),
    (StoreConfigModel, {"required_keys": [" "]}),
    (StoreConfigModel, {"required_keys": ["a.b"]}),
    (StoreConfigModel, {"required_keys": [1]}),
    (StoreConfigModel, {"required_keys": None}),
    (StoreConfigModel, {"required_keys": "a"}),
    (StoreConfigModel, {"required_keys": ["", "a.b", "c", "c"]}),
    (StoreConfigModel, {"required_keys": [None]}),
    (StoreConfigModel, {"default_values": {"a": "b", "a ": "c"}}),
    (StoreConfigModel, {"default_values": {"": "b"}}),
    (StoreConfigModel, {"default_values": {" ": "b"}}),
    (StoreConfigModel, {"default_values": {"a.b": "c"}}),
    (StoreConfigModel, {"default_values": {"a": 1}}),
    (StoreConfigModel, {"default_values": {"a": None}}),
    (StoreConfigModel, {"default_values": {"a": True}}),
    (StoreConfigModel, {"default_values": {"a": 1.5}}),
    (StoreConfigModel, {"default_values": {"a": [1]}}),
    (StoreConfigModel, {"default_values": {"a": {"x": 1}}}),
    (StoreConfigModel, {"default_values": {1: "x"}}),
    (StoreConfigModel, {"default_values": None}),
    (StoreConfigModel, {"default_values": []}),
    (StoreConfigModel, {"default_values": [("a", "b")]}),
    (StoreConfigModel, {"default_values": {"": "x", "a.b": "y", "c": "1", "c ": "2"}}),
    (CronTrigger, {}),
    (CronTrigger, {"expression": 1}),
    (CronTrigger, {"expression": None}),
]


@pytest.mark.parametrize(("case", "differs"), ACCEPTED, ids=str)
def test_accepted_as_by_the_published_sdk(case: Case, differs: dict[str, Any]) -> None:
    model, given = case

    made = model(**given)

    assert made.model_dump(mode="json") == {**DEFAULTS[model], **differs}
    assert model.model_validate(given) == made


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_refused_as_by_the_published_sdk(case: Case) -> None:
    model, given = case

    with pytest.raises(ValidationError) as caught:
        model(**given)

    assert isinstance(caught.value, ValueError)


def test_all_problems_of_a_list_come_together() -> None:
    with pytest.raises(ValidationError) as caught:
        StoreConfigModel(required_keys=["", "a.b", "c", "c "])

    (issue,) = caught.value.errors()
    assert len(issue["msg"].splitlines()) == 3
    for problem in ("blank", "'a.b' has a dot", "'c' is given twice"):
        assert problem in issue["msg"]


def test_reserved_identifier_says_what_to_do() -> None:
    with pytest.raises(ValidationError, match=r"'store' is reserved.*choose another"):
        GraphNodeModel(**NODE | {"identifier": " store "})


def test_models_stand_in_one_another() -> None:
    made = GraphNodeModel(**NODE, unites=UnitesModel(identifier=" r ", strategy=UnitesStrategyEnum.ALL_DONE))

    assert made.unites == UnitesModel(identifier="r", strategy=UnitesStrategyEnum.ALL_DONE)
    assert isinstance(made.unites, UnitesModel)


def test_names_of_the_strategies() -> None:
    assert [each.value for each in UnitesStrategyEnum] == ["ALL_SUCCESS", "ALL_DONE"]
    kinds = ("EXPONENTIAL", "LINEAR", "FIXED")
    assert [each.value for each in RetryStrategyEnum] == [
        f"{kind}{jitter}" for kind in kinds for jitter in ("", "_FULL_JITTER", "_EQUAL_JITTER")
    ]
    assert UnitesStrategyEnum.ALL_DONE == "ALL_DONE"
    assert RetryStrategyEnum("LINEAR") is RetryStrategyEnum.LINEAR


def test_cron_trigger_is_flat_and_has_the_form_of_the_wire() -> None:
    wire = CronTrigger(expression="0 9 * * 1-5").to_trigger()

    assert wire.model_dump(mode="json") == {"type": "CRON", "value": {"expression": "0 9 * * 1-5"}}


def test_trigger_state_takes_text_only() -> None:
    assert TriggerState(identifier="a").inputs == {}
    assert TriggerState(identifier="a", inputs={"k": "v"}).model_dump() == {"identifier": "a", "inputs": {"k": "v"}}
    for wrong in ({"k": 1}, {"k": None}, [], None, {1: "v"}):
        with pytest.raises(ValidationError):
            TriggerState(identifier="a", inputs=wrong)  # type: ignore[arg-type]


def test_defaults_are_not_shared() -> None:
    first = GraphNodeModel(**NODE)
    first.inputs["k"] = "v"

    assert GraphNodeModel(**NODE).inputs == {}


@pytest.mark.parametrize(
    ("ours", "generated"),
    [
        (GraphNodeModel, models.GraphNode),
        (UnitesModel, models.Unites),
        (RetryPolicyModel, models.RetryPolicy),
        (StoreConfigModel, models.StoreConfig),
        (TriggerState, models.TriggerEntry),
    ],
)
def test_models_are_subclasses_of_the_generated_ones(ours: type[BaseModel], generated: type[BaseModel]) -> None:
    assert issubclass(ours, generated)
    assert list(ours.model_fields) == list(generated.model_fields)


UNKNOWN: list[tuple[Case, str]] = [
    (node(next_node=["b"]), "GraphNodeModel has no field 'next_node': did you mean 'next_nodes'?"),
    (node(extra="x"), "GraphNodeModel has no field 'extra': it has node_name, namespace, identifier"),
    ((RetryPolicyModel, {"max_retry": 5}), "RetryPolicyModel has no field 'max_retry': did you mean 'max_retries'?"),
    (
        (StoreConfigModel, {"required": ["k"]}),
        "StoreConfigModel has no field 'required': did you mean 'required_keys'?",
    ),
    ((TriggerState, {"identifier": "a", "input": {}}), "TriggerState has no field 'input': did you mean 'inputs'?"),
    ((UnitesModel, {"identifier": "a", "stratgy": "ALL_DONE"}), "UnitesModel has no field 'stratgy': .* 'strategy'?"),
    ((CronTrigger, {"expression": "@daily", "zone": "UTC"}), "CronTrigger has no field 'zone': it has expression"),
]


@pytest.mark.parametrize(("case", "text"), UNKNOWN, ids=lambda case: case[0].__name__ if len(case) == 2 else "")
def test_unknown_field_is_refused_and_the_nearest_is_named(case: Case, text: str) -> None:
    model, fields = case

    with pytest.raises(ValidationError, match=text):
        model(**fields)
    with pytest.raises(ValidationError, match=text):
        model.model_validate(fields)


def test_all_unknown_fields_come_in_one_error() -> None:
    with pytest.raises(ValidationError) as caught:
        GraphNodeModel(**NODE, next_node=["b"], input={})  # type: ignore[call-arg]

    for name in ("next_node", "input"):
        assert f"has no field {name!r}" in str(caught.value)


@pytest.mark.parametrize(
    "model", [GraphNodeModel, RetryPolicyModel, StoreConfigModel, TriggerState, UnitesModel, CronTrigger]
)
def test_value_of_an_unknown_field_is_not_shown(model: type[BaseModel]) -> None:
    with pytest.raises(ValidationError, match="has no field 'token'") as caught:
        model(token="secret-value", identifier="a", node_name="A", namespace="ns", expression="@daily")

    assert "secret-value" not in str(caught.value)


def test_unknown_field_of_a_dict_within_is_refused_too() -> None:
    model, fields = node(unites={"identifier": "b", "stratgy": "ALL_DONE"})

    with pytest.raises(ValidationError, match=r"UnitesModel has no field 'stratgy': .* 'strategy'"):
        model(**fields)
