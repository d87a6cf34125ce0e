"""Spans and metrics through OpenTelemetry's API; nothing of it where that is not installed.

What a program configures for OpenTelemetry holds for its whole process, so each program here has one of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests._support.fake_state_manager import FakeStateManager
from tests._support.runtimes import KEY

ROOT = Path(__file__).parents[3]
SECRET = "a-secret-value-0123456789"
GRAPH = {"graph_name": "graph", "run_id": "run", "attempt": 2}

NODES = """
import asyncio, json, logging, sys, threading
from datetime import timedelta
from pydantic import BaseModel
from exospherehost import BaseNode, PruneSignal, ReQueueAfterSignal, Runtime

logging.getLogger().addHandler(logging.NullHandler())

class Succeeds(BaseNode):
    async def execute(self): await user_work("async")

class InThread(BaseNode):
    def execute(self): asyncio.run(user_work("thread"))

class Fails(BaseNode):
    class Secrets(BaseModel):
        token: str
    async def execute(self): raise ValueError(f"no luck with {self.secrets.token}\\nand a second line")

class Prunes(BaseNode):
    async def execute(self): raise PruneSignal({"why": "because"})

class Requeues(BaseNode):
    async def execute(self): raise ReQueueAfterSignal(timedelta(seconds=1))

class Hangs(BaseNode):
    async def execute(self): await asyncio.Event().wait()

NODES = [Succeeds, InThread, Fails, Prunes, Requeues, Hangs]

async def user_work(name): pass

async def run(done, **options):
    runtime = Runtime("ns", "rt", NODES, poll_interval=0.05, **options)
    task = asyncio.ensure_future(runtime.run())
    while not done(runtime.stats()):
        assert not task.done(), task.exception()
        await asyncio.sleep(0.01)
    runtime.stop()
    await task
    return runtime.stats()

def settled(count):
    return lambda stats: stats.succeeded + stats.errored + stats.pruned + stats.requeued >= count
"""

OBSERVED = (
    NODES
    + """
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)
metrics.set_meter_provider(MeterProvider([reader]))

async def user_work(name):
    with trace.get_tracer("user").start_as_current_span(name):
        await asyncio.sleep(0)

def seen():
    return [
        {
            "name": span.name, "kind": span.kind.name, "attributes": dict(span.attributes),
            "status": span.status.status_code.name, "description": span.status.description,
            "id": span.context.span_id, "parent": span.parent and span.parent.span_id,
            "events": [event.name for event in span.events], "scope": span.instrumentation_scope.name,
        }
        for span in spans.get_finished_spans()
    ]

def measured():
    data = reader.get_metrics_data()
    found = {}
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.data.data_points:
            value = point.count if hasattr(point, "count") else point.value
            entry = {"value": value, "unit": metric.unit, "attributes": dict(point.attributes)}
            entry["kind"] = type(metric.data).__name__
            entry["monotonic"] = getattr(metric.data, "is_monotonic", None)
            entry["bounds"] = list(getattr(point, "explicit_bounds", ()))
            found.setdefault(metric.name, []).append(entry)
    return found
"""
)


def start(service: FakeStateManager, program: str, *options: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-W", "error", *options, "-c", program],
        env={**os.environ, "EXOSPHERE_STATE_MANAGER_URI": service.uri, "EXOSPHERE_API_KEY": KEY},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def put(service: FakeStateManager, *nodes: str) -> list[str]:
    ids = []
    for node in nodes:
        ids.append(service.put_state(node, identifier=f"the-{node}"))
        service._waiting[-1].update(GRAPH)
    return ids


@pytest.fixture(scope="module")
def observed() -> Any:
    """What two runs of a runtime, begun inside a span, have told of one state of each node and of one more."""
    program = f"""{OBSERVED}
async def main():
    with trace.get_tracer("user").start_as_current_span("the-program"):
        await run(settled(5))
        during = measured()
        await run(lambda stats: stats.running == 1, grace_period=0)

