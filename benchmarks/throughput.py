"""Throughput of no-op nodes: ours against the published SDK, by the settings and by what the server offers."""

from __future__ import annotations

from benchmarks.arms import ALL_EXTENSIONS, BEST, Program, has, has_in, ours, runtime
from benchmarks.load import under_endless_load
from benchmarks.measure import Arm, Goal, Ratio, Table, fill, measure
from benchmarks.plan import Plan

PUBLISHED_DEFAULT = "published, defaults"
PUBLISHED_BEST = "published, best"
_BEST_TEXT = ", ".join(f"{name}={value}" for name, value in BEST.items())
_HELD_EQUAL = (
    "the server (in memory, with work at all times, a process of its own on its own core), the nodes (one that gives "
    "back its one text input), the Python version, the client's core, the event loop (asyncio's, where the row does "
    f"not say uvloop), the log (each SDK's own, INFO, to nowhere). Best settings, for both: {_BEST_TEXT}"
)
# A claim as large as a batch of reports, and no more workers than are needed to keep the loop busy with no-op nodes.
_TUNED = {"batch_size": 256, "workers": 8}

_BY_CPU = "CPU µs/state"

RATIOS = (
    Ratio("defaults, over published defaults", "ours, defaults", PUBLISHED_DEFAULT, "states/s", Goal(100)),
    Ratio("defaults, over published best", "ours, defaults", PUBLISHED_BEST, "states/s", Goal(2.5)),
    Ratio("best, one report a state", "ours, best", PUBLISHED_BEST, "states/s", Goal(5)),
    Ratio("… ours on uvloop", "ours, best, uvloop", PUBLISHED_BEST, "states/s", Goal(5)),
    Ratio("best, batch-report", "ours, best, batch-report", PUBLISHED_BEST, "states/s", Goal(25)),
    Ratio("… ours on uvloop", "ours, best, batch-report, uvloop", PUBLISHED_BEST, "states/s", Goal(25)),
    Ratio("… ours tuned, on uvloop", "ours, tuned, batch-report, uvloop", PUBLISHED_BEST, "states/s", Goal(25)),
    Ratio("defaults, batch-report, over published best", "ours, defaults, batch-report", PUBLISHED_BEST, "states/s"),
    Ratio("best, both on uvloop", "ours, best, uvloop", "published, best, uvloop", "states/s"),
    Ratio("best, both with a quiet log", "ours, best, quiet", "published, best, quiet", "states/s"),
    Ratio("secrets: defaults, with over without", "ours, defaults, secrets", "ours, defaults", "states/s", Goal(0.8)),
    Ratio("secrets: best, with over without", "ours, best, secrets", "ours, best", "states/s", Goal(0.8)),
    Ratio(
        "secrets: best, batch-report, with over without",
        "ours, best, batch-report, secrets",
        "ours, best, batch-report",
        "states/s",
        Goal(0.8),
    ),
    # What others run on the machine moves processor time much less than it moves states a second.
    *(
        Ratio(f"by processor time: published best over {name}", PUBLISHED_BEST, name, _BY_CPU)
        for name in ("ours, defaults", "ours, best", "ours, best, batch-report", "ours, best, batch-report, uvloop")
    ),
    Ratio("secrets: published best, with over without", "published, best, secrets", PUBLISHED_BEST, "states/s"),
)


def programs(plan: Plan) -> dict[str, tuple[Program, tuple[str, ...]]]:
    """Name the clients, and what the server offers each of them."""
    best = ours(arguments=BEST)
    found: dict[str, tuple[Program, tuple[str, ...]]] = {
        "ours, defaults": (ours(), ()),
        "ours, best": (best, ()),
        "ours, best, quiet": (best.but(quiet=True), ()),
        "ours, defaults, batch-report": (ours(), ALL_EXTENSIONS),
        "ours, best, batch-report": (best, ALL_EXTENSIONS),
        "ours, defaults, secrets": (ours(nodes=("Guarded",)), ()),
        "ours, best, secrets": (best.but(nodes=["Guarded"]), ()),
        "ours, best, batch-report, secrets": (best.but(nodes=["Guarded"]), ALL_EXTENSIONS),
    }
    if has("uvloop"):
        found["ours, best, uvloop"] = (best.but(loop="uvloop"), ())
        found["ours, best, batch-report, uvloop"] = (best.but(loop="uvloop"), ALL_EXTENSIONS)
        found["ours, tuned, batch-report, uvloop"] = (ours(arguments=_TUNED, loop="uvloop"), ALL_EXTENSIONS)
    if plan.published is not None:
        theirs = runtime(plan.published, arguments=BEST)
        found[PUBLISHED_DEFAULT] = (runtime(plan.published), ())
        found[PUBLISHED_BEST] = (theirs, ())
        found["published, best, quiet"] = (theirs.but(quiet=True), ())
        found["published, best, secrets"] = (theirs.but(nodes=["Guarded"]), ())
        if has_in(plan.published, "uvloop"):
            found["published, best, uvloop"] = (theirs.but(loop="uvloop"), ())
    return found


def run(plan: Plan) -> Table:
    """Measure it."""
    seconds, warm_up = plan.of(3, 0.4), plan.of(1, 0.2)

    def arm(name: str, program: Program, extensions: tuple[str, ...]) -> Arm:
        seldom = name == PUBLISHED_DEFAULT
        return Arm(
            name,
            lambda _: under_endless_load(
                program, extensions=extensions, warm_up=warm_up, seconds=seconds, by_claims=seldom
            ),
        )

    arms = [arm(name, program, extensions) for name, (program, extensions) in programs(plan).items()]
    table = Table("throughput", "no-op nodes, states a second", _HELD_EQUAL)
    table.notes.append(f"“batch-report” is a server with {', '.join(ALL_EXTENSIONS)}; the others have none of them")
    table.notes.append(
        "published defaults are measured from claim to claim: 16 states at each poll, about one poll a second"
    )
    table.notes.append(f"tuned: {', '.join(f'{name}={value}' for name, value in _TUNED.items())}")
    return fill(table, RATIOS, measure(arms, plan.rounds, plan.say))
