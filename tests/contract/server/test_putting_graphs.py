from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from exospherehost.server import ServerThread
from tests._support.service import Api, Json, connect, good, registration

DEFAULT_POLICY = {
    "max_retries": 3,
    "strategy": "EXPONENTIAL",
    "backoff_factor": 2000,
    "exponent": 2,
    "max_delay": None,
}


def test_a_graph_is_valid_at_once_and_told_as_it_is_stored(api: Api) -> None:
    api.register(registration("Step", ["x"], ["y"], ["token"]))
    policy = {"max_retries": 1, "strategy": "FIXED_FULL_JITTER", "backoff_factor": 5, "exponent": 3, "max_delay": 9}
    store = {"required_keys": [" tenant "], "default_values": {" region": "eu"}}
    triggers = [{"type": "CRON", "value": {"expression": "0 9 * * *", "note": [1]}}]
    nodes = [
        api.node(" a ", {"x": "${{store.tenant}}"}, [" b "]),
        api.node("b", {"x": "${{a.outputs.y}}", "surplus": "kept"}),
    ]
    put = api.put(
        "/graph/%20g%20",
        {
            "secrets": {"token": "v"},
            "nodes": nodes,
            "retry_policy": policy,
            "store_config": store,
            "triggers": triggers,
        },
    )
    assert put.status_code == 201
    stored = put.json()
    assert (stored["validation_status"], stored["validation_errors"]) == ("VALID", [])
    assert stored["secrets"] == {"token": True}
    assert stored["retry_policy"] == policy
    assert stored["store_config"] == {"required_keys": ["tenant"], "default_values": {"region": "eu"}}
    assert stored["triggers"] == triggers
    assert [node["identifier"] for node in stored["nodes"]] == ["a", "b"]
    assert stored["nodes"][0]["next_nodes"] == ["b"]
    assert stored["nodes"][1] == {**nodes[1], "identifier": "b"}
    assert good(api.get("/graph/g")) == stored
    # The name was stored trimmed, and is looked up as it is asked for.
    assert api.get("/graph/%20g%20").status_code == 404
    listed = good(api.get("/graphs/"))
    template = listed["templates"][0]
    assert (listed["count"], template["name"], template["namespace"]) == (1, "g", api.namespace)
    assert {**template, "secrets": stored["secrets"]} == {
        **stored,
        "_id": template["_id"],
        "name": "g",
        "namespace": api.namespace,
    }
    assert set(template["secrets"]) == {"token"}
    assert set(template["secrets"]["token"]) == {"*"}


def test_what_a_put_leaves_out_becomes_the_default(api: Api) -> None:
    api.steps()
    first = api.graph("g", api.node("a"), retry_policy={"max_retries": 9}, store_config={"required_keys": ["k"]})
    second = api.graph("g", {key: value for key, value in api.node("a").items() if key not in {"next_nodes", "unites"}})
    assert second["retry_policy"] == DEFAULT_POLICY
    assert second["store_config"] == {"required_keys": [], "default_values": {}}
    assert (second["nodes"][0]["next_nodes"], second["nodes"][0]["unites"]) == ([], None)
    assert second["created_at"] == first["created_at"]
    assert second["updated_at"] >= first["updated_at"]


def test_an_unknown_graph_is_404_and_the_detail_names_both(api: Api) -> None:
    answer = api.get("/graph/nowhere")
    assert answer.status_code == 404
    assert "nowhere" in answer.json()["detail"]
    assert api.namespace in answer.json()["detail"]
    assert good(api.get("/graphs/")) == {"namespace": api.namespace, "count": 0, "templates": []}


def test_a_graph_that_does_not_verify_is_stored_as_invalid_with_every_reason(api: Api) -> None:
    api.register(registration("Step", ["x"], ["y"], ["token"]))
    stored = api.upsert("g", api.node("a", {}, ["b"]), api.node("b", {"x": "${{a.outputs.nope}}"}, node="Missing"))
    assert stored["validation_status"] == "INVALID"
    problems = "\n".join(stored["validation_errors"])
    for part in ("Missing", "token", "'x'", "nope"):
        assert part in problems
    assert good(api.get("/graph/g")) == stored
    assert api.post("/graph/g/trigger", {}).status_code == 400


def test_registering_later_does_not_verify_again_but_the_same_put_does(api: Api) -> None:
    assert api.upsert("g", api.node("a"))["validation_status"] == "INVALID"
    api.steps()
    assert good(api.get("/graph/g"))["validation_status"] == "INVALID"
    assert api.upsert("g", api.node("a"))["validation_status"] == "VALID"


