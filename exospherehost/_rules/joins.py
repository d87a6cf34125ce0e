"""When a uniting node may start.

A join belongs to one *united state* U: the state that ran at the united identifier. Under U are
all states that carry U in ``parents``, at any depth, the uniting states themselves included. The
storage keeps two counters for each united state, of pending and of failed states under it, so a
join costs the same however wide the fan-out was.

When to look: after every transition to a terminal status of a state under U, once the counters
include whatever the same transaction created (children, a retry).

Which uniters start: none while a state under U is pending. With nothing pending, an ALL_DONE
uniter may start, and an ALL_SUCCESS uniter may if nothing failed; pruned states count as
successes, even when all are pruned. Of those that may, one that can be reached from another waits:
the other starts first and then is itself pending under U. A uniter that failures keep from
starting holds nobody back, just as an errored branch does not; were it to, an ALL_DONE uniter
behind it would be lost. Should a manual retry set it free later, it still starts, once.

In what order: the innermost united state first, since what its uniters create is pending under
the outer ones too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from exospherehost._rules.model import FAILED, PENDING, GraphNodeSpec, Status, UniteStrategy
from exospherehost._rules.topology import Topology


@dataclass(frozen=True, slots=True)
class Counts:
    """How many states under a united state are pending and failed, or the change of that."""

    pending: int = 0
    failed: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.pending + other.pending, self.failed + other.failed)


def counts_change(before: Status | None, after: Status) -> Counts:
    """Return what a transition adds to the counters of every united state above the state.

    Args:
        before: The status before, or None for a state that is being created.
        after: The status after.
    """
    return Counts(
        (after in PENDING) - (before in PENDING),
        (after in FAILED) - (before in FAILED),
    )


def counts_of(statuses: Iterable[Status]) -> Counts:
    """Return the counters from the statuses themselves, as a repair or a test needs them."""
    total = Counts()
    for status in statuses:
        total += counts_change(None, status)
    return total


def united_ancestors(topology: Topology, parents: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the united states above a state, the innermost first.

    Args:
        topology: The graph of the run.
        parents: The state's ``parents``, in order of creation.

    Returns:
        Pairs of identifier and state id.
    """
    if not topology.united:
        return []
    return [
        (identifier, state_id)
        for identifier, state_id in reversed(list(parents.items()))
        if identifier in topology.united
    ]


def ready_uniters(
    topology: Topology, united: str, counts: Counts, created: Collection[str]
) -> tuple[GraphNodeSpec, ...]:
    """Return the uniting nodes to create a state for now, for one united state.

    Args:
        topology: The graph of the run.
        united: The identifier of the united state.
        counts: Its counters.
        created: The identifiers of the uniting nodes that it already has a state of, whatever
            became of that.
    """
    if counts.pending:
        return ()
    able = [
        node
        for node in topology.uniters_of(united)
        if node.identifier not in created
        and node.unites is not None
        and (node.unites.strategy is UniteStrategy.ALL_DONE or not counts.failed)
    ]
    return tuple(
        node for node in able if not any(topology.reaches(other.identifier, node.identifier) for other in able)
    )


def child_parents(identifier: str, state_id: str, parents: Mapping[str, str]) -> dict[str, str]:
    """Return the ``parents`` of a child: the parent's own and the parent."""
    return {**parents, identifier: state_id}


def uniter_parents(united: str, united_id: str, united_state_parents: Mapping[str, str]) -> dict[str, str]:
    """Return the ``parents`` of a uniting state: the united state's own and the united state.

    What ran in between is left out: there may have been any number of it.
    """
    return child_parents(united, united_id, united_state_parents)
