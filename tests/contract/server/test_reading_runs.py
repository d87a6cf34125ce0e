from __future__ import annotations

import re
import uuid

import pytest

from tests._support.service import Api, good, registration

SUMMARY = ["CREATED", "QUEUED", "EXECUTED", "ERRORED", "NEXT_CREATED_ERROR", "SUCCESS", "PRUNED", "RETRY_CREATED"]
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def test_runs_are_paged_newest_first(api: Api) -> None:
    api.steps()
    api.graph("g", api.node("a"))
    runs = [api.trigger("g") for _ in range(5)]
    page = good(api.get("/runs/1/2"))
    assert {name: page[name] for name in ("namespace", "total", "page", "size")} == {
        "namespace": api.namespace,
        "total": 5,
        "page": 1,
        "size": 2,
    }
    seen = [run["run_id"] for number in (1, 2, 3, 4) for run in good(api.get(f"/runs/{number}/2"))["runs"]]
    assert seen == runs[::-1]
    assert TIMESTAMP.fullmatch(page["runs"][0]["created_at"])
    assert page["runs"][0]["graph_name"] == "g"
    assert good(api.in_namespace("empty").get("/runs/1/2"))["total"] == 0


@pytest.mark.parametrize("spelling", ["1/10", "1.0/10", "+1/10", "%201/10"])
def test_page_numbers_are_read_leniently(api: Api, spelling: str) -> None:
    assert good(api.get(f"/runs/{spelling}"))["page"] == 1


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("0/10", ["page"]),
        ("-1/10", ["page"]),
        ("1/0", ["size"]),
        ("1/-1", ["size"]),
        ("1/1001", ["size"]),
        ("x/y", ["page", "size"]),
        ("1.5/10", ["page"]),
        ("99999999999999999999999/1", ["page"]),
        ("1/" + "9" * 5_000, ["size"]),
    ],
)
def test_pages_that_do_not_exist_are_422(api: Api, path: str, fields: list[str]) -> None:
    answer = api.get(f"/runs/{path}")
    assert answer.status_code == 422
    assert [issue["loc"] for issue in answer.json()["detail"]] == [["path", field] for field in fields]


def test_a_page_past_the_end_is_empty(api: Api) -> None:
    api.steps()
    api.graph("g", api.node("a"))
    api.trigger("g")
    page = good(api.get("/runs/2147483647/1000"))
    assert (page["total"], page["runs"]) == (1, [])


def test_a_run_counts_its_states_in_groups(api: Api) -> None:
    api.register(registration("Fan", [], ["y"]), registration("Leaf", [], ["y"]))
    api.graph("g", api.node("a", {}, ["b"], node="Fan"), api.node("b", node="Leaf"), retry_policy={"max_retries": 0})
    run = api.trigger("g")
    api.executed(api.claim_one("Fan"), *({"y": str(number)} for number in range(5)))
    done, failed, pruned, again, _queued = api.claim("Leaf")
    api.executed(done)
    api.errored(failed)
    api.prune(pruned)
    api.report(again["state_id"], "manual-retry", {"fanout_id": "f"})
    line = api.run(run)
    assert {name: line[name] for name in line if name.endswith("_count")} == {
        "success_count": 7,
        "pending_count": 2,
        "errored_count": 1,
        "retried_count": 1,
        "total_count": 11,
    }
    assert line["status"] == "PENDING"
    graph = good(api.get(f"/states/run/{run}/graph"))
    assert list(graph["execution_summary"]) == SUMMARY
    assert graph["execution_summary"] == {
        "CREATED": 1,
        "QUEUED": 1,
        "EXECUTED": 0,
        "ERRORED": 1,
        "NEXT_CREATED_ERROR": 0,
        "SUCCESS": 6,
        "PRUNED": 1,
        "RETRY_CREATED": 1,
    }


def test_a_run_graph_has_roots_and_an_edge_from_the_last_parent(api: Api) -> None:
    api.steps()
    api.graph(
        "g",
        api.node("a", {}, ["b"]),
        api.node("b", {}, ["c"]),
        api.node("c", unites="a"),
        retry_policy={"max_retries": 1, "strategy": "FIXED", "backoff_factor": 1},
    )
    run = api.trigger("g")
    api.work_off()
    graph = good(api.get(f"/states/run/{run}/graph"))
    ids = {node["identifier"]: node["id"] for node in graph["nodes"]}
    assert [node["identifier"] for node in graph["nodes"]] == ["a", "b", "c"]
    assert graph["root_states"] == [graph["nodes"][0]]
    assert set(graph["nodes"][0]) == {"id", "node_name", "identifier", "status", "error"}
    # The join hangs off what it unites.
    assert graph["edges"] == [
        {"source": ids["a"], "target": ids["b"]},
        {"source": ids["a"], "target": ids["c"]},
    ]
    assert (graph["graph_name"], graph["node_count"], graph["edge_count"]) == ("g", 3, 2)


def test_an_unknown_run_is_an_empty_graph(api: Api) -> None:
    for run in (str(uuid.uuid4()), "no-uuid"):
        graph = good(api.get(f"/states/run/{run}/graph"))
        assert graph == {
            "root_states": [],
            "graph_name": "",
            "nodes": [],
            "edges": [],
            "node_count": 0,
            "edge_count": 0,
            "execution_summary": dict.fromkeys(SUMMARY, 0),
            # Of the extension `cancel`.
            "cancelled_at": None,
        }


def test_a_run_is_not_seen_from_another_namespace(api: Api) -> None:
    api.steps()
    api.graph("g", api.node("a"))
    run = api.trigger("g")
    assert good(api.in_namespace("elsewhere").get(f"/states/run/{run}/graph"))["node_count"] == 0


def test_a_state_is_shown_in_full_when_all_of_its_address_is_right(api: Api) -> None:
    api.steps()
    api.graph("g", api.node("a"))
    run = api.trigger("g")
    state_id = api.states(run)[0]["id"]
    detail = api.state("g", run, state_id)
    assert {name: value for name, value in detail.items() if not name.endswith("_at")} == {
        "id": state_id,
        "node_name": "Step",
        "identifier": "a",
        "graph_name": "g",
        "run_id": run,
        "status": "CREATED",
        "inputs": {},
        "outputs": {},
        "error": None,
        "parents": {},
    }
    assert TIMESTAMP.fullmatch(detail["created_at"])
    assert api.state("g", run, state_id.upper()) == detail
    for space, graph, of_run, node in (
        ("elsewhere", "g", run, state_id),
        (api.namespace, "other", run, state_id),
        (api.namespace, "g", str(uuid.uuid4()), state_id),
        (api.namespace, "g", run, "0" * 24),
    ):
        answer = api.in_namespace(space).get(f"/graph/{graph}/run/{of_run}/node/{node}")
        assert answer.status_code == 404
    malformed = api.get(f"/graph/g/run/{run}/node/xyz")
    assert malformed.status_code == 422
    assert malformed.json()["detail"][0]["loc"] == ["path", "node_id"]
