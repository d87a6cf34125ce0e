"""What an embedded state manager's database says became of the states of a namespace."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests._support.fault_nodes import BURST, FAN

PENDING = frozenset({"CREATED", "QUEUED", "EXECUTED"})
CHILDREN = {"first": ("second", 1), "fan": ("leaf", 1)}
"""Which identifier follows which, and how often each of its states is followed."""

SUCCESSES = {
    "single": {"single": 1},
    "chain": {"first": 1, "second": 1},
    "fan": {"fan": FAN, "leaf": FAN},
    "secret": {"secret": 1},
    "burst": {"fan": BURST, "leaf": BURST},
}
"""How many states of each identifier succeed in a run of a graph when all goes well."""


@dataclass(frozen=True)
class State:
    """A state as it is stored."""

    state_id: str
    run_id: str
    graph: str
    identifier: str
    status: str
    text: str
    parent: str | None
    error: str | None
    retry_count: int


class Ledger:
    """Reads the states of one namespace out of the database.

    Args:
        database: the server's file.
        namespace: the namespace.
    """

    def __init__(self, database: Path, namespace: str) -> None:
        self._database = database
        self._namespace = namespace

    def states(self) -> list[State]:
        """List all states, in order of creation."""
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True, timeout=10)) as connection:
            rows = connection.execute(
                "SELECT s.id, r.id, r.graph_name, s.identifier, s.status, s.inputs, s.parents, s.error, s.retry_count "
                "FROM states s JOIN runs r ON r.key = s.run_key WHERE s.namespace = ? ORDER BY s.key",
                (self._namespace,),
            ).fetchall()
        return [
            State(
                state_id=state_id,
                run_id=run_id,
                graph=graph,
                identifier=identifier,
                status=status,
                text=json.loads(inputs).get("text", ""),
                parent=[None, *json.loads(parents).values()][-1],
                error=error,
                retry_count=retry_count,
            )
            for state_id, run_id, graph, identifier, status, inputs, parents, error, retry_count in rows
        ]

    def by_status(self) -> Counter[str]:
        """Count the states by status."""
        return Counter(state.status for state in self.states())

    def ids(self, status: str) -> set[str]:
        """List the states of a status."""
        return {state.state_id for state in self.states() if state.status == status}

    def has_ended(self, stranded: Collection[str] = ()) -> bool:
        """Tell whether no state is pending but those that nobody knows of."""
        states = self.states()
        return bool(states) and all(state.status not in PENDING or state.state_id in stranded for state in states)


def check_every_state_ended_once(states: list[State], ended_as: Collection[str] = ("SUCCESS",)) -> None:
    """Assert that every piece of work was ended exactly once and has exactly one set of next states."""
    for run_id, of_run in _by_run(states).items():
        ends = [state for state in of_run if state.status != "RETRY_CREATED"]
        found = Counter(state.identifier for state in ends)
        assert found == SUCCESSES[of_run[0].graph], f"run {run_id}: {_listed(of_run)}"
        assert {state.status for state in ends} <= set(ended_as), f"run {run_id}: {_listed(of_run)}"
    check_children(states)


def check_children(states: list[State]) -> None:
    """Assert that every state that succeeded has exactly one set of next states, and no other state has any."""
    children: dict[str, list[State]] = defaultdict(list)
    for state in states:
        if state.parent is not None and state.status != "RETRY_CREATED":
            children[state.parent].append(state)
    for state in states:
        found = [child.identifier for child in children[state.state_id]]
        follower = CHILDREN.get(state.identifier)
        expected = [follower[0]] * follower[1] if follower and state.status == "SUCCESS" else []
        assert found == expected, f"{state} is followed by {found}"
    for of_run in _by_run(states).values():
        texts = [state.text for state in of_run if state.identifier == "leaf" and state.status != "RETRY_CREATED"]
        assert len(set(texts)) == len(texts), f"leaves twice: {_listed(of_run)}"


def recorded(journal: Path) -> dict[str, str | None]:
    """What a journal, which nobody uses, says of each state: its outcome, or None while that is open."""
    with closing(sqlite3.connect(journal)) as connection:
        return dict(connection.execute("SELECT state_id, outcome FROM states").fetchall())


def _by_run(states: list[State]) -> dict[str, list[State]]:
    runs: dict[str, list[State]] = defaultdict(list)
    for state in states:
        runs[state.run_id].append(state)
    return runs


def _listed(states: list[State]) -> str:
    return "; ".join(f"{state.identifier} {state.status} after {state.retry_count} ({state.error})" for state in states)
