"""Processor time of the command line's shortest calls, over an import of click."""

from __future__ import annotations

import resource
import subprocess
import sys

from benchmarks.measure import Arm, Goal, Ratio, Reading, Table, fill, measure
from benchmarks.plan import Plan
from benchmarks.processes import CLIENT_CORE, HERE, on_core

_HELD_EQUAL = "the Python version, the core, modules compiled before, the folder; user and system time of the process"
_BASE = "python -c 'import click'"
_REPEATS = 5
_GOAL = Goal(3.0, at_most=True)


def run(plan: Plan) -> Table:
    """Measure it."""
    arms = [_arm(_BASE, "-c", "import click")]
    arms += [
        _arm(f"exospherehost {argument}", "-m", "exospherehost.cli", argument) for argument in ("--version", "--help")
    ]
    table = Table("command_line", "processor time of a call", _HELD_EQUAL)
    table.notes.append(f"each figure is the least of {_REPEATS} starts")
    ratios = [Ratio(f"{arm.name}, over {_BASE}", arm.name, _BASE, "ms", _GOAL) for arm in arms[1:]]
    return fill(table, ratios, measure(arms, plan.rounds, plan.say))


def _arm(name: str, *arguments: str) -> Arm:
    _cpu_ms(*arguments)
    return Arm(name, lambda _: _measure(*arguments))


def _measure(*arguments: str) -> Reading:
    return {"ms": min(_cpu_ms(*arguments) for _ in range(_REPEATS))}


def _cpu_ms(*arguments: str) -> float:
    """Run Python to its end and return its processor time, in milliseconds."""
    before = _children_seconds()
    with on_core(CLIENT_CORE):
        # -P keeps the folder that it runs in off Python's path.
        subprocess.run(  # noqa: S603 - ours
            [sys.executable, "-P", *arguments],
            check=True,
            cwd=HERE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    return (_children_seconds() - before) * 1_000


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
