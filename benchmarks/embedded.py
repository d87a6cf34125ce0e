"""Throughput on the embedded server, for the record: there the server is what limits."""

from __future__ import annotations

from benchmarks.arms import ALL_EXTENSIONS, BEST, Program, ours, runtime
from benchmarks.graphs import embedded_server, fan_out, wait_for_run
from benchmarks.measure import Arm, Ratio, Reading, Table, fill, measure
from benchmarks.plan import Plan
from benchmarks.processes import MeasurementError

_HELD_EQUAL = (
    "the server (the embedded one on SQLite, its default durability, a new database for each measurement, a process "
    "of its own on its own core), the states (outputs of one state that fanned out), the nodes, the Python version, "
    "the client's core. "
    "Timed from when the first states were seen to have ended, those not counted, to the end of the run"
)
_RATIOS = (
    Ratio("defaults", "ours, defaults", "published, best", "states/s"),
    Ratio("best, no extensions", "ours, best, no extensions", "published, best", "states/s"),
    Ratio("best", "ours, best", "published, best", "states/s"),
    Ratio("best, with over without extensions", "ours, best", "ours, best, no extensions", "states/s"),
)


def run(plan: Plan) -> Table:
    """Measure it."""
    states = int(plan.of(5_000, 400))

    def arm(name: str, program: Program, without: tuple[str, ...] = ()) -> Arm:
        return Arm(name, lambda _: _measure(program, states, without))

    arms = [
        arm("ours, defaults", ours()),
        arm("ours, best", ours(arguments=BEST)),
        arm("ours, best, no extensions", ours(arguments=BEST), ALL_EXTENSIONS),
    ]
    if plan.published is not None:
        arms.append(arm("published, best", runtime(plan.published, arguments=BEST)))
    table = Table("embedded", f"{states:,} no-op states on the embedded server", _HELD_EQUAL)
    readings = measure(arms, plan.rounds, plan.say)
    table.checks["states put in, and ended, in each measurement"] = states
    return fill(table, _RATIOS, readings)


def _measure(program: Program, states: int, without: tuple[str, ...]) -> Reading:
    with embedded_server(without) as server:
        fan_out(server, states, "Work")
        with program.on(server.url) as client:
            # What the program needs to start is no part of it, nor what was done when the first end was seen.
            first = wait_for_run(server, lambda run: run["success_count"] > states)
            cpu = client.sample()["cpu"]
            last = wait_for_run(server, lambda run: run["pending_count"] == 0)
            cpu = client.sample()["cpu"] - cpu
    if last.run["success_count"] != 2 * states:
        raise MeasurementError(f"{states} states went in, and the run ended as {last.run}")
    left = 2 * states - first.run["success_count"]
    if not left:
        raise MeasurementError(f"{states} states are too few: they were done when the first was seen")
    return {"states/s": left / (last.at - first.at), "CPU µs/state": cpu / left * 1e6}
