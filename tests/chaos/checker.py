"""Proves from the database, the plan and what the nodes wrote down that nothing was lost and nothing doubled."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos.database import Contents, StoredRun, StoredState
from tests.chaos.nodes import Execution
from tests.chaos.plan import Piece, Plan

PENDING = frozenset({"CREATED", "QUEUED", "EXECUTED"})
SUCCEEDED = frozenset({"SUCCESS", "PRUNED"})
FAILED = frozenset({"ERRORED", "NEXT_CREATED_ERROR"})
RETRIED = "RETRY_CREATED"

LOST, DOUBLED, STUCK, WRONG = "lost", "doubled", "stuck", "wrong"


@dataclass(frozen=True)
class Violation:
    """Something that must not be.

    Attributes:
        kind: lost, doubled, stuck, or otherwise wrong.
        rule: the rule that is broken.
        text: where, and how.
        count: how many states or runs it concerns.
    """

    kind: str
    rule: str
    text: str
    count: int = 1


@dataclass(frozen=True)
class Evidence:
    """What the checks go by."""

    contents: Contents
    plan: Plan
    executions: Sequence[Execution]

    def by_run(self) -> dict[int, list[StoredState]]:
        """Return the states of each run."""
        found: dict[int, list[StoredState]] = {key: [] for key in self.contents.runs}
        for state in self.contents.states:
            found.setdefault(state.run_key, []).append(state)
        return found


def check(evidence: Evidence) -> list[Violation]:
    """Return all that is wrong; nothing, if the service has kept what it promises."""
    return [violation for rule in RULES for violation in rule(evidence)]


def every_run_exists_once(evidence: Evidence) -> Iterator[Violation]:
    """Each planned trigger has a run, and there is no other run."""
    stored = {run.id: run for run in evidence.contents.runs.values()}
    known: set[str] = set()
    for planned in evidence.plan.runs:
        run_id = evidence.contents.keys.get(planned.key)
        run = None if run_id is None else stored.get(run_id)
        if run is None:
            yield Violation(LOST, "every run exists", f"{planned.key} has no run", planned.pieces.total())
        elif run.graph != planned.graph or dict(run.store) != dict(planned.store):
            yield Violation(WRONG, "every run exists", f"{planned.key}: {run.id} has another graph or store")
        else:
            known.add(run.id)
    for run_id in stored.keys() - known:
        yield Violation(DOUBLED, "no run twice", f"run {run_id} of {stored[run_id].graph} belongs to no trigger")


def every_run_has_its_states(evidence: Evidence) -> Iterator[Violation]:
    """Each run ended with exactly the planned states, none missing and none twice."""
    by_run = evidence.by_run()
    numbers = {run.id: key for key, run in evidence.contents.runs.items()}
    for planned in evidence.plan.runs:
        number = numbers.get(evidence.contents.keys.get(planned.key, ""))
        if number is None:
            continue
        of_run = by_run[number]
        found = Counter(Piece(state.identifier, state.text, state.status) for state in of_run if _is_end(state))
        for kind, difference in ((LOST, planned.pieces - found), (DOUBLED, found - planned.pieces)):
            if difference:
                where = f"run {evidence.contents.runs[number].id} of {planned.graph} ({planned.key})"
                text = f"{where}: {_spelled(difference)}"
                yield Violation(kind, "every run has its states", text, difference.total())


def nothing_is_pending(evidence: Evidence) -> Iterator[Violation]:
    """Every state has ended, and no lease is left."""
    for state in evidence.contents.states:
        if state.status in PENDING:
            yield Violation(STUCK, "every state ends", f"{_named(state)} is {state.status} ({state.error})")
        if state.lease_expires_at is not None:
            yield Violation(STUCK, "no lease is left", f"{_named(state)} is leased until {state.lease_expires_at}")


def counts_are_those_of_the_states(evidence: Evidence) -> Iterator[Violation]:
    """What a run counts is what there is."""
    by_run = evidence.by_run()
    for key, run in evidence.contents.runs.items():
        statuses = Counter(state.status for state in by_run[key])
        found = (_of(statuses, PENDING), _of(statuses, SUCCEEDED), _of(statuses, FAILED), statuses[RETRIED])
        counted = (run.pending, run.succeeded, run.errored, run.retried)
        if found != counted:
            yield Violation(WRONG, "counts are those of the states", f"run {run.id} counts {counted}, has {found}")
    for key in by_run.keys() - evidence.contents.runs.keys():
        yield Violation(WRONG, "every state has a run", f"{_named(by_run[key][0])} is of no run", len(by_run[key]))


def the_total_is_that_of_the_runs(evidence: Evidence) -> Iterator[Violation]:
    """The number of runs that a list of runs tells is how many there are."""
    counted, found = evidence.contents.total, len(evidence.contents.runs)
    if counted != found:
        yield Violation(WRONG, "the total is that of the runs", f"{counted} are counted, and there are {found}")


def parents_are_right(evidence: Evidence) -> Iterator[Violation]:
    """What a state names as its parents are states of its run that succeeded, and its input is its parent's output."""
    states = _by_id(evidence)
    for state in evidence.contents.states:
        for identifier, parent_id in state.parents.items():
            parent = states.get(parent_id)
            if parent is None or parent.run_key != state.run_key or parent.identifier != identifier:
                yield Violation(WRONG, "parents exist", f"{_named(state)} names {identifier} {parent_id}")
            elif parent.status != "SUCCESS":
                yield Violation(DOUBLED, "only success has children", f"{_named(state)} follows {_named(parent)}")
        parent = states.get(state.parent or "")
        if parent is not None and parent.status == "SUCCESS" and parent.outputs.get("text") != state.text:
            yield Violation(WRONG, "inputs are outputs", f"{_named(state)} has not the output of {_named(parent)}")


