"""What `serve --strict` refuses, and any other server only warns of: whatever fares otherwise on the hosted service."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from exospherehost.server import ServerSettings, ServerThread
from tests._support.command import Command
from tests._support.service import Api, Json, connect, good, registration

KEY = "the-key-of-the-tests"


@dataclass(frozen=True)
class Difference:
    """A graph that the hosted service refuses or runs otherwise, and what is said of it.

    Attributes:
        nodes: makes its nodes, given the namespace and another one.
        said: words that must be said, all in one line.
        sections: the graph's other sections.
    """

    nodes: Callable[[Api, str], Sequence[Json]]
    said: tuple[str, ...]
    sections: Json | None = None


def _single(api: Api, _other: str) -> list[Json]:
    return [api.node("a")]


def _cron(expression: str) -> Json:
    return {"triggers": [{"type": "CRON", "value": {"expression": expression}}]}


DIFFERENCES = {
    # [8] of the contract's section 18: joins that are looked at too seldom.
    "join lost to a branch that leads elsewhere": Difference(
        lambda api, _: [
            api.node("a", {}, ["b", "c"]),
            api.node("b", {}, ["u"]),
            api.node("c"),
            api.node("u", unites="a"),
        ],
        ("Below 'a'", "'c'", "'u'", "join is lost"),
    ),
    "join lost to a branch that leads elsewhere, all done": Difference(
        lambda api, _: [
            api.node("a", {}, ["b", "c"]),
            api.node("b", {}, ["u"]),
            api.node("c"),
            api.node("u", unites="a", strategy="ALL_DONE"),
        ],
        ("Below 'a'", "'c'", "'u'", "join is lost"),
    ),
    "join lost to a branch that leads to an outer join": Difference(
        lambda api, _: [
            api.node("r", {}, ["a"]),
            api.node("a", {}, ["b", "c"]),
            api.node("b", {}, ["u"]),
            api.node("c", {}, ["v"]),
            api.node("u", {}, ["v"], unites="a"),
            api.node("v", unites="r"),
        ],
        ("Below 'a'", "'c'", "'u'", "join is lost"),
    ),
    "two joins of one node, at the ends of different branches": Difference(
        lambda api, _: [
            api.node("a", {}, ["b", "c"]),
            api.node("b", {}, ["u"]),
            api.node("c", {}, ["v"]),
            api.node("u", {}, ["v"], unites="a"),
            api.node("v", unites="a"),
        ],
        ("'u', 'v' all unite 'a'", "only the one that is last"),
    ),
    # [9]: what may be referred to.
    "reference to a join": Difference(
        lambda api, _: [
            api.node("a", {}, ["b"]),
            api.node("b", {}, ["u"]),
            api.node("u", {}, ["c"], unites="a"),
            api.node("c", {"x": "${{u.outputs.y}}"}),
        ],
        ("'c' refers to the uniting node 'u'", "refuses"),
    ),
    "reference to a join from further below": Difference(
        lambda api, _: [
            api.node("a", {}, ["b"]),
            api.node("b", {}, ["u"]),
            api.node("u", {}, ["c"], unites="a"),
            api.node("c", {}, ["d"]),
            api.node("d", {"x": "${{u.outputs.y}}"}),
        ],
        ("'d' refers to the uniting node 'u'", "refuses"),
    ),
    # [11]: schedules.
    "cron": Difference(_single, ("'0 9 * * *'", "UTC", "local time"), _cron("0 9 * * *")),
    "cron by a name": Difference(_single, ("'@hourly'", "UTC", "downtime"), _cron("@hourly")),
    "cron with seconds": Difference(_single, ("'0 9 * * * 30'", "seconds", "once a minute"), _cron("0 9 * * * 30")),
    # [15]: nodes of other namespaces.
    "node of another namespace": Difference(
        lambda api, other: [api.node("a", {}, ["b"]), api.node("b", namespace=other)],
        ("'b' is of namespace", "cannot complete"),
    ),
    "root of another namespace": Difference(
        lambda api, other: [api.node("a", namespace=other)],
        ("'a' is of namespace", "cannot complete"),
    ),
    # Section 9: retries whose time cannot be stored.
    "retries that outgrow what can be stored": Difference(
        _single,
        ("retry policy", "100 retries", "max_delay"),
        {"retry_policy": {"max_retries": 100, "strategy": "EXPONENTIAL", "backoff_factor": 1000, "exponent": 2}},
    ),
    "linear retries that outgrow what can be stored": Difference(
        _single,
        ("retry policy", "max_delay"),
        {"retry_policy": {"max_retries": 9, "strategy": "LINEAR_FULL_JITTER", "backoff_factor": 2**62}},
    ),
}

SAME: dict[str, tuple[Callable[[Api], Sequence[Json]], Json]] = {
    "chain": (lambda api: [api.node("a", {}, ["b"]), api.node("b", {"x": "${{a.outputs.y}}"})], {}),
    "diamond": (
        lambda api: [
            api.node("a", {}, ["b", "c"]),
            api.node("b", {}, ["d"]),
            api.node("c", {}, ["d"]),
            api.node("d", {"x": "${{a.outputs.y}}"}),
        ],
        {},
    ),
    "join": (
        lambda api: [
            api.node("a", {}, ["b"]),
            api.node("b", {}, ["c"]),
            api.node("c", {"x": "${{a.outputs.y}}"}, ["d"], unites="a"),
            api.node("d", {"x": "${{a.outputs.y}}"}),
        ],
        {},
    ),
    "nested joins": (
        lambda api: [
            api.node("a", {}, ["b"]),
            api.node("b", {}, ["c"]),
            api.node("c", {}, ["u"]),
            api.node("u", {}, ["v"], unites="b", strategy="ALL_DONE"),
            api.node("v", unites="a"),
        ],
        {},
    ),
    "default retries": (lambda api: [api.node("a")], {}),
    "many retries, capped": (
        lambda api: [api.node("a")],
        {"retry_policy": {"max_retries": 100, "strategy": "EXPONENTIAL", "max_delay": 60_000}},
    ),
    "many retries at a fixed pace": (
        lambda api: [api.node("a")],
        {"retry_policy": {"max_retries": 1_000_000, "strategy": "FIXED"}},
    ),
    "no retries": (lambda api: [api.node("a")], {"retry_policy": {"max_retries": 0, "backoff_factor": 2**62}}),
    "secrets and store": (
        lambda api: [api.node("a", {"x": "${{store.k}}"})],
        {"secrets": {"token": "value"}, "store_config": {"required_keys": ["k"]}},
    ),
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, ServerThread]]:
    """A strict server and one that is not."""
    with ExitStack() as stack:
        yield {
            strict: stack.enter_context(
                ServerThread(
                    ServerSettings(
                        api_key=KEY,
                        database=tmp_path_factory.mktemp("server") / "exosphere.db",
                        port=0,
                        strict=strict,
                    )
                )
            )
            for strict in (True, False)
        }


def _in_namespace(stack: ExitStack, server: ServerThread) -> tuple[Api, str]:
    """Return a namespace with the node Step, and the name of another one that has it too."""
    api = Api(stack.enter_context(connect(server)))
    other = api.in_namespace(f"{api.namespace}-other")
    for each in (api, other):
        each.register(registration("Step", outputs=["y"]))
    return api, other.namespace


def _put(api: Api, nodes: Sequence[Json], sections: Json | None) -> Any:
    return api.put("/graph/g", {"secrets": {}, "nodes": list(nodes), **(sections or {})})


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_strict_server_refuses_it_and_says_why(servers: dict[bool, ServerThread], name: str) -> None:
    difference = DIFFERENCES[name]
    with ExitStack() as stack:
        api, other = _in_namespace(stack, servers[True])
        answer = _put(api, difference.nodes(api, other), difference.sections)
        assert answer.status_code == 400, answer.text
        first, *lines = answer.json()["detail"].splitlines()
        assert "strict" in first
        assert any(all(words in line for words in difference.said) for line in lines), lines
        assert all("hosted service" in line for line in lines)
        assert api.get("/graph/g").status_code == 404


@pytest.mark.parametrize("name", DIFFERENCES)
def test_any_other_server_takes_it_and_warns(
    servers: dict[bool, ServerThread], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    difference = DIFFERENCES[name]
    with ExitStack() as stack:
        api, other = _in_namespace(stack, servers[False])
        with caplog.at_level(logging.WARNING, logger="exospherehost.server"):
            answer = _put(api, difference.nodes(api, other), difference.sections)
        assert answer.status_code == 201, answer.text
        assert answer.json()["validation_status"] == "VALID", answer.text
        assert good(api.get("/graph/g"))["validation_status"] == "VALID"
        warned = [
            record.getMessage()
            for record in caplog.records
            if record.levelno == logging.WARNING
            and f"event=hosted_difference namespace={api.namespace} graph=g" in record.getMessage()
        ]
        assert any(all(words in message for words in difference.said) for message in warned), warned


def test_a_graph_that_is_put_again_is_warned_of_once(
    servers: dict[bool, ServerThread], caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as stack:
        api, _other = _in_namespace(stack, servers[False])

        def warned(expression: str, name: str = "g") -> int:
            caplog.clear()
            answer = api.put(f"/graph/{name}", {"secrets": {}, "nodes": [api.node("a")], **_cron(expression)})
            assert answer.status_code == 201, answer.text
            return sum(
                "event=hosted_difference" in message and repr(expression) in message for message in caplog.messages
            )

        with caplog.at_level(logging.WARNING, logger="exospherehost.server"):
            assert [warned("@daily"), warned("@daily"), warned("@hourly"), warned("@hourly")] == [1, 0, 1, 0]
            assert warned("@hourly", name="another") == 1


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("strict", [True, False])
def test_what_is_the_same_there_is_taken_without_a_word(
    servers: dict[bool, ServerThread], name: str, strict: bool, caplog: pytest.LogCaptureFixture
) -> None:
    nodes, sections = SAME[name]
    with ExitStack() as stack:
        api, _other = _in_namespace(stack, servers[strict])
        with caplog.at_level(logging.WARNING, logger="exospherehost.server"):
            answer = _put(api, nodes(api), sections)
        assert answer.status_code == 201, answer.text
        assert answer.json()["validation_status"] == "VALID"
        assert [message for message in caplog.messages if f"namespace={api.namespace} " in message] == []


def test_all_differences_are_told_together(servers: dict[bool, ServerThread]) -> None:
    with ExitStack() as stack:
        api, other = _in_namespace(stack, servers[True])
        answer = _put(api, [api.node("a", {}, ["b"]), api.node("b", namespace=other)], _cron("@daily"))
        assert answer.status_code == 400
        assert "'b' is of namespace" in answer.json()["detail"]
        assert "'@daily'" in answer.json()["detail"]


def test_a_refused_put_leaves_the_graph_that_was_there(servers: dict[bool, ServerThread]) -> None:
    with ExitStack() as stack:
        api, _other = _in_namespace(stack, servers[True])
        api.graph("g", api.node("a"))
        before = good(api.get("/graph/g"))
        assert _put(api, [api.node("a")], _cron("@daily")).status_code == 400
        assert good(api.get("/graph/g")) == before
        assert api.identifiers(api.trigger("g")) == ["a"]


def test_a_strict_server_refuses_a_trigger_with_states(servers: dict[bool, ServerThread]) -> None:
    with ExitStack() as stack:
        api, _other = _in_namespace(stack, servers[True])
        api.graph("g", api.node("a"))
        answer = api.post("/graph/g/trigger", {"states": [{"identifier": "a", "inputs": {}}]})
        assert answer.status_code == 400, answer.text
        assert "strict" in answer.json()["detail"]
        assert "inputs" in answer.json()["detail"]
        assert good(api.get("/runs/1/10"))["total"] == 0


def test_any_other_server_takes_a_trigger_with_states_and_warns(
    servers: dict[bool, ServerThread], caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as stack:
        api, _other = _in_namespace(stack, servers[False])
        api.graph("g", api.node("a", {}, ["b"]), api.node("b"))
        with caplog.at_level(logging.WARNING, logger="exospherehost.server"):
            run = api.trigger("g", states=[{"identifier": "b", "inputs": {}}])
        assert api.identifiers(run) == ["b"]
        assert any(
            f"event=hosted_difference namespace={api.namespace} graph=g" in message and "states" in message
            for message in caplog.messages
        )


def test_a_strict_server_has_no_extension_to_rely_on(servers: dict[bool, ServerThread]) -> None:
    with ExitStack() as stack:
        api, _other = _in_namespace(stack, servers[True])
        assert '"x-exosphere-extension":' not in api.http.get("/openapi.json").text
        api.graph("g", api.node("a"))
        for _ in range(2):
            # As without the header: the hosted service knows none.
            answer = api.call("POST", "/graph/g/trigger", json={}, headers={"idempotency-key": "same"})
            assert answer.status_code == 200
        assert good(api.get("/runs/1/10"))["total"] == 2
        body = {"nodes": ["Step"], "batch_size": 1, "lease_ms": 60_000}
        claimed = api.call("POST", "/states/enqueue", json=body, headers={"prefer": "wait=1"})
        assert "preference-applied" not in claimed.headers
        (state,) = good(claimed)["states"]
        assert set(state) == {"state_id", "node_name", "identifier", "inputs", "created_at"}
        reported = {"state_id": state["state_id"], "executed": {"outputs": []}}
        assert api.post("/states/report", {"reports": [reported]}).status_code == 404
        renewed = api.post("/states/renew", {"state_ids": [state["state_id"]], "lease_ms": 60_000})
        assert renewed.status_code == 404
        api.executed(state)


def test_the_option_of_the_command(tmp_path: Path) -> None:
    with Command("serve", "--port", "0", "--strict", folder=tmp_path) as server, server.connect() as http:
        api = Api(http)
        api.steps()
        answer = _put(api, [api.node("a")], _cron("@daily"))
        assert answer.status_code == 400
        assert "strict" in answer.json()["detail"]
        assert server.interrupt() == 0