def test_verification_uses_the_graph_being_put_and_not_the_one_before(api: Api) -> None:
    api.register(registration("Step", [], ["y"]), registration("Other", ["x"], ["z"]))
    api.graph("g", api.node("a"))
    api.graph("g", api.node("first", {}, ["second"]), api.node("second", {"x": "${{first.outputs.y}}"}, node="Other"))


def test_a_run_goes_on_with_the_version_that_it_was_triggered_with(api: Api) -> None:
    api.register(registration("Step", [], ["y"]), registration("Read", ["x"], ["y"]))
    api.graph("g", api.node("a", {}, ["b"]), api.node("b", {"x": "old ${{a.outputs.y}}"}, node="Read"))
    old = api.trigger("g")
    api.graph("g", api.node("a", {}, ["c"]), api.node("c", {"x": "new ${{a.outputs.y}}"}, node="Read"))
    new = api.trigger("g")
    assert api.upsert("g", api.node("a", node="Unknown"))["validation_status"] == "INVALID"
    assert api.post("/graph/g/trigger", {}).json() == {"detail": "Graph template is not valid"}
    for state in api.claim():
        api.executed(state, {"y": "1"})
    inputs = {state["identifier"]: state["inputs"] for state in api.claim("Read")}
    assert inputs == {"b": {"x": "old 1"}, "c": {"x": "new 1"}}
    assert api.identifiers(old) == ["a", "b"]
    assert api.identifiers(new) == ["a", "c"]


def test_a_refused_put_changes_nothing(api: Api) -> None:
    api.steps()
    stored = api.graph("g", api.node("a"), triggers=[{"type": "CRON", "value": {"expression": "0 9 * * *"}}])
    for body, status in (
        ({"secrets": {}, "nodes": []}, 400),
        ({"secrets": {}, "nodes": [api.node(" ")]}, 422),
        ({"secrets": {"k": ""}, "nodes": [api.node("a")]}, 400),
    ):
        assert api.put("/graph/g", body).status_code == status
    assert good(api.get("/graph/g")) == stored
    api.trigger("g")


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"secrets": None}, ["body", "secrets"]),
        ({"nodes": None}, ["body", "nodes"]),
        ({"retry_policy": None}, ["body", "retry_policy"]),
        ({"store_config": None}, ["body", "store_config"]),
        ({"triggers": None}, ["body", "triggers"]),
        ({"retry_policy": {"max_retries": -1}}, ["body", "retry_policy", "max_retries"]),
        ({"retry_policy": {"backoff_factor": 0}}, ["body", "retry_policy", "backoff_factor"]),
        ({"retry_policy": {"exponent": 0}}, ["body", "retry_policy", "exponent"]),
        ({"retry_policy": {"max_delay": 0}}, ["body", "retry_policy", "max_delay"]),
        ({"retry_policy": {"strategy": "QUICK"}}, ["body", "retry_policy", "strategy"]),
        ({"retry_policy": {"max_retries": None}}, ["body", "retry_policy", "max_retries"]),
        ({"store_config": {"required_keys": [" "]}}, ["body", "store_config", "required_keys"]),
        ({"store_config": {"required_keys": ["a.b"]}}, ["body", "store_config", "required_keys"]),
        ({"store_config": {"required_keys": ["a", " a"]}}, ["body", "store_config", "required_keys"]),
        ({"store_config": {"default_values": {"a.b": "1"}}}, ["body", "store_config", "default_values"]),
        ({"store_config": {"default_values": {"a": 1}}}, ["body", "store_config", "default_values", "a"]),
        ({"triggers": [{"type": "CRON", "value": {}}]}, ["body", "triggers", 0, "value", "expression"]),
        ({"triggers": [{"type": "AT", "value": {"expression": "* * * * *"}}]}, ["body", "triggers", 0, "type"]),
        (
            {"triggers": [{"type": "CRON", "value": {"expression": "61 * * * *"}}]},
            ["body", "triggers", 0, "value", "expression"],
        ),
    ],
)
def test_a_bad_section_is_422_where_it_is(api: Api, change: dict[str, object], loc: list[object]) -> None:
    answer = api.put("/graph/g", {"secrets": {}, "nodes": [api.node("a")], **change})
    assert answer.status_code == 422
    assert any(issue["loc"][: len(loc)] == loc for issue in answer.json()["detail"]), answer.text
    assert api.get("/graph/g").status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"identifier": " "}, "identifier"),
        ({"identifier": " store "}, "identifier"),
        ({"node_name": ""}, "node_name"),
        ({"next_nodes": ["b", " b"]}, "next_nodes"),
        ({"next_nodes": [" "]}, "next_nodes"),
        ({"unites": {"identifier": " "}}, "unites"),
        ({"unites": {"identifier": "b", "strategy": "SOME"}}, "unites"),
        ({"inputs": None}, "inputs"),
        ({"namespace": 1}, "namespace"),
    ],
)
def test_a_bad_node_is_422_where_it_is(api: Api, change: dict[str, object], field: str) -> None:
    answer = api.put("/graph/g", {"secrets": {}, "nodes": [{**api.node("a"), **change}]})
    assert answer.status_code == 422
    assert ["body", "nodes", 0, field] in [issue["loc"][:4] for issue in answer.json()["detail"]], answer.text


