"""Which report is taken in which status, and what the refusals say."""

from __future__ import annotations

import pytest

from exospherehost._rules import transitions
from exospherehost._rules.model import FAILED, PENDING, SUCCESSFUL, TERMINAL, Refusal, Status
from exospherehost._rules.transitions import Outcome

OTHERS_THAN_QUEUED = [status for status in Status if status is not Status.QUEUED]


def test_every_status_is_in_one_group() -> None:
    groups = [PENDING, SUCCESSFUL, FAILED, frozenset({Status.RETRY_CREATED})]
    assert sorted(status for group in groups for status in group) == sorted(Status)
    assert frozenset(Status) - PENDING == TERMINAL


def test_a_queued_state_takes_every_report() -> None:
    queued = Status.QUEUED
    assert transitions.executed(queued) == Outcome(Status.SUCCESS)
    assert transitions.errored(queued, retries_left=True) == Outcome(Status.RETRY_CREATED)
    assert transitions.errored(queued, retries_left=False) == Outcome(Status.ERRORED)
    assert transitions.prune(queued) == Outcome(Status.PRUNED)
    assert transitions.requeue(queued) == Outcome(Status.CREATED)
    assert transitions.manual_retry(queued) == Outcome(Status.RETRY_CREATED)
    assert transitions.cancel(queued) == Outcome(Status.PRUNED)


@pytest.mark.parametrize("status", OTHERS_THAN_QUEUED)
def test_a_success_report_needs_a_queued_state(status: Status) -> None:
    assert transitions.executed(status) == Refusal(400, "State is not queued")


@pytest.mark.parametrize("retries_left", [True, False])
@pytest.mark.parametrize("status", OTHERS_THAN_QUEUED)
def test_a_failure_report_needs_a_queued_state(status: Status, retries_left: bool) -> None:
    detail = "State is already executed" if status is Status.EXECUTED else "State is not queued or executed"
    assert transitions.errored(status, retries_left=retries_left) == Refusal(400, detail)


@pytest.mark.parametrize("status", OTHERS_THAN_QUEUED)
def test_a_prune_signal_needs_a_queued_state_or_one_pruned_before(status: Status) -> None:
    expected: Outcome | Refusal = Refusal(400, "State is not queued")
    if status is Status.PRUNED:
        expected = Outcome(Status.PRUNED, changed=False)
    assert transitions.prune(status) == expected


@pytest.mark.parametrize("status", OTHERS_THAN_QUEUED)
def test_a_requeue_signal_leaves_any_other_state_alone(status: Status) -> None:
    assert transitions.requeue(status) == Outcome(status, changed=False)


@pytest.mark.parametrize("status", list(Status))
def test_a_manual_retry_takes_every_status_but_two(status: Status) -> None:
    decision = transitions.manual_retry(status)
    if status in (Status.CREATED, Status.EXECUTED):
        assert isinstance(decision, Refusal)
        assert decision.status_code == 400
    else:
        assert decision == Outcome(Status.RETRY_CREATED)


@pytest.mark.parametrize("status", list(Status))
def test_a_cancelled_run_takes_no_manual_retry(status: Status) -> None:
    decision = transitions.manual_retry(status, run_cancelled=True)
    assert isinstance(decision, Refusal)
    assert "cancelled" in decision.detail


@pytest.mark.parametrize("status", list(Status))
def test_only_a_created_state_can_be_claimed(status: Status) -> None:
    expected: Outcome | Refusal = Refusal(400, "State is not created")
    if status is Status.CREATED:
        expected = Outcome(Status.QUEUED)
    assert transitions.claim(status) == expected


@pytest.mark.parametrize("status", list(Status))
def test_cancelling_prunes_what_waits_or_runs(status: Status) -> None:
    expected = Outcome(status, changed=False)
    if status in (Status.CREATED, Status.QUEUED):
        expected = Outcome(Status.PRUNED)
    assert transitions.cancel(status) == expected


@pytest.mark.parametrize(
    ("refusal", "status_code", "detail"),
    [
        (transitions.STATE_NOT_FOUND, 404, "State not found"),
        (transitions.GRAPH_NOT_FOUND, 404, "Graph template not found"),
        (transitions.GRAPH_NOT_VALID, 400, "Graph template is not valid"),
        (transitions.DUPLICATE_RETRY, 409, "Duplicate retry state detected"),
    ],
)
def test_the_literals_of_the_lookups(refusal: Refusal, status_code: int, detail: str) -> None:
    assert (refusal.status_code, refusal.detail) == (status_code, detail)
