"""Cost against size: queued states, workers, bytes of payload; and memory over many states."""

from __future__ import annotations

from benchmarks.arms import ALL_EXTENSIONS, BEST, Program, ours, runtime
from benchmarks.load import under_endless_load, working_off
from benchmarks.measure import Arm, Goal, Ratio, Reading, Table, fill, measure
from benchmarks.plan import Plan

_HELD_EQUAL = (
    "the server (in memory, on its own core), the nodes, the Python version, the client's core; within a group all "
    "but the size that it is about"
)
_PAYLOAD_SETTINGS = {"batch_size": 4, "workers": 4, "poll_interval": 0.001}
_KIB = 1024


def run(plan: Plan) -> Table:
    """Measure it."""
    table = Table("size", "cost against size", _HELD_EQUAL)
    for group in (_queued, _workers, _payload):
        arms, ratios = group(plan)
        fill(table, ratios, measure(arms, plan.rounds, plan.say))
    _memory(plan, table)
    table.notes.append("queued: ours with the best settings on a server with all extensions, from the first state on")
    table.notes.append("workers: ours with batch_size=64 on a server with all extensions, over 4 workers")
    table.notes.append(
        f"payload: {', '.join(f'{name}={value}' for name, value in _PAYLOAD_SETTINGS.items())}, for both, no "
        "extensions; inputs and outputs each have as many bytes"
    )
    return table


def _queued(plan: Plan) -> tuple[list[Arm], list[Ratio]]:
    """A thousand states are what the others are held against."""
    sizes = [1_000, 10_000] if plan.quick else [1_000, 10_000, 100_000, 1_000_000]
    program = ours(arguments=BEST, quiet=True)

    def arm(states: int) -> Arm:
        return Arm(f"{states:,} queued", lambda _: working_off(program, states, extensions=ALL_EXTENSIONS))

    base = f"{sizes[0]:,} queued"
    ratios = [
        Ratio(f"{size:,} queued states over {sizes[0]:,}", f"{size:,} queued", base, "CPU µs/state")
        for size in sizes[1:]
    ]
    return [arm(size) for size in sizes], ratios


def _workers(plan: Plan) -> tuple[list[Arm], list[Ratio]]:
    counts = [1, 4, 256] if plan.quick else [1, 4, 16, 64, 256]
    seconds, warm_up = plan.of(2, 0.3), plan.of(0.5, 0.1)

    def arm(workers: int) -> Arm:
        program = ours(arguments={"workers": workers, "batch_size": 64}, quiet=True)
        return Arm(
            _name(workers),
            lambda _: under_endless_load(program, extensions=ALL_EXTENSIONS, warm_up=warm_up, seconds=seconds),
        )

    ratios = [
        Ratio(f"{_name(workers)} over 4", _name(workers), _name(4), metric)
        for workers in counts
        if workers != 4
        for metric in ("states/s", "CPU µs/state")
    ]
    return [arm(workers) for workers in counts], ratios


def _name(workers: int) -> str:
    return "1 worker" if workers == 1 else f"{workers} workers"


def _payload(plan: Plan) -> tuple[list[Arm], list[Ratio]]:
    sizes = [_KIB, 1024 * _KIB] if plan.quick else [_KIB, 16 * _KIB, 256 * _KIB, 1024 * _KIB]
    seconds, warm_up = plan.of(3, 0.5), plan.of(0.5, 0.1)
    programs: dict[str, Program] = {"ours": ours(arguments=_PAYLOAD_SETTINGS, quiet=True)}
    if plan.published is not None:
        programs["published"] = runtime(plan.published, arguments=_PAYLOAD_SETTINGS, quiet=True)

    def arm(name: str, size: int) -> Arm:
        return Arm(
            f"{name}, {size // _KIB} KiB",
            lambda _: under_endless_load(programs[name], payload=size, warm_up=warm_up, seconds=seconds),
        )

    ratios = [
        Ratio(f"{size // _KIB} KiB, ours over published", *_pair(size), metric)
        for size in sizes
        for metric in ("states/s", "CPU µs/state")
    ]
    return [arm(name, size) for size in sizes for name in programs], ratios


def _pair(size: int) -> tuple[str, str]:
    return f"ours, {size // _KIB} KiB", f"published, {size // _KIB} KiB"


def _memory(plan: Plan, table: Table) -> None:
    """One long run in place of an hour: memory that grows with the states would show in half a million of them."""
    states = int(plan.of(500_000, 5_000))
    program = ours(quiet=True)

    def look(_: int) -> Reading:
        return working_off(program, states, extensions=ALL_EXTENSIONS)

    readings = measure([Arm("memory", look)], 1, plan.say)
    ratio = Ratio(
        f"resident memory at {states:,} states over that at a tenth of them",
        "memory",
        "memory",
        "RSS MiB at 100 %",
        Goal(1.05, at_most=True),
        to_metric="RSS MiB at 10 %",
    )
    fill(table, [ratio], readings)
    last = readings["memory"][-1]
    table.checks["memory: states that went in"] = last["states"]
    table.checks["memory: states that were reported"] = last["reported"]
    table.checks["memory: states a second"] = round(last["states/s"])
    table.notes.append(
        f"memory: {states:,} states at full speed, once, default settings; an hour at {states / 3600:.0f} a second "
        "brings as many"
    )
