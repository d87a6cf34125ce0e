"""Durable steps a second, end to end, against what a user would pick instead on the same machine."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import environments, stores
from benchmarks.arms import BEST, has
from benchmarks.graphs import SPACE
from benchmarks.measure import Arm, Goal, Ratio, Reading, Table, fill, measure
from benchmarks.plan import Plan
from benchmarks.processes import KEY, MeasurementError, Process, Server

_PEERS = Path(__file__).parent / "peers"
_WARM_UP = 20
_CORES = 2
CHAIN, FAN = "chain: steps/s", "fan-out: steps/s"

_HELD_EQUAL = (
    "the work (no-op steps: two in a chain, or a start, a split, {width:,} at once and a join), the disk, the Python "
    "version, at most two cores, which all processes of an arm share as the system likes, the way of measuring: from "
    "the first trigger until the tool's own store has every run as ended; each run triggered by a call of its own, "
    "from a process beside the workers but for DBOS, which has one process; {warm_up} runs before, not counted. Each "
    "arm is given so many runs that it takes seconds"
)
SETTINGS = {
    "ours": "one server (or as many as there are replicas), each with one runtime process, batch_size 64, workers 64, "
    "lease 60 s, uvloop; triggers over pyreqwest, 32 at a time",
    "SQLite": "WAL, synchronous FULL, for ours, DBOS (“as it comes”: rollback journal, FULL) and huey (fsync=True)",
    "PostgreSQL": "its own defaults: fsync and synchronous_commit on",
    "Redis": "append-only file, fsync every second or always, no snapshots",
    "DBOS": "async workflows of steps, 32 at a time, uvloop, started directly rather than through a queue",
    "Celery": "acks late, two worker processes, result backend on the same Redis",
    "taskiq": "streams, one worker process with 100 tasks at a time, uvloop, acknowledged once the result is saved",
    "Procrastinate": "one worker process, 16 jobs at a time, LISTEN/NOTIFY, uvloop",
    "huey": "four worker threads, results stored; it deletes a task when it is dequeued, so it may lose one",
}
_NO_JOIN = (
    "taskiq and Procrastinate have no join: their fan-out is a split and the parts. Celery's and huey's split is done "
    "by the program that triggers. What is left out is not counted as a step either"
)


@dataclass(frozen=True)
class Tool:
    """One of the things to choose from.

    Attributes:
        name: as it stands in the table.
        started: runs all that it needs, and gives the process that takes jobs, ready for the first.
        chains: how many chains it is given.
        fans: how many fan-outs.
    """

    name: str
    started: Callable[[], AbstractContextManager[Process]]
    chains: int
    fans: int = 1


def run(plan: Plan) -> Table:
    """Measure it."""
    width = int(plan.of(1_000, 20))
    table = Table("durable", "durable steps, end to end", _HELD_EQUAL.format(width=width, warm_up=_WARM_UP))
    tools = [*_ours(table), *_others(plan, table)]
    with _two_cores():
        readings = measure([_arm(tool, plan, width) for tool in tools], plan.rounds, plan.say)
    table.notes += [f"{name}: {said}" for name, said in SETTINGS.items()]
    table.notes.append(_NO_JOIN)
    table.checks["arms, each of whose runs was verified in its own store"] = len(tools)
    return fill(table, _ratios([tool.name for tool in tools]), readings)


def _ratios(names: list[str]) -> list[Ratio]:
    sqlite, postgres = "ours, SQLite", "ours, PostgreSQL"
    goals = {
        (sqlite, "DBOS, SQLite WAL"): Goal(10),
        (sqlite, "DBOS, SQLite as it comes"): Goal(10),
        (sqlite, "Celery, Redis, AOF every second"): Goal(4),
        (sqlite, "taskiq, Redis, AOF every second"): Goal(2.5),
        (sqlite, "huey, SQLite"): Goal(1),
        (postgres, "DBOS, PostgreSQL"): Goal(8),
        (postgres, "Procrastinate, PostgreSQL"): Goal(4),
    }
    ratios: list[Ratio] = []
    for metric in (CHAIN, FAN):
        shape = metric.split(":")[0]
        for name in names:
            ours = postgres if "PostgreSQL" in name else sqlite
            if name in {sqlite, postgres}:
                continue
            if name.startswith("ours"):
                ratios.append(Ratio(f"{shape}: {name}, over {ours}", name, ours, metric))
            else:
                ratios.append(Ratio(f"{shape}: {ours}, over {name}", ours, name, metric, goals.get((ours, name))))
        ratios.append(Ratio(f"{shape}: {sqlite}, over {postgres}", sqlite, postgres, metric))
    return ratios


def _ours(table: Table) -> list[Tool]:
    tools = [
        Tool("ours, SQLite", lambda: ours_on_sqlite("full"), 2_000, 3),
        Tool("ours, SQLite, NORMAL", lambda: ours_on_sqlite("normal"), 2_000, 3),
        Tool("ours, SQLite, triggers through StateManager", lambda: ours_on_sqlite("full", manager=True), 1_000, 1),
    ]
    if stores.find_postgres() is None:
        table.notes.append("without PostgreSQL: the package postgresql is not installed")
    elif not has("psycopg"):
        table.notes.append("without ours on PostgreSQL: its driver is not installed (pip install '.[postgres]')")
    else:
        tools += [
            Tool("ours, PostgreSQL", lambda: ours_on_postgres(1), 1_000),
            Tool("ours, PostgreSQL, 2 replicas", lambda: ours_on_postgres(2), 1_000),
        ]
    return tools


def _others(plan: Plan, table: Table) -> list[Tool]:
    has_redis, has_postgres = stores.find_redis() is not None, stores.find_postgres() is not None
    if not has_redis:
        table.notes.append("without Redis: the package redis-server is not installed")
    tools: list[Tool] = []
    if (python := environments.peer_python("dbos", plan.say)) is not None:
        tools += [
            Tool("DBOS, SQLite WAL", lambda: _dbos_on_sqlite(python, "wal"), 300),
            Tool("DBOS, SQLite as it comes", lambda: _dbos_on_sqlite(python, ""), 300),
        ]
        if has_postgres:
            tools.append(Tool("DBOS, PostgreSQL", lambda: _dbos_on_postgres(python), 300))
    for fsync, words in (("everysec", "every second"), ("always", "always")):
        if has_redis:
            tools += _on_redis(plan, fsync, words)
    if (procrastinate := environments.peer_python("procrastinate", plan.say)) is not None and has_postgres:
        tools.append(Tool("Procrastinate, PostgreSQL", lambda: _procrastinate(procrastinate), 400))
    if (huey := environments.peer_python("huey", plan.say)) is not None:
        tools.append(Tool("huey, SQLite", lambda: _huey_on_sqlite(huey), 1_000))
    return tools


def _on_redis(plan: Plan, fsync: str, words: str) -> list[Tool]:
    tools: list[Tool] = []
    if (celery := environments.peer_python("celery", plan.say)) is not None:
        tools.append(Tool(f"Celery, Redis, AOF {words}", lambda: _celery(celery, fsync), 500))
    if (taskiq := environments.peer_python("taskiq", plan.say)) is not None:
        tools.append(Tool(f"taskiq, Redis, AOF {words}", lambda: _taskiq(taskiq, fsync), 800))
    huey = environments.peer_python("huey", plan.say)
    if huey is not None and fsync == "everysec":
        tools.append(Tool(f"huey, Redis, AOF {words}", lambda: _huey_on_redis(huey, fsync), 1_000))
    return tools


def _arm(tool: Tool, plan: Plan, width: int) -> Arm:
    return Arm(
        tool.name,
        lambda _round: measure_tool(tool, int(plan.of(tool.chains, _WARM_UP)), int(plan.of(tool.fans, 1)), width),
    )


def measure_tool(tool: Tool, chains: int, fans: int, width: int) -> Reading:
    """Have a tool do chains and fan-outs, and see that it has done all of them.

    Args:
        tool: what is measured.
        chains: how many runs of two steps.
        fans: how many runs that fan out.
        width: how wide they do.
    """
    with tool.started() as driver:
        _do(driver, "chain", _WARM_UP, 0)
        return {CHAIN: _do(driver, "chain", chains, 0), FAN: _do(driver, "fan", fans, width)}


def _do(driver: Process, shape: str, runs: int, width: int) -> float:
    driver.write_line(json.dumps({"shape": shape, "runs": runs, "width": width}))
    outcome = json.loads(driver.read_line())
    if outcome["done"] != outcome["wanted"]:
        raise MeasurementError(f"of {outcome['wanted']} steps {outcome['done']} were done")
    steps: int = outcome["done"]
    seconds: float = outcome["seconds"]
    return steps / seconds


@contextlib.contextmanager
def _two_cores() -> Iterator[None]:
    if not hasattr(os, "sched_getaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(before)[:_CORES]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def _peer(python: str, program: str, settings: dict[str, Any]) -> Iterator[Process]:
    """A program of `peers/`, once it has said that it is there."""
    with Process((python, _PEERS / program, json.dumps(settings)), None, _PEERS) as process:
        process.read_line()
        yield process


def _loaded(python: str, command: tuple[str, ...], settings: dict[str, Any]) -> Process:
    """A process that loads a module of `peers/`, which finds its settings in the environment."""
    return Process((python, *command), None, _PEERS, variables={"BENCH_SETTINGS": json.dumps(settings)})


# ---- ours ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def ours_on_sqlite(synchronous: str, *, manager: bool = False) -> Iterator[Process]:
    """One server on a new SQLite database, one runtime process, and a process that triggers."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Server("embedded_server", str(Path(folder, "bench.db")), KEY, "", synchronous, core=None) as server,
        _runtime_and_driver([server], manager=manager) as driver,
    ):
        yield driver


