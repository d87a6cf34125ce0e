"""A chain of three nodes, end to end: from the trigger to the first line of the last node."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from benchmarks.arms import ALL_EXTENSIONS, Program, ours, runtime
from benchmarks.graphs import embedded_server, put_chain, trigger
from benchmarks.latency import measure_arrivals
from benchmarks.measure import Arm, Ratio, Reading, Table, fill, measure, quantile
from benchmarks.plan import Plan
from benchmarks.processes import MeasurementError

STEPS = ("First", "Second", "Third")
_PAUSES = (0.02, 0.4)
_PATIENCE_SECONDS = 60.0
_HELD_EQUAL = (
    "the graph (three nodes in a row that pass on a text), runs one at a time, the pauses between them (20 to 400 ms, "
    "at random, from one seed for all arms of a round), the server, the Python version, the cores, each SDK's default "
    "settings"
)
_RATIOS = tuple(
    Ratio(f"{server}: published over {name}, {metric[:3]}", f"{server}: published", f"{server}: {name}", metric)
    for server in ("in memory", "embedded")
    for name in ("ours", "ours, no extensions")
    for metric in ("p50 ms", "p99 ms")
)


def run(plan: Plan) -> Table:
    """Measure it."""
    count = int(plan.of(12, 2))
    settle = plan.of(2, 1)
    us = ours(nodes=STEPS)
    programs: dict[str, tuple[Program, tuple[str, ...]]] = {
        "ours": (us, ALL_EXTENSIONS),
        "ours, no extensions": (us, ()),
    }
    if plan.published is not None:
        programs["published"] = (runtime(plan.published, nodes=STEPS), ())

    def in_memory(name: str, program: Program, extensions: Sequence[str]) -> Arm:
        plan_of_runs = {"pauses": _PAUSES, "count": count, "steps": STEPS}
        return Arm(
            f"in memory: {name}",
            lambda number: measure_arrivals(program, extensions, {**plan_of_runs, "seed": number}, settle),
        )

    def embedded(name: str, program: Program, extensions: Sequence[str]) -> Arm:
        without = tuple(extension for extension in ALL_EXTENSIONS if extension not in extensions)
        return Arm(f"embedded: {name}", lambda number: measure_on_the_embedded_server(program, without, count, number))

    arms = [
        kind(name, program, extensions)
        for kind in (in_memory, embedded)
        for name, (program, extensions) in programs.items()
    ]
    table = Table("chain", "three steps end to end, per run", _HELD_EQUAL)
    readings = measure(arms, plan.rounds, plan.say)
    table.checks["runs that were started, and ended, in each measurement"] = count
    return fill(table, _RATIOS, readings)


def measure_on_the_embedded_server(program: Program, without: Sequence[str], count: int, seed: int) -> Reading:
    """Trigger runs one after the other, and take what the client noted.

    Args:
        program: the client; it notes, for each run, how long after its trigger its last node started.
        without: extensions that the server does not offer.
        count: how many runs.
        seed: of the pauses between them.
    """
    pauses = random.Random(seed)  # noqa: S311 - no secret
    latencies: list[int] = []
    with embedded_server(without) as server:
        put_chain(server, *STEPS)
        with program.on(server.url) as client:
            # A first run, which is not counted, shows that the client is there.
            for number in range(count + 1):
                trigger(server, str(time.monotonic_ns()))
                limit = time.monotonic() + _PATIENCE_SECONDS
                while len(latencies := client.sample()["latencies"]) <= number:
                    if time.monotonic() > limit:
                        raise MeasurementError(f"run {number} did not reach its last node")
                    time.sleep(0.01)
                time.sleep(pauses.uniform(*_PAUSES))
    milliseconds = [latency / 1e6 for latency in latencies[1:]]
    return {"p50 ms": quantile(milliseconds, 0.5), "p99 ms": quantile(milliseconds, 0.99)}
