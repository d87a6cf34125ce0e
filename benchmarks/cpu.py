"""Processor time of the client for each state, against hand-written loops of the same requests."""

from __future__ import annotations

from benchmarks.arms import BEST, Program, bare_loop, has, ours
from benchmarks.load import under_endless_load
from benchmarks.measure import Arm, Goal, Ratio, Table, fill, measure
from benchmarks.plan import Plan

_METRIC = "CPU µs/state"
_HELD_EQUAL = (
    "the server (in memory, with work at all times, on its own core), the states, claims of 64, the Python version, "
    "the client's core, the event loop within a row. Processor time is that of the whole process with its threads. "
    "A worker is a loop that claims, validates the inputs with pydantic, awaits a coroutine, dumps its outputs and "
    "reports; a bare loop claims, copies the input and reports. Neither has time-outs, retries, leases or a log"
)
_KINDS = {"one by one": "one report a state", "together": "batch-report"}
_LOOPS = {"worker": True, "bare loop": False}
_MOST_ON_SAME = 1.5
_MOST_ON_LEANEST = {"one by one": 3.0, "together": 2.0}


def _ratios(event_loop: str) -> list[Ratio]:
    rows: list[Ratio] = []
    for kind, title in _KINDS.items():
        for client, most in (("pyreqwest", _MOST_ON_SAME), ("socket", _MOST_ON_LEANEST[kind])):
            for loop in _LOOPS:
                name = (
                    f"{title}: over a {loop} on {'the leanest client' if client == 'socket' else client}, {event_loop}"
                )
                of, to = f"ours, {kind}, {event_loop}", f"{loop}, {client}, {kind}, {event_loop}"
                rows.append(Ratio(name, of, to, _METRIC, Goal(most, at_most=True)))
    return rows


def run(plan: Plan) -> Table:
    """Measure it."""
    event_loops = ["asyncio", *(["uvloop"] if has("uvloop") else [])]
    clients = [*(["pyreqwest"] if has("pyreqwest") else []), "socket"]
    seconds, warm_up = plan.of(3, 0.3), plan.of(1, 0.1)

    def arm(name: str, program: Program, kind: str) -> Arm:
        extensions = ("batch-report",) if kind == "together" else ()
        return Arm(name, lambda _: under_endless_load(program, extensions=extensions, warm_up=warm_up, seconds=seconds))

    arms: list[Arm] = []
    for event_loop in event_loops:
        for kind in _KINDS:
            us = ours(arguments=BEST, loop=event_loop, quiet=True)
            arms.append(arm(f"ours, {kind}, {event_loop}", us, kind))
            together = kind == "together"
            for client in clients:
                for loop, node in _LOOPS.items():
                    lanes = 2 if together else 32
                    them = bare_loop(client, node=node, together=together, lanes=lanes, loop=event_loop)
                    arms.append(arm(f"{loop}, {client}, {kind}, {event_loop}", them, kind))
    table = Table("cpu", "processor time of the client for each state", _HELD_EQUAL)
    table.notes.append(f"ours with {', '.join(f'{name}={value}' for name, value in BEST.items())}, its log quiet")
    table.notes.append("the leanest client is an asyncio socket with an HTTP reader of thirty lines: a bound")
    table.notes.append("the goals were set with loops that do a worker's work in mind; bare loops are held to them too")
    if "pyreqwest" not in clients:
        table.notes.append("pyreqwest is not installed: the rows on it are left out, and ours runs on httpx")
    ratios = [row for event_loop in event_loops for row in _ratios(event_loop)]
    return fill(table, ratios, measure(arms, plan.rounds, plan.say))