def children_are_there_once(evidence: Evidence) -> Iterator[Violation]:
    """Each success has exactly one set of next states, each complete in its fan-out."""
    children: dict[tuple[str, str], list[StoredState]] = defaultdict(list)
    for state in evidence.contents.states:
        if state.parent is not None and _is_end(state):
            children[state.parent, state.identifier].append(state)
    for state in evidence.contents.states:
        for node in _following(evidence, state):
            if node["unites"] is not None:
                continue
            found = children.pop((state.id, node["identifier"]), [])
            where = f"{_named(state)} is followed by {node['identifier']}"
            if not found:
                yield Violation(LOST, "every success has its children", f"{where} never")
            elif node["node_name"] != "Split" and len(found) > 1:
                yield Violation(DOUBLED, "one set of children", f"{where} {len(found)} times", len(found) - 1)
            elif len({child.outputs.get("text") for child in found}) != len(found):
                yield Violation(DOUBLED, "one set of siblings", f"{where} with siblings twice")


def joins_count_what_is_below(evidence: Evidence) -> Iterator[Violation]:
    """What is counted under a united state is what there is."""
    for state, _uniters, below in _united(evidence):
        counts = Counter(other.status for other in below)
        progress = evidence.contents.joins.get(state.id, (0, 0))
        if progress != (_of(counts, PENDING), _of(counts, FAILED)):
            text = f"{_named(state)} counts {progress}, has {dict(counts)}"
            yield Violation(WRONG, "joins count what is below", text)


def joins_fired_once(evidence: Evidence) -> Iterator[Violation]:
    """Each uniting node ran exactly once for each united state whose condition came true, and for no other."""
    expected: Counter[tuple[str, str]] = Counter()
    for state, uniters, below in _united(evidence):
        for node in uniters:
            identifier = node["identifier"]
            # What comes of the uniting state itself was not there when it was decided on.
            statuses = {
                other.status for other in below if other.identifier != identifier and identifier not in other.parents
            }
            found = sum(1 for other in below if other.identifier == identifier and _is_end(other))
            hinder = PENDING | FAILED if node["unites"]["strategy"] == "ALL_SUCCESS" else PENDING
            due = int(not statuses & hinder)
            expected[state.id, identifier] = due
            where = f"{identifier} for {_named(state)}"
            if found < due:
                yield Violation(LOST, "every join fires", f"{where} never ran")
            elif found > due:
                yield Violation(DOUBLED, "a join fires once", f"{where} ran {found} times", found - due)
    noted = Counter(evidence.contents.firings)
    for firing in noted.keys() | expected.keys():
        if noted[firing] != expected[firing]:
            text = f"{firing[1]} for {firing[0]}: noted {noted[firing]} times instead of {expected[firing]}"
            yield Violation(WRONG, "firings are those of the joins", text)


