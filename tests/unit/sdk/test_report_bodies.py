"""What is sent of an outcome is what the service's document says, although no generated model makes it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from exospherehost._reports import Kind, Outcome, errored, from_journal, handed_back
from exospherehost_client import models

OUTCOMES: dict[Kind, list[tuple[Outcome, type[BaseModel]]]] = {
    "executed": [
        (Outcome("a", "executed", {"outputs": []}), models.ExecutedRequest),
        (Outcome("a", "executed", {"outputs": [{"x": "1"}, {"x": "2"}]}), models.ExecutedRequest),
    ],
    "errored": [
        (errored("a", "ValueError: no"), models.ErroredRequest),
        (errored("a", ""), models.ErroredRequest),
    ],
    "pruned": [(Outcome("a", "pruned", {"data": {"why": ["old", 1, None]}}), models.PruneRequest)],
    "requeued": [(handed_back("a", {}), models.RequeueRequest)],
}
CASES = [case for cases in OUTCOMES.values() for case in cases]


@pytest.mark.parametrize(("outcome", "model"), CASES)
def test_body_is_what_its_own_operation_takes(outcome: Outcome, model: type[BaseModel]) -> None:
    assert model.model_validate(outcome.body).model_dump() == outcome.body


@pytest.mark.parametrize("outcome", [outcome for outcome, _ in CASES])
def test_report_is_what_the_batch_takes(outcome: Outcome) -> None:
    report = models.StateReport.model_validate(outcome.as_report())
    assert report.model_dump(exclude_unset=True) == outcome.as_report()
    given: set[str] = report.model_fields_set - {"state_id"}
    assert len(given) == 1


@pytest.mark.parametrize("outcome", [outcome for outcome, _ in CASES])
def test_journal_gives_back_what_it_was_given(outcome: Outcome) -> None:
    text = json.dumps(outcome.as_report())
    read: dict[str, Any] = {"kind": from_journal(text).kind, "report": from_journal(text).as_report()}
    assert read == {"kind": outcome.kind, "report": outcome.as_report()}
