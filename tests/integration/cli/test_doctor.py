"""`exospherehost doctor` finds each kind of trouble on a real server, and none where there is none."""

from __future__ import annotations

from typing import Any

import pytest

from exospherehost.server import ServerThread
from tests._support.cli_service import Shell, work_off
from tests._support.eventually import eventually_sync
from tests._support.service import Api, registration


def found(shell: Shell, *words: str, exit_code: int = 0) -> list[tuple[str, str, str]]:
    """Return (level, check, problem) of what needs something to be done."""
    findings = shell.json("doctor", *words, exit_code=exit_code)["findings"]
    assert all(finding["remedy"] for finding in findings if finding["level"] != "note")
    return [(each["level"], each["check"], each["problem"]) for each in findings if each["level"] != "note"]


def only(findings: list[tuple[str, str, str]]) -> tuple[str, str, str]:
    assert len(findings) == 1, findings
    return findings[0]


@pytest.mark.usefixtures("api")
def test_nothing_is_found_where_all_is_well(api: Api, shell: Shell) -> None:
    shell.run("graphs", "apply", "greetings.yaml")
    shell.run("trigger", "greetings", "-i", "name=Ada")
    work_off(api)
    assert found(shell) == []
    assert "0 errors, 0 warnings." in shell.run("doctor").stdout


@pytest.mark.usefixtures("api")
def test_a_service_that_is_away_or_refuses_the_key(shell: Shell, server: ServerThread) -> None:
    level, check, problem = only(found(shell, "--uri", "http://127.0.0.1:9", "--key", "k", exit_code=1))
    assert (level, check) == ("error", "address")
    assert "cannot be reached" in problem
    shell.run("doctor", "--uri", server.url, "--key", "wrong", exit_code=4)


def test_a_graph_whose_node_nobody_registered(api: Api, shell: Shell) -> None:
    api.upsert("lonely", api.node("only", node="Nobody"))
    findings = found(shell, exit_code=1)
    assert {check for _, check, _ in findings} == {"graphs", "nodes"}
    assert any("node 'Nobody'" in problem and "lonely" in problem for _, _, problem in findings)


def test_a_state_that_nobody_claims_and_one_that_nobody_reports(api: Api, shell: Shell) -> None:
    shell.run("graphs", "apply", "greetings.yaml")
    run_id = shell.json("trigger", "greetings", "-i", "name=Ada")["run_id"]
    assert found(shell) == []

    def waiting() -> list[tuple[str, str, str]]:
        return found(shell, "--patience", "1s")

    eventually_sync(lambda: [check for _, check, _ in waiting()] == ["waiting"])
    assert f"1 state of node 'Greet' in run {run_id}" in only(waiting())[2]
    api.claim_one("Greet")
    eventually_sync(lambda: [check for _, check, _ in waiting()] == ["held"])


def test_a_join_that_can_no_longer_happen(api: Api, shell: Shell) -> None:
    api.register(registration("Step", outputs=["y"]))
    api.graph(
        "joined",
        api.node("split", next_nodes=["work"]),
        api.node("work", next_nodes=["join"]),
        api.node("join", unites="split"),
        retry_policy={"max_retries": 0},
    )
    run_id = api.trigger("joined")
    api.executed(api.claim_one("Step"), {"y": "1"})
    api.errored(api.claim_one("Step"))
    # The branch itself failed, so the join was never reached: no more than the failed run tells.
    assert found(shell) == []
    api.graph(
        "two-branches",
        api.node("split", next_nodes=["work", "other"]),
        api.node("work", next_nodes=["join"]),
        api.node("other"),
        api.node("join", unites="split"),
        retry_policy={"max_retries": 0},
    )
    run_id = api.trigger("two-branches")

    def act(state: dict[str, Any]) -> None:
        if state["identifier"] == "other":
            api.errored(state)
        else:
            api.executed(state, {"y": "1"})

    api.work_off(act, "Step")
    level, check, problem = only(found(shell, exit_code=1))
    assert (level, check) == ("error", "joins")
    assert f"the join 'join' in run {run_id} of graph 'two-branches' can no longer happen" in problem


def test_a_schedule_whose_runs_all_fail(api: Api, shell: Shell) -> None:
    api.steps()
    cron = {"type": "CRON", "value": {"expression": "0 0 1 1 *"}}
    api.graph("yearly", api.node("only"), retry_policy={"max_retries": 0}, triggers=[cron])
    for _ in range(3):
        api.trigger("yearly")
        api.errored(api.claim_one("Step"))
    level, check, problem = only(found(shell, exit_code=1))
    assert (level, check) == ("error", "schedules")
    assert "last 3 runs of the scheduled graph 'yearly' failed" in problem


@pytest.mark.usefixtures("api")
def test_size_and_disk_of_a_database(shell: Shell) -> None:
    notes = shell.json("doctor", "--database", "runs.db")["findings"]
    assert any(note["check"] == "disk" and "runs.db has" in note["problem"] for note in notes)
