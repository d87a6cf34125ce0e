"""A PUT of a graph holds up no other writer, whatever it asks for, and what it may ask for is bounded."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from exospherehost._rules import graph_check
from exospherehost.server.service import context
from tests._support.service import Api, good, registration

Json = dict[str, Any]


def crons(*expressions: str) -> list[Json]:
    return [{"type": "CRON", "value": {"expression": expression}} for expression in expressions]


def yearly(count: int, month: int = 1) -> list[Json]:
    """Return distinct schedules that are not due before long."""
    return crons(*(f"{number % 60} {number // 60} 1 {month} *" for number in range(count)))


def put(api: Api, name: str, nodes: list[Json] | None = None, triggers: list[Json] | None = None) -> httpx.Response:
    return api.put(
        f"/graph/{name}", {"secrets": {}, "nodes": nodes or [api.node("a")], "triggers": triggers or crons()}
    )


def stored_by(answer: httpx.Response) -> Json:
    assert answer.status_code == 201, answer.text[:500]
    return dict(answer.json())


def refusal(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    detail = answer.json()["detail"]
    return str(detail if isinstance(detail, str) else detail[0]["msg"])


class Held:
    """Verification of graphs, held until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began = threading.Event()
        self.goes_on = threading.Event()
        self.times = 0
        verify = graph_check.verify

        def verify_later(*given: Any) -> list[str]:
            self.times += 1
            self.began.set()
            assert self.goes_on.wait(60)
            return verify(*given)

        monkeypatch.setattr(graph_check, "verify", verify_later)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    holding = Held(monkeypatch)
    yield holding
    holding.goes_on.set()


def put_beside(api: Api) -> tuple[ThreadPoolExecutor, Future[httpx.Response]]:
    executor = ThreadPoolExecutor(1)
    return executor, executor.submit(put, api, "g")


def test_others_write_while_a_graph_is_verified(api: Api, held: Held) -> None:
    api.steps()
    executor, pending = put_beside(api)
    with executor:
        assert held.began.wait(60)
        # These wait for the writer, which the verification does not hold.
        api.register(registration("Other"))
        good(api.post("/states/enqueue", {"nodes": ["Other"], "batch_size": 1}))
        assert not pending.done()
        held.goes_on.set()
        assert stored_by(pending.result(60))["validation_status"] == "VALID"
    assert held.times == 1


def test_a_graph_whose_node_is_registered_anew_meanwhile_is_verified_anew(api: Api, held: Held) -> None:
    api.steps()
    executor, pending = put_beside(api)
    with executor:
        assert held.began.wait(60)
        api.register(registration("Step", inputs=["new"]))
        held.goes_on.set()
        stored = stored_by(pending.result(60))
    assert held.times == 2
    assert stored["validation_status"] == "INVALID"
    assert "Input 'new' of node 'a' is missing" in stored["validation_errors"][0]


def test_a_node_that_is_registered_anew_as_it_was_changes_nothing(api: Api, held: Held) -> None:
    api.steps()
    executor, pending = put_beside(api)
    with executor:
        assert held.began.wait(60)
        api.steps()
        held.goes_on.set()
        assert stored_by(pending.result(60))["validation_status"] == "VALID"
    assert held.times == 1


def test_a_cron_expression_has_200_characters_at_most(api: Api) -> None:
    api.steps()
    fitting = f"{','.join(['0'] * 96)} * * * *"
    assert len(fitting) == 199
    assert put(api, "g", triggers=crons(f"{fitting} ")).status_code == 201
    message = refusal(put(api, "g", triggers=crons(f"{fitting}  ")), 422)
    assert "has 201 characters: give at most 200" in message
    assert len(message) < 200


def test_a_graph_has_200_triggers_at_most(api: Api) -> None:
    api.steps()
    assert put(api, "g", triggers=yearly(200)).status_code == 201
    assert "at most 200 triggers, not 201" in refusal(put(api, "h", triggers=yearly(201)), 422)


def test_a_namespace_has_200_schedules_at_most(api: Api) -> None:
    api.steps()
    assert put(api, "first", triggers=yearly(150)).status_code == 201
    assert put(api, "second", triggers=yearly(50)).status_code == 201
    message = refusal(put(api, "third", triggers=yearly(1)), 400)
    assert "would have 201 schedules, 1 of this graph: at most 200 are kept" in message
    assert put(api, "third").status_code == 201
    # What is there may be changed, though not added to, and another namespace has its own.
    assert put(api, "first", triggers=yearly(150, month=2)).status_code == 201
    assert "201 schedules, 151 of this graph" in refusal(put(api, "first", triggers=yearly(151)), 400)
    assert put(api, "first", triggers=yearly(149)).status_code == 201
    assert put(api, "third", triggers=yearly(1)).status_code == 201
    other = api.in_namespace(f"{api.namespace}-other")
    other.steps()
    assert put(other, "first", triggers=yearly(200)).status_code == 201


def test_a_graph_has_5000_nodes_at_most(api: Api) -> None:
    api.steps()
    names = [f"{number:x}" for number in range(5_001)]
    chain = [api.node(name, next_nodes=[after]) for name, after in itertools.pairwise(names)] + [api.node(names[-1])]
    assert "at most 5,000 nodes, not 5,001" in refusal(put(api, "g", nodes=chain), 422)
    assert put(api, "g", nodes=chain[1:]).status_code == 201


def test_a_claim_names_200_nodes_at_most(api: Api) -> None:
    names = [f"n{number}" for number in range(201)]
    assert good(api.post("/states/enqueue", {"nodes": names[1:], "batch_size": 1}))["count"] == 0
    message = refusal(api.post("/states/enqueue", {"nodes": names, "batch_size": 1}), 422)
    assert message == "A claim names at most 200 nodes, not 201: claim in several requests"


def test_problems_are_not_multiplied(api: Api) -> None:
    api.register(registration("Step", inputs=[f"field{number}" for number in range(300)]))
    branches = [f"b{number}" for number in range(50)]
    nodes = [api.node("a", next_nodes=branches), *map(api.node, branches)]
    problems = stored_by(put(api, "g", nodes=nodes))["validation_errors"]
    assert len(problems) == 1_001
    assert problems[-1] == "There are more than 1,000 problems: correct these first"


def test_the_nodes_that_a_trigger_names_are_checked_outside_the_unit_and_once(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[tuple[str, bool]] = []
    check = context.entry_problems

    def note(topology: Any, identifier: str) -> list[str]:
        checked.append((identifier, "-write" in threading.current_thread().name))
        return check(topology, identifier)

    monkeypatch.setattr(context, "entry_problems", note)
    api.steps()
    names = [f"n{number}" for number in range(20)]
    api.graph(
        "g",
        *(api.node(name, next_nodes=[after]) for name, after in itertools.pairwise([*names, "end"])),
        api.node("end"),
    )
    for _ in range(2):
        api.trigger("g", states=[{"identifier": name, "inputs": {}} for name in names])
    assert checked == [(name, False) for name in names]
