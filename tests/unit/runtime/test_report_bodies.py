"""What is sent of an outcome is what the service's document says, although no generated model makes it."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel

from exospherehost._runtime.outcomes import Kind, Outcome, errored, executed, from_journal, handed_back, pruned
from exospherehost_client import models

OUTCOMES: dict[Kind, list[tuple[Outcome, type[BaseModel]]]] = {
    "executed": [
        (executed("a", [], (), 0, {}), models.ExecutedRequest),
        (executed("a", [{"x": "1"}, {"x": "2"}], (), 0, {}), models.ExecutedRequest),
    ],
    "errored": [
        (errored("a", "ValueError: no"), models.ErroredRequest),
        (errored("a", ""), models.ErroredRequest),
    ],
    "pruned": [(pruned("a", {"why": ["old", 1, None]}, (), 0, {}), models.PruneRequest)],
    "requeued": [(handed_back("a", {}), models.RequeueRequest)],
}
CASES = [case for cases in OUTCOMES.values() for case in cases]


@pytest.mark.parametrize(("outcome", "model"), CASES)
def test_body_is_what_its_own_operation_takes(outcome: Outcome, model: type[BaseModel]) -> None:
    (body,) = (value for name, value in outcome.report.items() if name != "state_id")
    assert model.model_validate(body).model_dump() == body


@pytest.mark.parametrize("outcome", [outcome for outcome, _ in CASES])
def test_report_is_what_the_batch_takes(outcome: Outcome) -> None:
    report = models.StateReport.model_validate(outcome.report)
    assert report.model_dump(exclude_unset=True) == outcome.report


@pytest.mark.parametrize("outcome", [outcome for outcome, _ in CASES])
def test_journal_gives_back_what_it_was_given(outcome: Outcome) -> None:
    read = from_journal(json.dumps(outcome.report))
    assert (read.state_id, read.kind, read.report) == (outcome.state_id, outcome.kind, outcome.report)
