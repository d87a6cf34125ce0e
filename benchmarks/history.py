"""What a million finished states in the database change: nothing, or something grows that must not."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.graphs import SPACE, put_chain, trigger
from benchmarks.measure import Arm, Goal, Ratio, Reading, Table, fill, measure, quantile
from benchmarks.plan import Plan
from benchmarks.processes import KEY, MeasurementError, Server

EMPTY, FULL = "empty", "full"
_MOST = Goal(1.2, at_most=True)
_OPERATIONS = ("trigger", "claim", "report", "claim in vain", "list of runs", "run graph")
_LEAST_ROUNDS = 5
_HELD_EQUAL = (
    "the server (the embedded one on SQLite, its default durability), its core, the requests (one at a time, on one "
    "connection), the graph (two steps). Both servers run all the time, and take turns every {count} runs; what the "
    "measurement itself adds is the same in both"
)


def run(plan: Plan) -> Table:
    """Measure it."""
    runs = int(plan.of(500_000, 500))
    count = int(plan.of(60, 5))
    rounds = max(plan.rounds, _LEAST_ROUNDS)
    table = Table("history", f"{2 * runs:,} finished states over none", _HELD_EQUAL.format(count=count))
    with tempfile.TemporaryDirectory() as folder:
        plan.say(f"filling a database with {2 * runs:,} finished states")
        fill_with_history(Path(folder, "full.db"), runs)
        with database_server(Path(folder, "empty.db")) as empty, database_server(Path(folder, "full.db")) as full:
            put_chain(empty, "First", "Second")
            for server in (empty, full):
                measure_operations(server, count)
            found = full.call("GET", f"{SPACE}/runs/1/1")["total"] - empty.call("GET", f"{SPACE}/runs/1/1")["total"]
            # One run stood model for the others.
            table.checks["finished runs that one has and the other has not"] = found
            if found != runs + 1:
                raise MeasurementError(f"the full database has {found} runs more than the empty one, not {runs + 1}")
            arms = [
                Arm(EMPTY, lambda _round: measure_operations(empty, count)),
                Arm(FULL, lambda _round: measure_operations(full, count)),
            ]
            readings = measure(arms, rounds, plan.say)
    ratios = [
        Ratio(
            f"{operation}, {metric[:3]}",
            FULL,
            EMPTY,
            f"{operation}, {metric}",
            _MOST if operation in {"claim", "report", "list of runs"} else None,
        )
        for operation in _OPERATIONS
        for metric in ("p50 ms", "p99 ms")
    ]
    return fill(table, ratios, readings)


@contextlib.contextmanager
def database_server(path: Path) -> Iterator[Server]:
    """Run the embedded server on a database."""
    with Server("embedded_server", str(path), KEY, "") as server:
        yield server


def fill_with_history(path: Path, runs: int) -> None:
    """Make a database with so many finished runs of two states: copies of one that the server itself has run."""
    with database_server(path) as server:
        put_chain(server, "First", "Second")
        measure_operations(server, 1)
    connection = sqlite3.connect(path, isolation_level=None)
    with contextlib.closing(connection):
        # Only the filling: the file is as durable as any from then on.
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("BEGIN")
        last_run, last_state = (
            connection.execute(f"SELECT max(key) FROM {table}").fetchone()[0]  # noqa: S608 - two names of ours
            for table in ("runs", "states")
        )
        # Ids below all that the server makes, as those of the past are.
        _copy(
            connection,
            "runs",
            {"key": f"{last_run} + n.i", "id": "printf('%08x-0000-4000-8000-%012x', n.i, n.i)"},
            f"original.key = {last_run}",
            runs,
        )
        first = f"(original.key = {last_state})"
        _copy(
            connection,
            "states",
            {
                "key": f"{last_state} + 2 * n.i - 1 + {first}",
                "id": f"printf('%024x', 2 * n.i + {first})",
                "run_key": f"{last_run} + n.i",
            },
            f"original.run_key = {last_run}",
            runs,
        )
        connection.execute("UPDATE run_totals SET total = total + ?", (runs,))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _copy(connection: sqlite3.Connection, table: str, given: dict[str, str], which: str, times: int) -> None:
    """Copy rows of a table so many times, whatever columns it has, but for those that are given."""
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    values = ", ".join(given.get(name, f'original."{name}"') for name in columns)
    names = ", ".join(f'"{name}"' for name in columns)
    connection.execute(
        f"INSERT INTO {table} ({names}) "  # noqa: S608 - all of it is ours
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        f"SELECT {values} FROM n, {table} AS original WHERE {which}",
        (times,),
    )


def measure_operations(server: Server, count: int) -> Reading:
    """Take so many runs from trigger to end, one request after the other, and time each kind of request."""
    took: dict[str, list[float]] = {operation: [] for operation in _OPERATIONS}

    def timed(operation: str, request: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        answer = request()
        took[operation].append((time.perf_counter() - began) * 1_000)
        return answer

    claim = {"nodes": ["First", "Second"], "batch_size": 1, "lease_ms": 60_000}
    for _ in range(count):
        run_id = timed("trigger", lambda: trigger(server, "some text to work on"))
        for _step in range(2):
            (state,) = timed("claim", lambda: server.call("POST", f"{SPACE}/states/enqueue", claim))["states"]
            path = f"{SPACE}/state/{state['state_id']}/executed"
            body = {"outputs": [{"text": "some text to work on"}]}
            timed("report", partial(server.call, "POST", path, body))
        if timed("claim in vain", lambda: server.call("POST", f"{SPACE}/states/enqueue", claim))["states"]:
            raise MeasurementError("a state is due that nobody triggered")
        timed("list of runs", lambda: server.call("GET", f"{SPACE}/runs/1/20"))
        graph = timed("run graph", partial(server.call, "GET", f"{SPACE}/states/run/{run_id}/graph"))
        if graph["execution_summary"]["SUCCESS"] != 2:
            raise MeasurementError(f"a run ended as {graph['execution_summary']}")
    return {
        f"{operation}, p{share} ms": quantile(times, share / 100)
        for operation, times in took.items()
        for share in (50, 99)
    }
