from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from exospherehost.server import ServerThread
from tests._support.service import Api, connect

PLAIN = {"state_id", "node_name", "identifier", "inputs", "created_at"}
OTHERS = {"claim_token"}
"""Of other extensions."""


def test_a_claimed_state_tells_its_graph_run_and_attempt(api: Api) -> None:
    api.steps()
    api.graph("g", api.node("a"), retry_policy={"max_retries": 2, "strategy": "FIXED", "backoff_factor": 1})
    run = api.trigger("g")
    first = api.claim_one()
    assert (first["graph_name"], first["run_id"], first["attempt"]) == ("g", run, 1)
    assert set(first) - OTHERS == PLAIN | {"graph_name", "run_id", "attempt"}
    assert api.errored(first)["retry_created"]
    retry = next(state for state in api.states(run) if state["status"] == "CREATED")
    claimed: list[dict[str, Any]] = []
    while not claimed:
        claimed = api.claim()
    assert (claimed[0]["state_id"], claimed[0]["run_id"], claimed[0]["attempt"]) == (retry["id"], run, 2)


def test_a_manual_retry_begins_with_the_first_attempt_again(api: Api) -> None:
    api.steps()
    api.graph("g", api.node("a"))
    run = api.trigger("g")
    assert api.report(api.claim_one()["state_id"], "manual-retry", {"fanout_id": "f"}).status_code == 200
    again = api.claim_one()
    assert (again["run_id"], again["attempt"]) == (run, 1)


def test_a_state_of_another_namespace_tells_the_run_that_it_belongs_to(api: Api) -> None:
    other = api.in_namespace(f"{api.namespace}-other")
    other.steps()
    api.graph("g", api.node("a", namespace=other.namespace))
    run = api.trigger("g")
    assert other.claim_one()["run_id"] == run


@pytest.mark.parametrize("settings", [{"without": frozenset({"context"})}, {"strict": True}])
def test_without_it_a_claimed_state_tells_what_the_hosted_service_tells(
    start_server: Callable[..., ServerThread], settings: dict[str, Any]
) -> None:
    with connect(start_server(**settings)) as http:
        api = Api(http)
        api.steps()
        api.graph("g", api.node("a"))
        api.trigger("g")
        assert set(api.claim_one()) - OTHERS == PLAIN