asyncio.run(main())
print(json.dumps([seen(), measured()]))
"""
    with FakeStateManager() as service:
        service.secrets = {"token": SECRET}
        ids = put(service, "Succeeds", "InThread", "Fails", "Prunes", "Requeues")
        hanging = service.put_state("Hangs", identifier="the-Hangs")
        held = [state for state in service._waiting if state["state_id"] == hanging]
        service._waiting.remove(held[0])

        # The last one is due in the second run only.
        def before(asked: Any) -> None:
            if asked.path.endswith("/nodes/") and len(service.registrations) == 1:
                service._waiting.extend(held)

        service.before = before
        spans, metrics = start(service, program)
    return {"spans": {span["name"]: span for span in spans}, "count": len(spans), "metrics": metrics, "ids": ids}


NAMES = ("Succeeds", "InThread", "Fails", "Prunes", "Requeues", "Hangs")


def test_each_execution_is_one_span(observed: Any) -> None:
    spans = observed["spans"]

    assert set(spans) == {*(f"exosphere.execute {name}" for name in NAMES), "async", "thread", "the-program"}
    assert observed["count"] == len(spans)
    for name in NAMES:
        span = spans[f"exosphere.execute {name}"]
        assert (span["kind"], span["scope"]) == ("CONSUMER", "exospherehost")
        # The span that the runtime was started in would grow for months.
        assert span["parent"] is None


def test_span_tells_the_state(observed: Any) -> None:
    assert observed["spans"]["exosphere.execute Succeeds"]["attributes"] == {
        "exosphere.namespace": "ns",
        "exosphere.node": "Succeeds",
        "exosphere.identifier": "the-Succeeds",
        "exosphere.state_id": observed["ids"][0],
        "exosphere.graph": "graph",
        "exosphere.run_id": "run",
        "exosphere.attempt": 2,
        "exosphere.outcome": "executed",
    }


def test_what_the_service_does_not_tell_is_no_attribute(observed: Any) -> None:
    attributes = observed["spans"]["exosphere.execute Hangs"]["attributes"]

    assert not attributes.keys() & {"exosphere.graph", "exosphere.run_id", "exosphere.attempt"}


@pytest.mark.parametrize(("inner", "node"), [("async", "Succeeds"), ("thread", "InThread")])
def test_spans_of_the_node_are_within_it(inner: str, node: str, observed: Any) -> None:
    assert observed["spans"][inner]["parent"] == observed["spans"][f"exosphere.execute {node}"]["id"]


@pytest.mark.parametrize(
    ("node", "outcome", "status"),
    [
        ("Succeeds", "executed", "UNSET"),
        ("Fails", "errored", "ERROR"),
        ("Prunes", "pruned", "UNSET"),
        ("Requeues", "requeued", "UNSET"),
        ("Hangs", "cancelled", "UNSET"),
    ],
)
def test_span_tells_the_outcome(node: str, outcome: str, status: str, observed: Any) -> None:
    span = observed["spans"][f"exosphere.execute {node}"]

    assert (span["attributes"]["exosphere.outcome"], span["status"]) == (outcome, status)


def test_error_is_told_in_one_line_without_secrets(observed: Any) -> None:
    span = observed["spans"]["exosphere.execute Fails"]

    assert span["description"] == "ValueError: no luck with [redacted]"
    assert span["events"] == []
    assert SECRET not in json.dumps(observed)
    assert KEY not in json.dumps(observed)


COUNTERS = {
    "claimed": 6,
    "succeeded": 2,
    "errored": 1,
    "pruned": 1,
    "requeued": 2,
    "refused": 0,
    "lost_leases": 0,
    "report_retries": 0,
    "claim_failures": 0,
}


@pytest.mark.parametrize(("name", "value"), COUNTERS.items())
def test_counters_go_on_from_one_run_to_the_next_and_stay_after_it(name: str, value: int, observed: Any) -> None:
    [metric] = observed["metrics"][f"exosphere.runtime.{name}"]

    assert (metric["value"], metric["kind"], metric["monotonic"]) == (value, "Sum", True)
    assert metric["attributes"] == {"exosphere.namespace": "ns", "exosphere.runtime": "rt"}


@pytest.mark.parametrize("name", ["running", "waiting", "undelivered"])
def test_gauges_are_zero_after_the_end(name: str, observed: Any) -> None:
    [metric] = observed["metrics"][f"exosphere.runtime.{name}"]

    assert (metric["value"], metric["kind"]) == (0, "Gauge")


def test_durations_are_measured_by_node_and_outcome(observed: Any) -> None:
    metrics = observed["metrics"]["exosphere.execution.duration"]

    assert {(each["attributes"]["exosphere.node"], each["attributes"]["exosphere.outcome"]) for each in metrics} == {
        ("Succeeds", "executed"),
        ("InThread", "executed"),
        ("Fails", "errored"),
        ("Prunes", "pruned"),
        ("Requeues", "requeued"),
        ("Hangs", "cancelled"),
    }
    assert {each["value"] for each in metrics} == {1}
    assert {each["unit"] for each in metrics} == {"s"}
    # Seconds, from a millisecond to hours: the usual bounds are milliseconds.
    assert metrics[0]["bounds"][0] == 0.001
    assert metrics[0]["bounds"][-1] == 7_200


def test_gauges_tell_what_is_under_way(service: FakeStateManager) -> None:
    put(service, "Hangs", "Hangs", "Hangs")
    program = f"""{OBSERVED}
