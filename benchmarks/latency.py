"""How long after a state became due its node starts, and what looking for work costs when there is none."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.arms import ALL_EXTENSIONS, Program, bare_loop, has, ours, runtime
from benchmarks.measure import Arm, Goal, Ratio, Reading, Table, fill, measure, quantile
from benchmarks.plan import Plan
from benchmarks.processes import Client, MeasurementError, Server, memory_server

_HELD_EQUAL = (
    "the moments at which states become due (8 a second, at random, from one seed for all arms of a round), the server "
    "(in memory, on its own core), the nodes, the Python version, the client's core, each SDK's default settings. "
    "From the moment at which the server had the state due to the first line of the node. Idle: the same programs "
    "at the same time, each on a server of its own that never has work"
)
_RANDOM: dict[str, Any] = {"rate": 8.0}
_ONE_AT_A_TIME: dict[str, Any] = {"pauses": (0.02, 0.12)}
_PATIENCE_SECONDS = 120.0

PUBLISHED = "published"
WITH_WAIT = "ours, wait"
WITHOUT_WAIT = "ours, no extensions"
LEANEST = "bare long-poll loop, socket"
SAME_CLIENT = "bare long-poll loop, pyreqwest"

_LATENCY_RATIOS = (
    Ratio("wait: published over ours, p50", PUBLISHED, WITH_WAIT, "p50 ms", Goal(100)),
    Ratio("wait: published over ours, p99", PUBLISHED, WITH_WAIT, "p99 ms"),
    Ratio("wait: ours over the leanest long-poll loop, p50", WITH_WAIT, LEANEST, "p50 ms", Goal(3, at_most=True)),
    Ratio("wait: ours over the leanest long-poll loop, p99", WITH_WAIT, LEANEST, "p99 ms"),
    Ratio("wait: ours over the same loop on pyreqwest, p50", WITH_WAIT, SAME_CLIENT, "p50 ms"),
    Ratio("no extensions: ours over published, p50", WITHOUT_WAIT, PUBLISHED, "p50 ms", Goal(0.2, at_most=True)),
    Ratio("no extensions: ours over published, p99", WITHOUT_WAIT, PUBLISHED, "p99 ms"),
)
_ONE_RATIOS = (
    Ratio("one at a time: ours, wait, over the leanest loop, p50", *("one " + WITH_WAIT, "one " + LEANEST), "p50 ms"),
    Ratio("one at a time: ours, wait, over the leanest loop, p99", *("one " + WITH_WAIT, "one " + LEANEST), "p99 ms"),
)
_IDLE_RATIOS = (
    Ratio("idle, no extensions: requests", WITHOUT_WAIT, PUBLISHED, "requests/min", Goal(1, at_most=True)),
    Ratio("idle, wait: requests", WITH_WAIT, PUBLISHED, "requests/min", Goal(1, at_most=True)),
    Ratio("idle, no extensions: processor time", WITHOUT_WAIT, PUBLISHED, "CPU ms/min"),
    Ratio("idle, wait: processor time", WITH_WAIT, PUBLISHED, "CPU ms/min"),
)


def run(plan: Plan) -> Table:
    """Measure it."""
    count = int(plan.of(80, 6))
    settle = plan.of(3, 1)
    us = ours(nodes=("Timed",))
    lean = bare_loop("socket", claim=1, lanes=1, wait=True, nodes=("Timed",))
    programs: dict[str, tuple[Program, Sequence[str]]] = {WITH_WAIT: (us, ALL_EXTENSIONS), WITHOUT_WAIT: (us, ())}
    if plan.published is not None:
        programs[PUBLISHED] = (runtime(plan.published, nodes=("Timed",)), ())
    idle = dict(programs)
    programs[LEANEST] = (lean, ("wait",))
    if has("pyreqwest"):
        same = bare_loop("pyreqwest", claim=1, lanes=1, wait=True, nodes=("Timed",))
        programs[SAME_CLIENT] = (same, ("wait",))

    def arm(name: str, program: Program, extensions: Sequence[str], arrivals: dict[str, Any]) -> Arm:
        return Arm(
            name,
            lambda number: measure_arrivals(
                program, extensions, {**arrivals, "count": count, "seed": number, "steps": ["Timed"]}, settle
            ),
        )

    arms = [arm(name, program, extensions, _RANDOM) for name, (program, extensions) in programs.items()]
    arms += [arm(f"one {name}", *programs[name], _ONE_AT_A_TIME) for name in (WITH_WAIT, LEANEST)]
    table = Table("latency", "from due to started; idle polling", _HELD_EQUAL)
    table.notes.append(f"“wait” is a server with {', '.join(ALL_EXTENSIONS)}; {count} states for each figure")
    table.notes.append("one at a time: the next state becomes due 20 to 120 ms after the last was reported")
    readings = measure(arms, plan.rounds, plan.say)
    fill(table, (*_LATENCY_RATIOS, *_ONE_RATIOS), readings)
    table.checks["states that became due, and were reported, in each measurement"] = count
    return fill(table, _IDLE_RATIOS, _measure_idle(plan, idle))


def measure_arrivals(program: Program, extensions: Sequence[str], arrivals: dict[str, Any], settle: float) -> Reading:
    """Let runs arrive at an idle client, and take what it noted.

    Args:
        program: the client; it notes, for each run, how long after its beginning its last node started.
        extensions: what the server offers.
        arrivals: the plan; see `memory_server.Arrivals`.
        settle: seconds of idleness before.
    """
    count = arrivals["count"]
    with memory_server(extensions=extensions) as server, program.on(server.url) as client:
        wait_until_it_claims(server, client)
        time.sleep(settle)
        server.call("POST", "/arrivals", arrivals)
        limit = time.monotonic() + _PATIENCE_SECONDS
        while (counts := server.counts())["runs"] < count:
            if time.monotonic() > limit:
                raise MeasurementError(f"{count} runs went in and {counts['runs']} ended: {counts}")
            client.must_run()
            # Seldom, so as not to be what the server is busy with.
            time.sleep(0.1)
        milliseconds = [latency / 1e6 for latency in client.sample()["latencies"]]
    if len(milliseconds) != count or counts["duplicates"]:
        raise MeasurementError(f"{count} runs went in and {len(milliseconds)} ended: {counts}")
    return {"p50 ms": quantile(milliseconds, 0.5), "p99 ms": quantile(milliseconds, 0.99)}


def wait_until_it_claims(server: Server, client: Client) -> None:
    """Wait until a client has registered its nodes and asked for work."""
    limit = time.monotonic() + _PATIENCE_SECONDS
    while server.counts()["requests"] < 1:
        if time.monotonic() > limit:
            raise MeasurementError(f"no request came from {client.about}")
        client.must_run()
        time.sleep(0.02)


def _measure_idle(plan: Plan, programs: dict[str, tuple[Program, Sequence[str]]]) -> dict[str, list[Reading]]:
    seconds, settle = plan.of(30, 3), plan.of(4, 1)
    readings: dict[str, list[Reading]] = {name: [] for name in programs}
    for number in range(1, plan.rounds + 1):
        plan.say(f"round {number} of {plan.rounds}: idle for {seconds:g} s, all at once")
        with contextlib.ExitStack() as stack:
            pairs: dict[str, tuple[Server, Client]] = {}
            for name, (program, extensions) in programs.items():
                server = stack.enter_context(memory_server(extensions=extensions))
                client = stack.enter_context(program.on(server.url))
                wait_until_it_claims(server, client)
                pairs[name] = server, client
            time.sleep(settle)
            before = {name: (server.counts(), client.sample()) for name, (server, client) in pairs.items()}
            time.sleep(seconds)
            for name, (server, client) in pairs.items():
                (counts, sample), now, then = before[name], server.counts(), client.sample()
                minutes = (now["at"] - counts["at"]) / 60
                readings[name].append(
                    {
                        "requests/min": (now["requests"] - counts["requests"]) / minutes,
                        "CPU ms/min": (then["cpu"] - sample["cpu"]) * 1000 / minutes,
                    }
                )
    return readings
