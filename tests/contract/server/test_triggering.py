from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from exospherehost.server import ServerThread
from tests._support.service import Api, connect, good, registration


def test_a_trigger_makes_a_run_with_its_root_state(api: Api) -> None:
    api.register(registration("Step", ["x"], ["y"]))
    api.graph("g", api.node("a", {"x": "template", "surplus": "delivered"}))
    answer = good(api.post("/graph/g/trigger", {}))
    assert answer["status"] == "CREATED"
    assert str(uuid.UUID(answer["run_id"], version=4)) == answer["run_id"]
    assert set(answer) == {"status", "run_id"}
    state = api.claim_one()
    assert (state["identifier"], state["inputs"]) == ("a", {"x": "template", "surplus": "delivered"})


def test_inputs_lie_over_the_template_and_may_refer_to_the_store(api: Api) -> None:
    api.register(registration("Step", ["x", "z"], ["y"]))
    api.graph(
        "g",
        api.node("a", {"x": "t", "z": "${{store.region}}-${{ store . tenant }}"}),
        store_config={"required_keys": ["tenant"], "default_values": {"region": "eu"}},
    )
    api.trigger(
        "g",
        inputs={"x": "${{store.undeclared}}", "unknown": "${{broken", "other": "dropped"},
        store={"tenant": "", "undeclared": "${{store.tenant}}", "a.b": "", "": "", " blank ": ""},
    )
    assert api.claim_one()["inputs"] == {"x": "${{store.tenant}}", "z": "eu-"}
    api.trigger("g", store={"tenant": "t1", "region": ""})
    assert api.claim_one()["inputs"] == {"x": "t", "z": "-t1"}


@pytest.mark.parametrize(
    ("body", "start"),
    [
        ({"store": {"tenant": "t"}, "inputs": {"x": "${{store.nope}}"}}, "Invalid input: "),
        ({"store": {"tenant": "t"}, "inputs": {"x": "${{a.outputs.y}}"}}, "Invalid input: "),
        ({"store": {"tenant": "t"}, "inputs": {"x": "${{"}}, "Invalid input: "),
        ({"store": {}}, "Missing store keys: "),
        ({"store": {"region": "eu"}}, "Missing store keys: "),
        # Inputs are looked at before store keys.
        ({"inputs": {"x": "${{store.nope}}"}}, "Invalid input: "),
    ],
)
def test_what_cannot_start_is_400_and_leaves_no_run(api: Api, body: object, start: str) -> None:
    api.register(registration("Step", ["x"], ["y"]))
    store = {"required_keys": ["tenant", "region"], "default_values": {"region": "eu"}}
    api.graph("g", api.node("a", {"x": "t"}), store_config={**store, "required_keys": ["tenant"]})
    answer = api.post("/graph/g/trigger", body)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(start)
    assert good(api.get("/runs/1/10"))["total"] == 0


def test_a_default_does_not_satisfy_a_required_key(api: Api) -> None:
    api.steps()
    api.graph("g", api.node("a"), store_config={"required_keys": ["k"], "default_values": {"k": "v"}})
    assert api.post("/graph/g/trigger", {}).status_code == 400
    api.trigger("g", store={"k": "v"})


def test_an_unknown_graph_is_404_and_one_that_is_not_valid_400(api: Api) -> None:
    assert api.post("/graph/g/trigger", {}).status_code == 404
    api.upsert("g", api.node("a"))
    answer = api.post("/graph/g/trigger", {})
    assert (answer.status_code, answer.json()) == (400, {"detail": "Graph template is not valid"})
    assert api.in_namespace("elsewhere").post("/graph/g/trigger", {}).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"start_delay": -1}, "start_delay"),
        ({"start_delay": "soon"}, "start_delay"),
        ({"start_delay": 2**63}, "start_delay"),
        ({"store": None}, "store"),
        ({"store": {"a": 1}}, "store"),
        ({"inputs": None}, "inputs"),
        ({"inputs": {"a": None}}, "inputs"),
        ({"states": None}, "states"),
        ({"states": []}, "states"),
        ({"states": [{"identifier": "a"}]}, "states"),
        ({"states": [{"identifier": "a", "inputs": {"x": 1}}]}, "states"),
        ({"states": [{"identifier": "a", "inputs": {}}], "inputs": {"x": "1"}}, "states"),
    ],
)
def test_a_body_that_breaks_the_schema_is_422(api: Api, body: object, field: str) -> None:
    api.steps()
    api.graph("g", api.node("a"))
    answer = api.post("/graph/g/trigger", body)
    assert answer.status_code == 422
    assert {tuple(issue["loc"][:2]) for issue in answer.json()["detail"]} == {("body", field)}


def test_a_delayed_run_is_not_due_and_the_longest_delay_is_no_error(api: Api) -> None:
    api.steps()
    api.graph("g", api.node("a"))
    run = api.trigger("g", start_delay=2**63 - 1)
    assert api.claim() == []
    assert api.run(run)["status"] == "PENDING"


def test_a_node_of_another_namespace_works_from_root_to_leaf(api: Api) -> None:
    other = api.in_namespace(f"{api.namespace}-other")
    other.register(registration("Step", ["x"], ["y"], ["token"]))
    api.graph(
        "g",
        api.node("a", {"x": "1"}, ["b"], namespace=other.namespace),
        api.node("b", {"x": "${{a.outputs.y}}"}, namespace=other.namespace),
        secrets={"token": "v"},
        retry_policy={"max_retries": 1, "strategy": "FIXED", "backoff_factor": 1},
    )
    run = api.trigger("g")
    assert api.claim() == []
    root = other.claim_one()
    assert api.report(root["state_id"], "executed", {"outputs": []}).status_code == 404
    assert good(other.get(f"/state/{root['state_id']}/secrets")) == {"secrets": {"token": "v"}}
    other.executed(root, {"y": "from-a"})
    leaf = other.claim_one()
    assert leaf["inputs"] == {"x": "from-a"}
    assert other.errored(leaf)["retry_created"] is True
    # Seen from the graph's namespace the run is whole.
    assert api.statuses(run) == [("a", "SUCCESS"), ("b", "CREATED"), ("b", "RETRY_CREATED")]
    assert api.run(run)["total_count"] == 3
    assert api.state("g", run, root["state_id"])["status"] == "SUCCESS"
    assert len(other.states(run)) == 3


