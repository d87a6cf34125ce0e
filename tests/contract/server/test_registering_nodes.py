from __future__ import annotations

import re

import httpx
import pytest

from tests._support.service import Api, good, registration

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")


def test_registering_echoes_the_request_in_order_duplicates_included(api: Api) -> None:
    nodes = [registration("B"), registration("A", ["x"], ["y"], ["s", "s"]), registration("B", ["z"])]
    answer = good(api.put("/nodes/", {"runtime_name": "", "nodes": nodes, "runtime_namespace": "elsewhere"}))
    assert answer == {"runtime_name": "", "registered_nodes": nodes}


def test_the_last_registration_of_a_name_stays_and_order_is_that_of_the_first(api: Api) -> None:
    api.register(registration("B"), registration("A"), runtime="one")
    before = {node["name"]: node for node in good(api.get("/nodes/"))["nodes"]}
    api.register(registration("B", ["x"], ["y"], ["s"]), runtime="two")
    listed = good(api.get("/nodes/"))
    assert (listed["namespace"], listed["count"]) == (api.namespace, 2)
    assert [node["name"] for node in listed["nodes"]] == ["B", "A"]
    b = listed["nodes"][0]
    assert (b["runtime_name"], b["runtime_namespace"], b["secrets"]) == ("two", api.namespace, ["s"])
    assert b["inputs_schema"] == registration("B", ["x"])["inputs_schema"]
    for kept in ("_id", "created_at", "updated_at"):
        assert b[kept] == before["B"][kept]
    assert TIMESTAMP.fullmatch(b["created_at"])


def test_names_and_schemas_are_taken_as_they_are(api: Api) -> None:
    odd = {"name": " ", "inputs_schema": {"type": ["nonsense"], "n": None}, "outputs_schema": {}, "secrets": []}
    api.register(odd)
    listed = good(api.get("/nodes/"))["nodes"][0]
    assert {name: listed[name] for name in odd} == odd


def test_the_namespace_of_the_path_decides(api: Api) -> None:
    api.register({**registration("A"), "namespace": "elsewhere"})
    assert good(api.get("/nodes/"))["nodes"][0]["namespace"] == api.namespace


def test_only_registered_nodes_make_a_namespace_appear(api: Api, http: httpx.Client) -> None:
    ghost = api.in_namespace(f"{api.namespace}-ghost")
    ghost.register()
    ghost.put("/graph/g", {"secrets": {}, "nodes": [ghost.node("a")]})
    upper = api.in_namespace(f"Z {api.namespace}")
    upper.register(registration("A"))
    api.register(registration("A"))
    answer = good(http.get("/v0/namespaces"))
    assert answer["count"] == len(answer["namespaces"])
    assert answer["namespaces"] == sorted(answer["namespaces"])
    assert api.namespace in answer["namespaces"]
    assert upper.namespace in answer["namespaces"]
    assert ghost.namespace not in answer["namespaces"]


def test_a_namespace_may_be_any_text_without_a_slash(http: httpx.Client) -> None:
    for segment, name in (("%20", " "), ("%C3%A9%E2%82%AC", "é€"), ("a%3Fb%23c", "a?b#c"), ("%2525", "%25")):
        assert http.put(
            f"/v0/namespace/{segment}/nodes/", json={"runtime_name": "r", "nodes": [registration("A")]}
        ).is_success
        assert good(http.get(f"/v0/namespace/{segment}/nodes/"))["namespace"] == name


def test_an_unknown_namespace_has_no_nodes(api: Api) -> None:
    assert good(api.get("/nodes/")) == {"namespace": api.namespace, "count": 0, "nodes": []}


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"nodes": []}, ["body", "runtime_name"]),
        ({"runtime_name": "r"}, ["body", "nodes"]),
        ({"runtime_name": None, "nodes": []}, ["body", "runtime_name"]),
        ({"runtime_name": 1, "nodes": []}, ["body", "runtime_name"]),
        ({"runtime_name": "r", "nodes": None}, ["body", "nodes"]),
        ({"runtime_name": "r", "nodes": [{"name": "A"}]}, ["body", "nodes", 0, "secrets"]),
        (
            {"runtime_name": "r", "nodes": [{**registration("A"), "inputs_schema": []}]},
            ["body", "nodes", 0, "inputs_schema"],
        ),
        ({"runtime_name": "r", "nodes": [{**registration("A"), "secrets": "s"}]}, ["body", "nodes", 0, "secrets"]),
        ({"runtime_name": "r", "nodes": [{**registration("A"), "secrets": [1]}]}, ["body", "nodes", 0, "secrets", 0]),
    ],
)
def test_a_body_that_breaks_the_schema_is_refused(api: Api, body: object, loc: list[object]) -> None:
    answer = api.put("/nodes/", body)
    assert answer.status_code == 422
    assert loc in [issue["loc"] for issue in answer.json()["detail"]]
    assert good(api.get("/nodes/"))["count"] == 0
