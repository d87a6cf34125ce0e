"""How long it takes to import the SDK, beyond what Python takes to start."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.measure import Arm, Goal, Ratio, Reading, Table, fill, measure
from benchmarks.plan import Plan
from benchmarks.processes import CLIENT_CORE, HERE, on_core

_HELD_EQUAL = (
    "the Python version, the core, modules compiled before, the folder; a bare start of the same interpreter, measured "
    "right before, is taken off each"
)
_ALL = "from exospherehost import BaseNode, Runtime, StateManager"
_REPEATS = 5


def run(plan: Plan) -> Table:
    """Measure it."""
    arms = [
        _arm("ours, import exospherehost", sys.executable, "import exospherehost"),
        _arm("ours, what a program uses", sys.executable, _ALL),
    ]
    if plan.published is not None:
        arms += [
            _arm("published, import exospherehost", plan.published, "import exospherehost"),
            _arm("published, what a program uses", plan.published, _ALL),
        ]
    table = Table("imports", "time to import", _HELD_EQUAL)
    table.notes.append(
        f"a program uses: {_ALL}; each figure is the least of {_REPEATS} starts, less the least bare one"
    )
    ratios = [
        Ratio(f"{what}, ours over published", f"ours, {what}", f"published, {what}", "ms", Goal(0.45, at_most=True))
        for what in ("import exospherehost", "what a program uses")
    ]
    return fill(table, ratios, measure(arms, plan.rounds, plan.say))


def _arm(name: str, python: str, code: str) -> Arm:
    _start(python, code)
    return Arm(name, lambda _: _measure(python, code))


def _measure(python: str, code: str) -> Reading:
    pairs = [(_start(python, "pass"), _start(python, code)) for _ in range(_REPEATS)]
    bare, full = (min(times) for times in zip(*pairs, strict=True))
    return {"ms": max(full - bare, 0.01)}


def _start(python: str, code: str) -> float:
    """Start Python with some code and wait for its end; milliseconds."""
    with on_core(CLIENT_CORE):
        began = time.perf_counter()
        # -P, so that the folder it runs in stands for nothing.
        subprocess.run([python, "-P", "-c", code], check=True, cwd=HERE, stdin=subprocess.DEVNULL)  # noqa: S603
        return (time.perf_counter() - began) * 1000