def retries_are_in_line(evidence: Evidence) -> Iterator[Violation]:
    """Each attempt follows exactly one before it."""
    lines: dict[tuple[Any, ...], list[StoredState]] = defaultdict(list)
    for state in evidence.contents.states:
        lines[state.run_key, state.identifier, state.text, state.parent, state.fanout_id].append(state)
    for line in lines.values():
        tried = sorted(state.retry_count for state in line if state.status == RETRIED)
        if tried != list(range(len(tried))):
            yield Violation(DOUBLED, "one retry of each attempt", f"{_named(line[0])} was tried again as {tried}")
        ends = {state.retry_count for state in line if _is_end(state)} - {0}
        if not ends <= {len(tried)}:
            yield Violation(WRONG, "attempts are counted", f"{_named(line[0])} ended at {ends} after {tried}")


def executions_belong_to_states(evidence: Evidence) -> Iterator[Violation]:
    """Nothing was executed that is not there."""
    states = _by_id(evidence)
    for execution in evidence.executions:
        state = states.get(execution.state_id)
        if state is None or state.identifier != execution.identifier:
            yield Violation(LOST, "what ran is there", f"{execution} is of no state")
        elif state.retry_count != execution.attempt - 1:
            yield Violation(WRONG, "attempts are told", f"{execution} is of attempt {state.retry_count + 1}")


def what_ended_was_executed(evidence: Evidence) -> Iterator[Violation]:
    """Whatever ended by its node's word was executed at least once."""
    ran = {execution.state_id for execution in evidence.executions}
    groups: dict[tuple[Any, ...], list[StoredState]] = defaultdict(list)
    for state in evidence.contents.states:
        if state.status in PENDING or (state.error or "") == "lease expired":
            continue
        # Of siblings, only the one that fanned out ran.
        siblings = state.status == "SUCCESS"
        own = () if siblings else (state.id,)
        groups[state.run_key, state.identifier, state.text, state.parent, *own].append(state)
    for group in groups.values():
        if not any(state.id in ran for state in group):
            yield Violation(LOST, "at least once", f"{_named(group[0])} is {group[0].status} and never ran", len(group))


RULES: tuple[Callable[[Evidence], Iterable[Violation]], ...] = (
    every_run_exists_once,
    every_run_has_its_states,
    nothing_is_pending,
    counts_are_those_of_the_states,
    the_total_is_that_of_the_runs,
    parents_are_right,
    children_are_there_once,
    joins_count_what_is_below,
    joins_fired_once,
    retries_are_in_line,
    executions_belong_to_states,
    what_ended_was_executed,
)


def _is_end(state: StoredState) -> bool:
    return state.status != RETRIED


def _by_id(evidence: Evidence) -> dict[str, StoredState]:
    return {state.id: state for state in evidence.contents.states}


def _of(statuses: Mapping[str, int], group: Iterable[str]) -> int:
    return sum(statuses.get(status, 0) for status in group)


def _nodes(evidence: Evidence, state: StoredState) -> Sequence[Mapping[str, Any]]:
    run: StoredRun | None = evidence.contents.runs.get(state.run_key)
    return () if run is None else evidence.contents.graphs[run.version_id]


def _following(evidence: Evidence, state: StoredState) -> Iterator[Mapping[str, Any]]:
    """Return the nodes that follow a state which succeeded."""
    if state.status != "SUCCESS":
        return
    nodes = {node["identifier"]: node for node in _nodes(evidence, state)}
    yield from (nodes[identifier] for identifier in nodes[state.identifier]["next_nodes"])


def _united(
    evidence: Evidence,
) -> Iterator[tuple[StoredState, list[Mapping[str, Any]], list[StoredState]]]:
    """Return each united state with the nodes that unite it and the states below it."""
    below: dict[str, list[StoredState]] = defaultdict(list)
    for state in evidence.contents.states:
        for ancestor in state.parents.values():
            below[ancestor].append(state)
    for state in evidence.contents.states:
        uniters = [
            node
            for node in _nodes(evidence, state)
            if node["unites"] is not None and node["unites"]["identifier"] == state.identifier
        ]
        if uniters and state.status == "SUCCESS":
            yield state, uniters, below[state.id]


def _named(state: StoredState) -> str:
    return f"{state.identifier} {state.text} ({state.id} of run {state.run_key})"


def _spelled(pieces: Counter[Piece]) -> str:
    shown = [f"{piece.identifier} {piece.text} {piece.status} x {count}" for piece, count in pieces.most_common(5)]
    return ", ".join(shown) + (" …" if len(pieces) > len(shown) else "")
