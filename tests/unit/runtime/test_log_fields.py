"""Log records about a state carry its ids as fields, and an idle runtime says nothing."""

from __future__ import annotations

import ast
import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import exospherehost
from exospherehost import BaseNode
from exospherehost._runtime import outcomes
from exospherehost._runtime.journal import Journal
from exospherehost._runtime.outcomes import Outcome
from exospherehost._runtime.stats import Counters
from exospherehost._runtime.worker_pool import WorkerPool
from exospherehost_client.models import ClaimedState
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.http_service import Answer, Asked
from tests._support.outbox import Outbox
from tests._support.runtimes import make_runtime, running

PACKAGE = Path(exospherehost.__file__).parent
SOURCES = sorted([*PACKAGE.glob("*.py"), *PACKAGE.glob("_*/*.py")])


class Fails(BaseNode):
    async def execute(self) -> None:
        raise ValueError("no luck")


class Succeeds(BaseNode):
    class Outputs(BaseModel):
        text: str

    async def execute(self) -> Outputs:
        return self.Outputs(text="done")


class Blocks(BaseNode):
    async def execute(self) -> None:
        time.sleep(0.3)  # noqa: ASYNC251 - what is warned of


def event(caplog: pytest.LogCaptureFixture, name: str) -> logging.LogRecord | None:
    return next((record for record in caplog.records if record.getMessage().startswith(f"event={name} ")), None)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name.startswith("exosphere_")}


def put(service: FakeStateManager, node: str) -> dict[str, Any]:
    """Make a state due, as a service with `context` tells it, and return the fields to expect."""
    state_id = service.put_state(node, identifier="step")
    service._waiting[-1].update(graph_name="graph", run_id="run", attempt=2)
    return {
        "exosphere_namespace": "ns",
        "exosphere_node": node,
        "exosphere_identifier": "step",
        "exosphere_state_id": state_id,
        "exosphere_graph": "graph",
        "exosphere_run_id": "run",
        "exosphere_attempt": 2,
    }


async def fields_of(
    name: str,
    node: type[BaseNode],
    service: FakeStateManager,
    caplog: pytest.LogCaptureFixture,
    before: Callable[[Asked], Answer | None] = lambda _: None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run one state until an event is logged; returns its fields and those to expect."""
    expected = put(service, node.__name__)
    service.before = before
    with caplog.at_level(logging.DEBUG, "exospherehost"):
        async with running(make_runtime(service, node)):
            record = await eventually(lambda: event(caplog, name))
    return fields(record), expected


@pytest.mark.parametrize(
    ("name", "node"), [("state_errored", Fails), ("state_executed", Succeeds), ("event_loop_blocked", Blocks)]
)
async def test_execution(
    name: str, node: type[BaseNode], service: FakeStateManager, caplog: pytest.LogCaptureFixture
) -> None:
    found, expected = await fields_of(name, node, service, caplog)

    assert found == expected


@pytest.mark.parametrize(
    ("name", "statuses"), [("report_failed", [404]), ("report_replaced", [413]), ("report_settled", [503, 400])]
)
async def test_report(
    name: str, statuses: list[int], service: FakeStateManager, caplog: pytest.LogCaptureFixture
) -> None:
    left = list(statuses)

    def before(asked: Asked) -> Answer | None:
        return Answer(left.pop(0), {"detail": "no"}) if left and asked.path.endswith("/executed") else None

    found, expected = await fields_of(name, Succeeds, service, caplog, before)

    assert found == expected


async def test_report_that_the_service_did_not_take_in_time(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture
) -> None:
    expected = put(service, "Succeeds")
    service.before = lambda asked: Answer(503) if asked.path.endswith("/executed") else None
    runtime = make_runtime(service, Succeeds, grace_period=0)
    async with running(runtime):
        await eventually(lambda: runtime.stats().report_retries)

    record = event(caplog, "report_failed")
    assert record is not None
    assert fields(record) == expected


async def test_field_that_is_not_known_is_left_out(service: FakeStateManager, caplog: pytest.LogCaptureFixture) -> None:
    service.put_state("Fails")
    async with running(make_runtime(service, Fails)):
        record = await eventually(lambda: event(caplog, "state_errored"))

    assert not {"exosphere_graph", "exosphere_run_id", "exosphere_attempt"} & fields(record).keys()


async def test_state_of_an_earlier_run_has_what_the_journal_knows(
    service: FakeStateManager, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Journal(tmp_path / "journal.db", "ns") as journal:
        await journal.claimed(["unfinished"])
        await journal.outcome(outcomes.executed("finished", [], (), 0, {}))
    service.before = lambda asked: Answer(404, {"detail": "no"}) if "/state/" in asked.path else None
    runtime = make_runtime(service, Succeeds, journal=tmp_path / "journal.db")
    async with running(runtime):
        await eventually(lambda: runtime.stats().refused == 2)

    found = [fields(record) for record in caplog.records if record.getMessage().startswith("event=report_failed ")]
    assert sorted(found, key=lambda each: each["exosphere_state_id"]) == [
        {"exosphere_namespace": "ns", "exosphere_state_id": "finished"},
        {"exosphere_namespace": "ns", "exosphere_state_id": "unfinished"},
    ]


class NeverEnds:
    async def execute(self, _state: ClaimedState, _is_given_up: object) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError


async def test_lost_lease_and_states_that_are_handed_back(caplog: pytest.LogCaptureFixture) -> None:
    outbox, counters = Outbox(), Counters()
    workers = WorkerPool(NeverEnds(), outbox, counters, namespace="ns", nodes={"N": Succeeds}, count=2, most_ahead=4)
    states = [
        ClaimedState(
            state_id=f"{number}", node_name="N", identifier=f"step{number}", inputs={}, created_at=datetime.now(UTC)
        )
        for number in range(5)
    ]
    workers.start()
    workers.add(states)
    await eventually(lambda: counters.running == 2)
    for state_id in ("0", "3"):  # executing, waiting
        workers.lose(state_id)
    await eventually(lambda: counters.running == 2 and counters.waiting == 1)
    workers.hand_back_waiting()
    await workers.stop()

    lost = [fields(record) for record in caplog.records if record.getMessage().startswith("event=lease_lost ")]
    assert [each["exosphere_state_id"] for each in lost] == ["0", "3"]
    assert [each["exosphere_identifier"] for each in lost] == ["step0", "step3"]
    back = {outcome.state_id: outcome.fields and outcome.fields["exosphere_identifier"] for outcome in outbox.outcomes}
    assert back == {"1": "step1", "2": "step2", "4": "step4"}


def log_calls_about_states() -> list[tuple[str, ast.Call]]:
    calls = []
    for path in SOURCES:
        for part in ast.walk(ast.parse(path.read_text())):
            if isinstance(part, ast.Call) and part.args and isinstance(part.args[0], ast.Constant):
                text = part.args[0].value
                if isinstance(text, str) and text.startswith("event=") and "state_id=" in text:
                    calls.append((f"{path.name}:{part.lineno}", part))
    return calls


def test_no_record_about_a_state_is_without_fields() -> None:
    calls = log_calls_about_states()

    assert len(calls) >= 8
    assert [where for where, call in calls if "extra" not in {keyword.arg for keyword in call.keywords}] == []


async def test_idle_runtime_says_nothing(service: FakeStateManager, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "exospherehost"):
        async with running(make_runtime(service, Succeeds)):
            await eventually(lambda: len(service.claims) >= 8)
            ours = [record for record in caplog.records if record.name.startswith("exospherehost")]

    assert [record.getMessage().split()[0] for record in ours] == ["event=runtime_started"]