# -- the extension trigger-states -----------------------------------------------------------------


def entry(identifier: str, **inputs: str) -> dict[str, object]:
    return {"identifier": identifier, "inputs": inputs}


def test_states_start_one_run_at_each_entry(api: Api) -> None:
    api.register(registration("Step", ["x"], ["y"]))
    api.graph(
        "g",
        api.node("a", {"x": "t"}, ["b"]),
        api.node("b", {"x": "${{store.k}}"}, ["c"]),
        api.node("c", {"x": "${{b.outputs.y}}"}),
        store_config={"default_values": {"k": "default"}},
    )
    body = {"states": [entry("b"), entry("a", x="${{store.k}}", extra="1"), entry("b", x="own")], "store": {"k": "s"}}
    answer = good(api.post("/graph/g/trigger", body))
    expected = [("b", {"x": "s"}), ("a", {"x": "s", "extra": "1"}), ("b", {"x": "own"})]
    assert [(state["identifier"], state["inputs"]) for state in answer["states"]] == expected
    assert {state["node_name"] for state in answer["states"]} == {"Step"}
    assert [state["id"] for state in api.states(answer["run_id"])] == [state["state_id"] for state in answer["states"]]
    assert api.state("g", answer["run_id"], answer["states"][0]["state_id"])["parents"] == {}
    assert sorted(api.work_off()) == ["a", "b", "b", "b", "c", "c", "c"]
    assert api.run(answer["run_id"])["status"] == "SUCCESS"


def test_states_share_the_delay_of_the_run(api: Api) -> None:
    api.steps()
    api.graph("g", api.node("a"))
    api.trigger("g", states=[entry("a")], start_delay=3_600_000)
    assert api.claim() == []


def test_an_unknown_identifier_is_404_and_leaves_no_run(api: Api) -> None:
    api.steps()
    api.graph("g", api.node("a"))
    answer = api.post("/graph/g/trigger", {"states": [entry("a"), entry("b")]})
    assert answer.status_code == 404
    assert "b" in answer.json()["detail"]
    assert good(api.get("/runs/1/10"))["total"] == 0


def test_an_entry_below_which_a_reference_is_lost_is_400(api: Api) -> None:
    api.register(registration("Step", [], ["y"]), registration("Read", ["x"], ["y"]))
    api.graph(
        "g",
        api.node("a", {}, ["b"]),
        api.node("b", {}, ["c"]),
        api.node("c", {"x": "${{a.outputs.y}}"}, node="Read"),
    )
    for identifier, status in (("b", 400), ("c", 400), ("a", 200)):
        assert api.post("/graph/g/trigger", {"states": [entry(identifier)]}).status_code == status
    # The entry's own inputs may be given in place of the template's.
    assert api.post("/graph/g/trigger", {"states": [entry("c", x="given")]}).status_code == 200


def test_an_entry_below_which_a_join_is_lost_is_400(api: Api) -> None:
    api.steps()
    api.graph("g", api.node("a", {}, ["b"]), api.node("b", {}, ["j"]), api.node("j", unites="a"))
    assert api.post("/graph/g/trigger", {"states": [entry("b")]}).status_code == 400


def test_inputs_of_an_entry_resolve_from_the_store_alone(api: Api) -> None:
    api.register(registration("Step", ["x"], ["y"]))
    api.graph("g", api.node("a", {"x": "1"}), store_config={"required_keys": ["k"]})
    for body in (
        {"states": [entry("a", x="${{a.outputs.y}}")], "store": {"k": ""}},
        {"states": [entry("a", x="${{store.nope}}")], "store": {"k": ""}},
        {"states": [entry("a")]},
    ):
        assert api.post("/graph/g/trigger", body).status_code == 400


def test_a_strict_server_refuses_states_and_says_why(start_server: Callable[..., ServerThread]) -> None:
    with connect(start_server(strict=True)) as http:
        api = Api(http)
        api.steps()
        api.graph("g", api.node("a"))
        answer = api.post("/graph/g/trigger", {"states": [entry("a")]})
        assert answer.status_code == 400
        assert "strict" in answer.json()["detail"]
        assert '"x-exosphere-extension":' not in http.get("/openapi.json").text
        api.trigger("g")


def test_the_first_trigger_with_states_of_a_graph_is_warned_of(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    api.steps()
    api.graph("g", api.node("a"))
    for _ in range(3):
        api.trigger("g", states=[entry("a")])
    warned = [message for message in caplog.messages if f"namespace={api.namespace} graph=g" in message]
    assert len(warned) == 1


def test_a_server_without_the_extension_takes_no_notice_of_states(start_server: Callable[..., ServerThread]) -> None:
    with connect(start_server(without=frozenset({"trigger-states"}))) as http:
        api = Api(http)
        api.steps()
        api.graph("g", api.node("a"))
        for states in ([entry("nowhere")], "nonsense", None):
            answer = good(api.post("/graph/g/trigger", {"states": states, "inputs": {"x": "1"}}))
            assert "states" not in answer
            assert api.identifiers(answer["run_id"]) == ["a"]