def test_problems_of_schema_and_fields_come_together(api: Api) -> None:
    nodes = [{**api.node("store"), "inputs": 1}, api.node(" ")]
    answer = api.put("/graph/g", {"nodes": nodes})
    assert sorted(str(issue["loc"]) for issue in answer.json()["detail"]) == [
        "['body', 'nodes', 0, 'identifier']",
        "['body', 'nodes', 0, 'inputs']",
        "['body', 'nodes', 1, 'identifier']",
        "['body', 'secrets']",
    ]


def test_a_422_repeats_no_secret(api: Api) -> None:
    secret = "s3cr3t-value"
    bodies: list[Json] = [
        {"secrets": {"token": secret}},
        {"secrets": {"token": [secret]}, "nodes": []},
        {"secrets": secret, "nodes": []},
        {"secrets": [secret], "nodes": []},
        {"secrets": {"token": secret}, "nodes": [{}], "retry_policy": None, "triggers": "x"},
    ]
    for body in bodies:
        answer = api.put("/graph/g", body)
        assert answer.status_code == 422
        assert secret not in answer.text
    plain = api.call("PUT", "/graph/g", content=secret, headers={"content-type": "text/plain"})
    assert secret not in plain.text


@pytest.mark.parametrize(
    "nodes",
    [
        [],
        [("a", ["a"], None)],
        [("a", ["b"], None), ("b", ["a"], None)],
        [("a", [], None), ("b", [], None)],
        [("a", ["nowhere"], None)],
        [("a", [], None), ("a", [], None)],
        [("a", ["b"], None), ("b", [], "a")],
        [("a", ["b"], None), ("b", ["c"], None), ("c", [], "nowhere")],
        [("a", ["b"], None), ("b", ["c"], None), ("c", [], "c")],
    ],
)
def test_a_template_without_sense_is_400(api: Api, nodes: list[tuple[str, list[str], str | None]]) -> None:
    api.steps()
    graph = [api.node(identifier, {}, following, unites=unites) for identifier, following, unites in nodes]
    answer = api.put("/graph/g", {"secrets": {}, "nodes": graph})
    assert answer.status_code == 400
    assert isinstance(answer.json()["detail"], str)
    assert api.get("/graph/g").status_code == 404


@pytest.mark.parametrize("value", [1, None, ["x"], "${{", "${{}}", "${{ b.outputs.y }}", "${{store.nope}}"])
def test_an_input_that_can_never_be_resolved_is_400(api: Api, value: object) -> None:
    api.register(registration("Step", ["x"], ["y"]))
    assert api.put("/graph/g", {"secrets": {}, "nodes": [api.node("a", {"x": value})]}).status_code == 400  # type: ignore[dict-item]


def test_what_fares_otherwise_on_the_hosted_service_is_warned_of(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    other = api.in_namespace(f"{api.namespace}-other")
    other.steps()
    with caplog.at_level(logging.WARNING, logger="exospherehost.server"):
        api.graph("g", api.node("a", namespace=other.namespace))
    assert any("graph=g difference=" in message for message in caplog.messages)


def test_a_strict_server_refuses_it(start_server: Callable[..., ServerThread]) -> None:
    with connect(start_server(strict=True)) as http:
        api, other = Api(http), Api(http)
        other.steps()
        api.steps()
        answer = api.put("/graph/g", {"secrets": {}, "nodes": [api.node("a", namespace=other.namespace)]})
        assert answer.status_code == 400
        assert other.namespace in answer.json()["detail"]
        api.graph("g", api.node("a"))
