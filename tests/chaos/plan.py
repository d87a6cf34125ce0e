"""The work of a chaos run: graphs, the runs to trigger, and how every state of them must end.

All follows from a seed, so that the checker makes the same plan again instead of being told.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.chaos.fates import Fate, fate

NAMESPACE = "chaos"
SECRET = "the-token-of-the-chaos-run"
MEND = "mend"
"""The graph whose state fails until an operator has mended what is wrong and retries it."""

SPLITTERS = frozenset({"split", "outer", "inner"})
"""Where states fan out."""

RETRIES = 10

Json = dict[str, Any]


class Piece(NamedTuple):
    """A state as it must be at the end; attempts that were followed by another one are not among these."""

    identifier: str
    text: str
    status: str


@dataclass(frozen=True)
class PlannedRun:
    """A run to trigger.

    Attributes:
        key: its idempotency key.
        graph: its graph.
        text: the input of the root.
        store: its store.
        pieces: how often each piece must be there at the end.
    """

    key: str
    graph: str
    text: str
    store: Mapping[str, str]
    pieces: Counter[Piece] = field(repr=False)

    @property
    def executions(self) -> int:
        """How many executions it takes at least: siblings of a fan-out take none, failing states take several."""
        return sum(
            1 if piece.identifier in SPLITTERS else count * (1 + RETRIES if piece.status == "ERRORED" else 1)
            for piece, count in self.pieces.items()
        )


@dataclass(frozen=True)
class Plan:
    """All runs, how many states they end with, and how many executions that takes at least."""

    seed: int
    runs: tuple[PlannedRun, ...]
    states: int
    executions: int


def make_plan(seed: int, states: int) -> Plan:
    """Plan runs until they have so many states."""
    chance = random.Random(seed)  # noqa: S311 - to be repeatable is the point
    runs: list[PlannedRun] = []
    total = 0
    while total < states:
        run = _planned(chance, seed, len(runs))
        runs.append(run)
        total += run.pieces.total()
    return Plan(seed, tuple(runs), total, sum(run.executions for run in runs))


def _planned(chance: random.Random, seed: int, number: int) -> PlannedRun:
    text = str(number)
    # One of each to begin with, however small the plan.
    kinds = ("chain", "all_success", "all_done", "nested", MEND)
    graph = kinds[number] if number < len(kinds) else chance.choices(kinds, (35, 22, 22, 20, 1))[0]
    if graph == MEND:
        store: dict[str, str] = {}
        pieces = Counter({Piece("only", text, "SUCCESS"): 1})
    elif graph == "chain":
        store = {"order": chance.choice(("well", "well", "flaky", "requeued", "pruned"))}
        pieces = Counter(_chain(text, **store))
    elif graph == "nested":
        store = {
            "order": chance.choice(("well", "well", "flaky", "mixed", "pruned")),
            "outer": str(chance.randint(1, 4)),
            "inner": str(chance.randint(1, 5)),
        }
        pieces = Counter(_nested(text, **store))
    else:
        width = chance.choice((1, 2, 3, 4, 5, 6, 8, 12)) if chance.random() < 0.98 else 150
        store = {"order": chance.choice(("well", "well", "flaky", "requeued", "mixed", "pruned")), "width": str(width)}
        pieces = Counter(_fan(text, waits_for_success=graph == "all_success", **store))
    return PlannedRun(f"chaos-{seed}-{number}", graph, text, store, pieces)


_ENDS = {
    Fate.SUCCEED: "SUCCESS",
    Fate.FLAKY: "SUCCESS",
    Fate.REQUEUE: "SUCCESS",
    Fate.PRUNE: "PRUNED",
    Fate.FAIL: "ERRORED",
}


def _end(order: str, text: str) -> str:
    return _ENDS[fate(order, text)]


def _chain(text: str, order: str) -> Iterator[Piece]:
    end = _end(order, text)
    yield Piece("first", text, end)
    if end == "SUCCESS":
        yield Piece("vault", text, end)
        yield Piece("last", text, end)


def _fan(text: str, order: str, width: str, *, waits_for_success: bool) -> Iterator[Piece]:
    yield Piece("root", text, "SUCCESS")
    ends: list[str] = []
    for number in range(int(width)):
        yield Piece("split", text, "SUCCESS")
        of_part = f"{text}/{number}"
        ends.append(_end(order, of_part))
        yield Piece("part", of_part, ends[-1])
        if ends[-1] == "SUCCESS":
            yield Piece("tail", of_part, "SUCCESS")
    if not waits_for_success or "ERRORED" not in ends:
        yield Piece("join", text, "SUCCESS")


def _nested(text: str, order: str, outer: str, inner: str) -> Iterator[Piece]:
    yield Piece("root", text, "SUCCESS")
    failed = False
    for number in range(int(outer)):
        of_middle = f"{text}/{number}"
        yield Piece("outer", text, "SUCCESS")
        yield Piece("middle", of_middle, "SUCCESS")
        for place in range(int(inner)):
            of_leaf = f"{of_middle}/{place}"
            end = _end(order, of_leaf)
            failed |= end == "ERRORED"
            yield Piece("inner", of_middle, "SUCCESS")
            yield Piece("leaf", of_leaf, end)
        yield Piece("inner_join", of_middle, "SUCCESS")
    if not failed:
        yield Piece("outer_join", text, "SUCCESS")


# ---- the graphs ----------------------------------------------------------------------------------


def graphs() -> dict[str, Json]:
    """Return the body of each graph's PUT."""
    fan = {
        name: _graph(
            _node("root", "Step", ["split"], order="well"),
            _node("split", "Split", ["part"], of="root", width="${{store.width}}"),
            _node("part", "Step", ["tail"], of="split", order="${{store.order}}"),
            _node("tail", "Step", ["join"], of="part", order="well"),
            _node("join", "Step", [], of="root", order="well", unites=("root", strategy)),
            store=("order", "width"),
        )
        for name, strategy in (("all_success", "ALL_SUCCESS"), ("all_done", "ALL_DONE"))
    }
    chain = _graph(
        _node("first", "Step", ["vault"], order="${{store.order}}"),
        _node("vault", "Vault", ["last"], of="first"),
        _node("last", "Step", [], of="vault", order="well"),
        store=("order",),
        secrets={"token": SECRET},
    )
    nested = _graph(
        _node("root", "Step", ["outer"], order="well"),
        _node("outer", "Split", ["middle"], of="root", width="${{store.outer}}"),
        _node("middle", "Step", ["inner"], of="outer", order="well"),
        _node("inner", "Split", ["leaf"], of="middle", width="${{store.inner}}"),
        _node("leaf", "Step", ["inner_join"], of="inner", order="${{store.order}}"),
        _node("inner_join", "Step", ["outer_join"], of="middle", order="well", unites=("middle", "ALL_DONE")),
        _node("outer_join", "Step", [], of="root", order="well", unites=("root", "ALL_SUCCESS")),
        store=("order", "outer", "inner"),
    )
    mend = _graph(_node("only", "Mended", []), store=(), retries=0)
    return {**fan, "chain": chain, "nested": nested, MEND: mend}


def _node(
    identifier: str,
    node: str,
    following: list[str],
    *,
    of: str | None = None,
    unites: tuple[str, str] | None = None,
    **inputs: str,
) -> Json:
    return {
        "node_name": node,
        "namespace": NAMESPACE,
        "identifier": identifier,
        "inputs": {"text": "" if of is None else f"${{{{{of}.outputs.text}}}}", **inputs},
        "next_nodes": following,
        "unites": None if unites is None else {"identifier": unites[0], "strategy": unites[1]},
    }


def _graph(
    *nodes: Json, store: tuple[str, ...], secrets: Mapping[str, str] | None = None, retries: int = RETRIES
) -> Json:
    return {
        "secrets": dict(secrets or {}),
        "nodes": list(nodes),
        "store_config": {"required_keys": list(store)},
        # Soon and often, since a lease that runs out uses one up.
        "retry_policy": {"max_retries": retries, "strategy": "FIXED_FULL_JITTER", "backoff_factor": 100},
    }
