"""Answers that are made without their models are those that the models would have made."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from exospherehost.server.domain.records import ClaimedRecord, JsonObject, RunCounts, RunListing
from exospherehost.server.http import response_bodies
from exospherehost.server.http.responses import encode
from exospherehost.server.service.reading import RunPage
from exospherehost.server.service.report_batches import Result
from exospherehost_client import models

_CLAIMED = ClaimedRecord(
    id="1" * 24,
    node_name="Nüde",
    identifier='"a"',
    inputs={"text": "\x00\u2028😀"},
    enqueue_after=1,
    created_at=1_795_000_000_123,
    graph_name="g",
    run_id="b6f7e2e4-9f0c-4b6e-8a8c-3f8f4f8f4f8f",
    retry_count=2,
    lease_expires_at=1_795_000_060_000,
)
_CLAIMS = [_CLAIMED, _CLAIMED._replace(lease_expires_at=None), _CLAIMED._replace(lease_expires_at=1)]
_COUNTS = RunCounts(pending=1, succeeded=2, errored=3, retried=4)
_PAGE = RunPage(7, [RunListing("r", "g", counts, 0, at) for counts in (_COUNTS, RunCounts()) for at in (None, 5)])
_RESULTS = [Result(), Result(400, "no"), Result(retry_created=False), Result(enqueue_after=3)]


@pytest.mark.parametrize(
    ("answer", "model"),
    [
        (response_bodies.claimed("space", _CLAIMS), models.EnqueueStatesResponse),
        (response_bodies.claimed("space", _CLAIMS, with_context=False), models.EnqueueStatesResponse),
        (response_bodies.claimed("space", []), models.EnqueueStatesResponse),
        (response_bodies.runs("space", 1, 20, _PAGE), models.ListRunsResponse),
        (response_bodies.runs("space", 1, 20, _PAGE, with_cancellation=False), models.ListRunsResponse),
        (response_bodies.report_results([("1" * 24, result) for result in _RESULTS]), models.ReportStatesResponse),
    ],
)
def test_they_are_read_and_written_as_their_models(answer: JsonObject, model: type[BaseModel]) -> None:
    sent = encode(answer)
    assert encode(model.model_validate_json(sent)) == sent
