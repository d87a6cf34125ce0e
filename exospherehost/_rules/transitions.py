"""What a report or a signal makes of a state, decided from the state's status alone.

Each function returns an :class:`Outcome` or the :class:`~.model.Refusal` to answer with. The
storage applies an outcome as a compare-and-set on the status it was decided from.
"""

from __future__ import annotations

from typing import NamedTuple

from exospherehost._rules.model import Refusal, Status

STATE_NOT_FOUND = Refusal(404, "State not found")
RUN_NOT_FOUND = Refusal(404, "Run not found")
GRAPH_NOT_FOUND = Refusal(404, "Graph template not found")
GRAPH_NOT_VALID = Refusal(400, "Graph template is not valid")
DUPLICATE_RETRY = Refusal(409, "Duplicate retry state detected")
NOT_QUEUED = Refusal(400, "State is not queued")
NOT_QUEUED_OR_EXECUTED = Refusal(400, "State is not queued or executed")
ALREADY_EXECUTED = Refusal(400, "State is already executed")
NOT_CREATED = Refusal(400, "State is not created")
NOTHING_TO_RETRY = Refusal(400, "State is waiting to be claimed, so there is nothing to retry yet")
RUN_CANCELLED = Refusal(400, "Run is cancelled, so none of its states can be retried")


class Outcome(NamedTuple):
    """The status that a state is to have.

    Attributes:
        status: The status after the report.
        changed: Whether anything is to be written. If not, the answer is 200 with the state as
            it is.
    """

    status: Status
    changed: bool = True


def claim(status: Status) -> Outcome | Refusal:
    """Decide on a claim by a runtime."""
    return Outcome(Status.QUEUED) if status is Status.CREATED else NOT_CREATED


def executed(status: Status) -> Outcome | Refusal:
    """Decide on a success report.

    The outcome is SUCCESS, as children are created in the same transaction; when they cannot be,
    the caller sets NEXT_CREATED_ERROR instead.
    """
    return Outcome(Status.SUCCESS) if status is Status.QUEUED else NOT_QUEUED


def errored(status: Status, *, retries_left: bool) -> Outcome | Refusal:
    """Decide on a failure report, or on a lease that ran out.

    Args:
        status: The state's status.
        retries_left: Whether the retry policy allows another attempt. If so, a new state is to
            be created along with the outcome RETRY_CREATED.
    """
    if status is Status.EXECUTED:
        return ALREADY_EXECUTED
    if status is not Status.QUEUED:
        return NOT_QUEUED_OR_EXECUTED
    return Outcome(Status.RETRY_CREATED if retries_left else Status.ERRORED)


def prune(status: Status) -> Outcome | Refusal:
    """Decide on a prune signal; a repeated one is answered like the first."""
    if status is Status.PRUNED:
        return Outcome(status, changed=False)
    return Outcome(Status.PRUNED) if status is Status.QUEUED else NOT_QUEUED


def requeue(status: Status) -> Outcome:
    """Decide on a re-enqueue signal, which acts only on a queued state and is never refused."""
    if status is Status.QUEUED:
        return Outcome(Status.CREATED)
    return Outcome(status, changed=False)


def manual_retry(status: Status, *, run_cancelled: bool = False) -> Outcome | Refusal:
    """Decide on an operator's retry; a new state is to be created along with the outcome."""
    if run_cancelled:
        return RUN_CANCELLED
    if status is Status.CREATED:
        return NOTHING_TO_RETRY
    if status is Status.EXECUTED:
        return ALREADY_EXECUTED
    return Outcome(Status.RETRY_CREATED)


def cancel(status: Status) -> Outcome:
    """Decide what becomes of a state whose run is cancelled."""
    if status in (Status.CREATED, Status.QUEUED):
        return Outcome(Status.PRUNED)
    return Outcome(status, changed=False)
