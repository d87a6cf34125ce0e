"""The benchmarks of the server run, and count what they say they count; nothing here is about speed."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.durable import CHAIN, FAN, Tool, measure_tool, ours_on_sqlite
from benchmarks.history import database_server, fill_with_history, measure_operations
from benchmarks.processes import MeasurementError, Process
from benchmarks.waiters import measure_waiters

LIAR = (
    "import sys\n"
    "for line in sys.stdin:\n"
    "    print('{\"seconds\": 1.0, \"done\": 39, \"wanted\": 40}', flush=True)\n"
)  # fmt: skip


@pytest.mark.parametrize("manager", [False, True], ids=["bare triggers", "triggers by StateManager"])
def test_chains_and_fan_outs_are_done_to_the_last_step(manager: bool) -> None:
    tool = Tool("ours", lambda: ours_on_sqlite("full", manager=manager), chains=3, fans=2)
    reading = measure_tool(tool, chains=3, fans=2, width=5)
    assert reading[CHAIN] > 0
    assert reading[FAN] > 0


def test_a_tool_that_has_not_done_all_is_no_figure() -> None:
    @contextlib.contextmanager
    def started() -> Iterator[Process]:
        with Process((sys.executable, "-c", LIAR), None) as process:
            yield process

    with pytest.raises(MeasurementError, match="of 40 steps 39 were done"):
        measure_tool(Tool("liar", started, chains=1), chains=1, fans=1, width=1)


def test_the_history_is_of_runs_that_look_like_the_servers_own(tmp_path: Path) -> None:
    fill_with_history(tmp_path / "full.db", 10)
    with database_server(tmp_path / "full.db") as server:
        reading = measure_operations(server, 2)
        listed = server.call("GET", "/v0/namespace/bench/runs/1/100")
    assert all(reading[f"{operation}, p50 ms"] > 0 for operation in ("trigger", "claim", "report"))
    assert listed["total"] == 1 + 10 + 2
    assert {(run["status"], run["success_count"]) for run in listed["runs"]} == {("SUCCESS", 2)}
    assert len({run["run_id"] for run in listed["runs"]}) == 13
    with contextlib.closing(sqlite3.connect(tmp_path / "full.db")) as connection:
        of_run = connection.execute("SELECT count(*), count(DISTINCT id) FROM states GROUP BY run_key").fetchall()
    assert of_run == [(2, 2)] * 13


def test_each_waiting_claim_is_let_in_and_each_trigger_reaches_one() -> None:
    reading = asyncio.run(measure_waiters(8, triggers=12, idle=0.1))
    assert 0 < reading["p50 ms"] <= reading["p99 ms"]
    assert reading["KiB/waiter"] >= 0
