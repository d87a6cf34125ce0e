"""Field-level rules of a PUT body (422)."""

from __future__ import annotations

from typing import Any

import pytest

from exospherehost._rules.graph_check import check_fields


def node(**changes: Any) -> dict[str, Any]:
    return {"node_name": "N", "namespace": "ns", "identifier": "a", "inputs": {}, **changes}


def body(*nodes: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return {"secrets": {}, "nodes": list(nodes), **parts}


def cron(expression: object) -> dict[str, Any]:
    return {"type": "CRON", "value": {"expression": expression}}


@pytest.mark.parametrize(
    "request_body",
    [
        body(node()),
        body(node(identifier="Store", next_nodes=["b", "B"], unites={"identifier": "a"})),
        body(node(next_nodes=None, unites=None)),
        body(node(namespace="")),
        body(store_config={"required_keys": ["a", "b"], "default_values": {"a": "x"}}),
        body(triggers=[cron("@hourly"), cron("0 0 31 2 *")], secrets={"": "x"}),
    ],
)
def test_accepts(request_body: dict[str, Any]) -> None:
    assert check_fields(request_body) == []


@pytest.mark.parametrize(
    ("request_body", "loc", "words"),
    [
        (body(node(node_name=" ")), ("nodes", 0, "node_name"), "blank"),
        (body(node(), node(identifier="\t")), ("nodes", 1, "identifier"), "blank"),
        (body(node(identifier=" store ")), ("nodes", 0, "identifier"), "reserved"),
        (body(node(next_nodes=["b", ""])), ("nodes", 0, "next_nodes", 1), "blank"),
        (body(node(next_nodes=["b", " b"])), ("nodes", 0, "next_nodes", 1), "more than once"),
        (
            body(node(unites={"identifier": " "})),
            ("nodes", 0, "unites", "identifier"),
            "blank",
        ),
        (
            body(store_config={"required_keys": [" "]}),
            ("store_config", "required_keys"),
            "blank",
        ),
        (
            body(store_config={"default_values": {"a.b": ""}}),
            ("store_config", "default_values"),
            "dot",
        ),
        (
            body(store_config={"default_values": {"a": "", " a ": ""}}),
            ("store_config", "default_values"),
            "more than once",
        ),
        (body(triggers=[cron("H * * * *")]), ("triggers", 0, "value", "expression"), "cron"),
        (body(triggers=[cron("")]), ("triggers", 0, "value", "expression"), "empty"),
    ],
)
def test_refuses(request_body: dict[str, Any], loc: tuple[str | int, ...], words: str) -> None:
    (issue,) = check_fields(request_body)
    assert issue.loc == ("body", *loc)
    assert words in issue.msg
    assert issue.type == "value_error"


def test_each_repeat_of_a_next_node_has_its_line() -> None:
    issues = check_fields(body(node(next_nodes=["b", "b ", " b"])))
    assert [issue.loc[-1] for issue in issues] == [1, 2]


def test_all_problems_of_the_store_keys_are_in_one_message() -> None:
    (issue,) = check_fields(body(store_config={"required_keys": ["", "a.b", "c", "c "]}))
    assert len(issue.msg.splitlines()) == 3
    assert issue.input == ["", "a.b", "c", "c "]


def test_problems_of_all_parts_come_together() -> None:
    issues = check_fields(
        body(
            node(node_name="", identifier="store"),
            store_config={"required_keys": ["x.y"]},
            triggers=[cron("@reboot")],
        )
    )
    assert len(issues) == 4


@pytest.mark.parametrize(
    "request_body",
    [
        None,
        [],
        "text",
        {},
        {"nodes": None, "store_config": None, "triggers": None},
        {"nodes": {}, "store_config": [], "triggers": "x"},
        body(store_config={"required_keys": 5, "default_values": "x"}),
        body(store_config={"required_keys": [5, None]}),
        body(triggers=[None, {"value": None}, cron(5), {}]),
        {"nodes": [None, 5, {}, node(node_name=5, identifier=None, next_nodes="b", unites=5)]},
        body(node(next_nodes=[5, None], unites={"identifier": 5})),
    ],
)
def test_what_is_of_the_wrong_type_is_left_to_the_schema(request_body: object) -> None:
    assert check_fields(request_body) == []


def test_the_values_of_secrets_and_the_store_are_never_repeated() -> None:
    request_body = body(node(identifier=""), store_config={"default_values": {"": "hidden-value"}})
    request_body["secrets"] = {"s": "hidden-value"}
    issues = check_fields(request_body)
    assert len(issues) == 2
    assert "hidden-value" not in str([issue.to_json() for issue in issues])