found = {{}}
def done(stats):
    if stats.running == 2:
        found.update(measured())
    return bool(found)
asyncio.run(run(done, workers=2, grace_period=0))
print(json.dumps(found))
"""
    found = start(service, program)

    assert [each["value"] for each in found["exosphere.runtime.running"]] == [2]
    assert [each["unit"] for each in found["exosphere.runtime.poll_latency"]] == ["s"]
    assert 0 < found["exosphere.runtime.poll_latency"][0]["value"] < 60


def test_runtimes_of_one_name_are_added_up(service: FakeStateManager) -> None:
    put(service, *["Hangs"] * 4)
    program = f"""{OBSERVED}
found = {{}}
async def main():
    total = {{}}
    def done(number):
        def check(stats):
            total[number] = stats.running
            if sum(total.values()) == 4 and not found:
                found.update(measured())
            return bool(found)
        return check
    await asyncio.gather(*(run(done(number), workers=2, grace_period=0) for number in range(2)))
asyncio.run(main())
print(json.dumps([found, measured()]))
"""
    during, after = start(service, program)

    assert [each["value"] for each in during["exosphere.runtime.running"]] == [4]
    assert [each["value"] for each in after["exosphere.runtime.running"]] == [0]
    assert after["exosphere.runtime.claimed"] == during["exosphere.runtime.claimed"]


def test_without_an_sdk_nothing_changes(service: FakeStateManager) -> None:
    put(service, "Succeeds", "InThread", "Prunes")
    program = f"""{NODES}
stats = asyncio.run(run(settled(3)))
loaded = [name in sys.modules for name in ("opentelemetry.trace", "opentelemetry.sdk")]
print(json.dumps([stats.succeeded, stats.pruned, *loaded]))
"""
    assert start(service, program) == [2, 1, True, False]


# As it shows where nothing of OpenTelemetry is installed, and where only another part of it is.
MISSING = {
    "nothing": "sys.modules['opentelemetry'] = None",
    "another part": "import types; sys.modules['opentelemetry'] = types.ModuleType('opentelemetry');"
    " sys.modules['opentelemetry'].__path__ = []",
}


@pytest.mark.parametrize("missing", MISSING.values(), ids=MISSING.keys())
def test_without_the_api_nothing_of_it_is_loaded_and_states_are_executed(
    missing: str, service: FakeStateManager
) -> None:
    put(service, "Succeeds", "InThread", "Prunes")
    program = f"""import sys; {missing}
{NODES}
stats = asyncio.run(run(settled(3)))
loaded = [name for name in sys.modules if name.startswith("opentelemetry.")]
print(json.dumps([stats.succeeded, stats.pruned, loaded]))
"""
    assert start(service, program) == [2, 1, []]


def test_import_and_constructor_load_nothing_of_it(service: FakeStateManager) -> None:
    program = f"""{NODES}
Runtime("ns", "rt", NODES)
print(json.dumps([name for name in sys.modules if name.startswith("opentelemetry")]))
"""
    assert start(service, program) == []


def test_fault_of_another_module_is_not_taken_for_a_missing_api(service: FakeStateManager) -> None:
    program = f"""{NODES}
sys.modules["exospherehost._runtime.opentelemetry"] = None
try:
    asyncio.run(Runtime("ns", "rt", NODES).run())
except ModuleNotFoundError as error:
    print(json.dumps(error.name))
"""
    assert start(service, program) == "exospherehost._runtime.opentelemetry"