@contextlib.contextmanager
def ours_on_postgres(replicas: int) -> Iterator[Process]:
    """So many servers on a new PostgreSQL, a runtime process for each, and a process that triggers at all of them."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(stores.postgres())
        servers = [
            stack.enter_context(Server("embedded_server", url, KEY, "", core=None)) for _replica in range(replicas)
        ]
        yield stack.enter_context(_runtime_and_driver(servers))


@contextlib.contextmanager
def _runtime_and_driver(servers: list[Server], *, manager: bool = False) -> Iterator[Process]:
    put_graphs(servers[0])
    program = "durable_ours.py"
    arguments = {name: BEST[name] for name in ("batch_size", "workers")}
    with contextlib.ExitStack() as stack:
        for server in servers:
            working = {"url": server.url, "key": KEY, "role": "runtime", "arguments": arguments}
            stack.enter_context(_peer(sys.executable, program, working))
        urls = ",".join(server.url for server in servers)
        driving = {"url": urls, "key": KEY, "role": "driver", "manager": manager}
        yield stack.enter_context(_peer(sys.executable, program, driving))


def put_graphs(server: Server) -> None:
    """Store the two graphs; the runtime need not have started."""
    text = {"type": "object", "properties": {"text": {"type": "string"}}}
    names = ("First", "Second", "Start", "Split", "Each", "Join")
    nodes = [{"name": name, "inputs_schema": text, "outputs_schema": text, "secrets": []} for name in names]
    server.call("PUT", f"{SPACE}/nodes/", {"runtime_name": "durable", "nodes": nodes})
    _put(server, "chain", ("First", "Second"))
    _put(server, "fan", ("Start", "Split", "Each", "Join"), {"Join": "Start"})


def _put(server: Server, graph: str, names: tuple[str, ...], unites: dict[str, str] | None = None) -> None:
    united = unites or {}
    nodes: list[dict[str, Any]] = []
    for place, name in enumerate(names):
        source = united.get(name) or (names[place - 1] if place else "")
        node: dict[str, Any] = {
            "node_name": name,
            "namespace": "bench",
            "identifier": name,
            "inputs": {"text": f"${{{{{source}.outputs.text}}}}" if source else ""},
            "next_nodes": list(names[place + 1 : place + 2]),
        }
        if name in united:
            node["unites"] = {"identifier": united[name]}
        nodes.append(node)
    stored = server.call("PUT", f"{SPACE}/graph/{graph}", {"secrets": {}, "nodes": nodes})
    if stored["validation_status"] != "VALID":
        raise MeasurementError(f"the graph is not valid: {stored['validation_errors']}")


# ---- the others ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _dbos_on_sqlite(python: str, journal: str) -> Iterator[Process]:
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder, "dbos.db"))
        settings = {"url": f"sqlite:///{file}", "file": file, "journal": journal}
        with _peer(python, "durable_dbos.py", settings) as driver:
            yield driver


@contextlib.contextmanager
def _dbos_on_postgres(python: str) -> Iterator[Process]:
    with stores.postgres() as url, _peer(python, "durable_dbos.py", {"url": url, "journal": ""}) as driver:
        yield driver


@contextlib.contextmanager
def _worker_and_driver(
    python: str, program: str, worker: tuple[str, ...], settings: dict[str, Any]
) -> Iterator[Process]:
    with (
        _loaded(python, ("-m", *worker), settings),
        _loaded(python, (str(_PEERS / program),), settings) as driver,
    ):
        driver.read_line()
        yield driver


@contextlib.contextmanager
def _celery(python: str, fsync: str) -> Iterator[Process]:
    worker = ("celery", "-q", "-A", "durable_celery", "worker", "-c", "2", "-l", "error")
    with (
        stores.redis(fsync) as url,
        _worker_and_driver(python, "durable_celery.py", worker, {"url": url}) as driver,
    ):
        yield driver


@contextlib.contextmanager
def _taskiq(python: str, fsync: str) -> Iterator[Process]:
    worker = ("taskiq", "worker", "durable_taskiq:broker", "--workers", "1", "--log-level", "ERROR")
    with (
        stores.redis(fsync) as url,
        _worker_and_driver(python, "durable_taskiq.py", worker, {"url": url}) as driver,
    ):
        yield driver


@contextlib.contextmanager
def _procrastinate(python: str) -> Iterator[Process]:
    worker = ("procrastinate", "-a", "durable_procrastinate.app", "worker", "-c", "16")
    with stores.postgres() as url:
        settings = {"url": url}
        with _loaded(python, (str(_PEERS / "durable_procrastinate.py"),), settings) as driver:
            # The driver makes the tables that the worker looks for.
            driver.read_line()
            with _loaded(python, ("-m", *worker), settings):
                yield driver


@contextlib.contextmanager
def _huey_on_sqlite(python: str) -> Iterator[Process]:
    with tempfile.TemporaryDirectory() as folder:
        settings = {"url": "", "file": str(Path(folder, "huey.db"))}
        with _worker_and_driver(python, "durable_huey.py", _HUEY, settings) as driver:
            yield driver


@contextlib.contextmanager
def _huey_on_redis(python: str, fsync: str) -> Iterator[Process]:
    with (
        stores.redis(fsync) as url,
        _worker_and_driver(python, "durable_huey.py", _HUEY, {"url": url}) as driver,
    ):
        yield driver


_HUEY = ("huey.bin.huey_consumer", "durable_huey.huey", "-w", "4", "-k", "thread", "-q")
