"""What is told of a run: how it stands, and each transition of its states."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from exospherehost._errors import RunFailedError
from exospherehost_client import models

_FAILED_STATES: frozenset[str] = frozenset({models.StateStatus.ERRORED, models.StateStatus.NEXT_CREATED_ERROR})
_UNFINISHED_STATES: frozenset[str] = frozenset(
    {models.StateStatus.CREATED, models.StateStatus.QUEUED, models.StateStatus.EXECUTED}
)


@dataclass(frozen=True, slots=True)
class Transition:
    """A state of a run has come to another status.

    Attributes:
        state_id: the state.
        identifier: the node's identifier in the graph.
        node_name: the node's name.
        status: the new status, such as `StateStatus.SUCCESS`; text for one that this version does not know.
        occurred_at: when, in UTC; None where it was seen by polling, which does not tell.
        event_id: what `watch` goes on from after a restart of the program; None where it was seen by polling.
    """

    state_id: str
    identifier: str
    node_name: str
    status: models.StateStatus | str
    occurred_at: datetime | None = None
    event_id: str | None = None


class Run(models.RunGraphResponse):
    """A run and its states, as they stood when they were read.

    Beside the fields below it has `graph_name`, `nodes` (the states, in the order of their creation),
    `edges`, `root_states` and `execution_summary` (how many states have each status).

    Attributes:
        run_id: the run.
        status: PENDING while any state is pending, else FAILED if any has failed or the run was
            cancelled, else SUCCESS.
        cancelled_at: when the run was cancelled, in UTC; None if it was not.
    """

    run_id: str
    status: models.RunStatusValue
    cancelled_at: datetime | None = None

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Show how it stands, and not each of its states: what pydantic's and rich's representations are made of."""
        yield "run_id", self.run_id
        yield "graph_name", self.graph_name
        yield "status", str(self.status)
        if self.cancelled_at is not None:
            yield "cancelled_at", self.cancelled_at.isoformat()
        yield "states", {status: count for status, count in self.execution_summary.items() if count}

    @property
    def is_finished(self) -> bool:
        """Whether no state is pending any more."""
        return self.status != models.RunStatus.PENDING

    @property
    def failed_states(self) -> list[models.RunGraphNode]:
        """The states that have failed for good; each has its `error`."""
        return [node for node in self.nodes if node.status in _FAILED_STATES]

    def raise_for_status(self) -> Self:
        """Return the run itself, unless it has failed.

        Raises:
            RunFailedError: it has failed, or was cancelled.
        """
        if self.status == models.RunStatus.FAILED:
            reasons = [f"{node.identifier} ({node.id}): {node.error or 'no text'}" for node in self.failed_states]
            raise RunFailedError(self.run_id, self.graph_name, reasons, is_cancelled=self.cancelled_at is not None)
        return self


def as_run(run_id: str, graph: models.RunGraphResponse) -> Run:
    """Derive the run's status from its states, as the service does in its list of runs (contract, 11.1)."""
    found = {status for status, count in graph.execution_summary.items() if count}
    # A cancelled run's states do not tell it: those that ended before have their own statuses, and the rest are pruned.
    if graph.cancelled_at is not None:
        status = models.RunStatus.FAILED
    elif found & _UNFINISHED_STATES:
        status = models.RunStatus.PENDING
    elif found & _FAILED_STATES or graph.node_count == 0:
        status = models.RunStatus.FAILED
    else:
        status = models.RunStatus.SUCCESS
    return Run.model_construct(**dict(graph), run_id=run_id, status=status)
