"""The benchmarks run, and count what they say they count; nothing here is about speed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.arms import ALL_EXTENSIONS, Program, bare_loop, ours
from benchmarks.chain import STEPS, measure_on_the_embedded_server
from benchmarks.latency import measure_arrivals
from benchmarks.load import under_endless_load, working_off

ROOT = Path(__file__).resolve().parents[3]
FEW = {"batch_size": 8, "workers": 4}


def test_a_benchmark_prints_a_table_and_writes_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    command = (sys.executable, "-m", "benchmarks", "embedded", "--quick", "--without-published", "--json", path)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Held equal:" in done.stdout
    (row,) = json.loads(path.read_text(encoding="utf-8"))
    assert row["benchmark"] == "embedded"
    assert row["row"] == "best, with over without extensions"
    assert (row["of"], row["to"]) == ("ours, best", "ours, best, no extensions")
    assert len(row["values"]) == len(row["to_values"]) == len(row["ratios"]) == 1
    assert row["ratio"] == pytest.approx(row["values"][0] / row["to_values"][0])
    assert (row["goal"], row["met"]) == (None, None)
    assert row["held_equal"]
    assert row["checks"] == {"states put in, and ended, in each measurement": 400}


def test_an_unknown_benchmark_is_refused_by_name() -> None:
    command = (sys.executable, "-m", "benchmarks", "nonsense")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "no such benchmark: nonsense; there are: throughput" in done.stderr


@pytest.mark.parametrize("extensions", [(), ALL_EXTENSIONS], ids=["no extensions", "all extensions"])
def test_every_state_that_goes_in_is_reported_once(extensions: tuple[str, ...]) -> None:
    reading = working_off(ours(arguments=FEW, nodes=("Guarded",)), 300, extensions=extensions)
    assert reading["reported"] == reading["states"] == 300


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "together"])
def test_a_bare_loop_does_the_work_that_it_stands_for(together: bool) -> None:
    program = bare_loop("socket", together=together, node=True, lanes=2, claim=8)
    reading = under_endless_load(program, extensions=("batch-report",), warm_up=0, seconds=0.1)
    requests = 2 / 8 if together else 1 + 1 / 8
    assert reading["requests/state"] == pytest.approx(requests, rel=0.5)


@pytest.mark.parametrize(
    "program",
    [ours(nodes=("Timed",)), bare_loop("socket", claim=1, lanes=1, wait=True, nodes=("Timed",))],
    ids=["ours", "bare loop"],
)
def test_a_latency_is_noted_for_each_arrival(program: Program) -> None:
    arrivals = {"rate": 100.0, "count": 5, "seed": 1, "steps": ["Timed"]}
    reading = measure_arrivals(program, ("wait",), arrivals, settle=0)
    assert 0 < reading["p50 ms"] <= reading["p99 ms"]


def test_a_run_of_a_chain_goes_through_all_steps_on_both_servers() -> None:
    program = ours(nodes=STEPS)
    runs = {"pauses": (0, 0.01), "count": 2, "seed": 1, "steps": STEPS}
    in_memory = measure_arrivals(program, ALL_EXTENSIONS, runs, settle=0)
    embedded = measure_on_the_embedded_server(program, (), 2, seed=1)
    for reading in (in_memory, embedded):
        assert 0 < reading["p50 ms"] <= reading["p99 ms"]
