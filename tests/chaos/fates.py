"""What becomes of a state, decided from its inputs alone, so that nodes and checker agree without speaking."""

from __future__ import annotations

from enum import Enum


class Fate(Enum):
    """How the execution of a state goes."""

    SUCCEED = "gives an output"
    FAIL = "fails at every attempt"
    PRUNE = "is pruned"
    FLAKY = "fails at the first attempt"
    REQUEUE = "is given back once by each process that gets it"


_ORDERS: dict[str, tuple[Fate, ...]] = {
    "well": (Fate.SUCCEED,),
    "flaky": (Fate.FLAKY, Fate.SUCCEED, Fate.SUCCEED),
    "requeued": (Fate.REQUEUE, Fate.SUCCEED),
    "pruned": (Fate.SUCCEED, Fate.PRUNE),
    "mixed": (Fate.SUCCEED, Fate.FAIL, Fate.PRUNE, Fate.FLAKY, Fate.REQUEUE, Fate.SUCCEED),
}

ORDERS = tuple(_ORDERS)
"""What a run's store may order for its states."""


def fate(order: str, text: str) -> Fate:
    """Tell how a state with these inputs goes; the text ends in a number, as in `17/0/4`."""
    choices = _ORDERS[order]
    return choices[int(text.rsplit("/", 1)[-1]) % len(choices)]
