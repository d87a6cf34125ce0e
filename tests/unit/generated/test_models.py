"""What the models take, tolerate, send and show."""

import json
import math
import pickle
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from exospherehost_client import models
from exospherehost_client._model import WireModel
from exospherehost_client._wire import json_body
from exospherehost_client.api.states import report_executed

GRAPH_ITEM: dict[str, Any] = {
    "_id": "65f0c0ffee0123456789abcd",
    "name": "invoices",
    "namespace": "billing",
    "nodes": [
        {
            "node_name": "Read",
            "namespace": "billing",
            "identifier": "read",
            "inputs": {},
            "next_nodes": [],
            "unites": {"identifier": "split", "strategy": "MOST_DONE"},
        }
    ],
    "secrets": {"token": "mask"},
    "retry_policy": {
        "max_retries": 1,
        "strategy": "FIBONACCI",
        "backoff_factor": 1,
        "exponent": 2,
        "max_delay": None,
    },
    "store_config": {"required_keys": [], "default_values": {}},
    "triggers": [{"type": "WEBHOOK", "value": {"url": "x"}}],
    "created_at": "2026-03-01T09:30:00",
    "updated_at": "2026-03-01T09:30:00.125000",
    "validation_status": "STALE",
    "validation_errors": [],
}


def test_a_known_member_is_the_enumeration_and_an_unknown_one_is_text() -> None:
    summary = {
        "graph_name": "g", "success_count": 0, "pending_count": 0, "errored_count": 0, "retried_count": 0,
        "total_count": 0, "created_at": "2026-03-01T09:30:00Z",
    }  # fmt: skip
    answer = {
        "namespace": "n", "total": 2, "page": 1, "size": 20,
        "runs": [{**summary, "run_id": "a", "status": "SUCCESS"}, {**summary, "run_id": "b", "status": "PAUSED"}],
    }  # fmt: skip
    statuses = [run.status for run in models.ListRunsResponse.model_validate_json(json.dumps(answer)).runs]
    assert statuses == ["SUCCESS", "PAUSED"]
    assert [type(status) for status in statuses] == [models.RunStatus, str]


def test_no_unknown_member_makes_a_list_unreadable() -> None:
    text = json.dumps({"namespace": "billing", "count": 1, "templates": [GRAPH_ITEM]})
    item = models.ListGraphsResponse.model_validate_json(text).templates[0]
    assert item.nodes[0].unites is not None
    assert item.nodes[0].unites.strategy == "MOST_DONE"
    assert (item.retry_policy.strategy, item.triggers[0].type, item.validation_status) == (
        "FIBONACCI",
        "WEBHOOK",
        "STALE",
    )


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (models.RetryPolicy, {"strategy": "FIBONACCI"}),
        (models.Unites, {"identifier": "split", "strategy": "MOST_DONE"}),
        (models.Trigger, {"type": "WEBHOOK", "value": {"expression": "* * * * *"}}),
    ],
)
def test_a_request_takes_only_known_members(model: type[WireModel], fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="enum"):
        model.model_validate(fields)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T09:30:00", datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
        ("2026-03-01T09:30:00.125000", datetime(2026, 3, 1, 9, 30, 0, 125_000, tzinfo=UTC)),
        ("2026-03-01T09:30:00.125Z", datetime(2026, 3, 1, 9, 30, 0, 125_000, tzinfo=UTC)),
        ("2026-03-01T09:30:00+05:30", datetime(2026, 3, 1, 9, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))),
    ],
)
def test_a_time_is_read_with_or_without_fraction_and_zone(text: str, moment: datetime) -> None:
    lease = models.HeldLease.model_validate_json(json.dumps({"state_id": "a", "lease_expires_at": text}))
    assert lease.lease_expires_at == moment
    assert lease.lease_expires_at.utcoffset() is not None


def test_a_naive_time_given_in_python_is_utc_too() -> None:
    naive = datetime(2026, 3, 1, 9, 30, tzinfo=UTC).replace(tzinfo=None)
    assert models.HeldLease(state_id="a", lease_expires_at=naive).lease_expires_at == naive.replace(tzinfo=UTC)


def test_the_id_of_lists_has_a_python_name() -> None:
    read = models.GraphListItem.model_validate_json(json.dumps(GRAPH_ITEM))
    assert read.id == GRAPH_ITEM["_id"]
    assert json.loads(read.model_dump_json())["_id"] == GRAPH_ITEM["_id"]
    by_name = {**GRAPH_ITEM, "id": GRAPH_ITEM["_id"]}
    del by_name["_id"]
    assert models.GraphListItem.model_validate(by_name) == read


def test_unknown_fields_are_dropped_except_where_the_document_keeps_them() -> None:
    assert "later" not in models.ErrorDetail.model_validate({"detail": "x", "later": 1}).model_dump()
    schedule = models.CronSchedule.model_validate({"expression": "* * * * *", "timezone": "UTC"})
    assert schedule.model_dump() == {"expression": "* * * * *", "timezone": "UTC"}


def test_a_detail_of_numbers_and_names_keeps_its_types() -> None:
    issue = models.ValidationIssue.model_validate_json('{"type": "t", "loc": ["body", 3, "3"], "msg": "m"}')
    assert issue.loc == ["body", 3, "3"]


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (models.EnqueueStatesRequest(nodes=["a"], batch_size=2), {"nodes": ["a"], "batch_size": 2}),
        (models.EnqueueStatesRequest(nodes=["a"], batch_size=2, lease_ms=None), {"nodes": ["a"], "batch_size": 2}),
        (
            models.EnqueueStatesRequest(nodes=["a"], batch_size=2, lease_ms=1000),
            {"nodes": ["a"], "batch_size": 2, "lease_ms": 1000},
        ),
        (models.TriggerGraphRequest(), {}),
        (models.TriggerGraphRequest(start_delay=0, states=None), {"start_delay": 0}),
        (models.RetryPolicy(max_delay=None), {"max_delay": None}),
        (
            models.GraphNode(node_name="N", namespace="n", identifier="i", inputs={"a": None}, unites=None),
            {"node_name": "N", "namespace": "n", "identifier": "i", "inputs": {"a": None}, "unites": None},
        ),
        (
            models.ReportStatesRequest(
                reports=[
                    models.StateReport(
                        state_id="a", executed=models.ExecutedRequest(outputs=[{"x": None}]), errored=None
                    )
                ]
            ),
            {"reports": [{"state_id": "a", "executed": {"outputs": [{"x": None}]}}]},
        ),
        (
            models.Trigger(type=models.TriggerType.CRON, value=models.CronSchedule(expression="* * * * *")),
            {"type": "CRON", "value": {"expression": "* * * * *"}},
        ),
    ],
)
def test_what_was_not_set_is_left_out_and_null_is_sent_only_where_it_is_meant(body: WireModel, sent: Any) -> None:
    assert json.loads(json_body(body)) == sent


def test_a_subclass_leaves_none_out_too() -> None:
    class Request(models.EnqueueStatesRequest):
        note: str | None = None

    request = Request(nodes=[], batch_size=1, lease_ms=None, note=None)
    assert json.loads(json_body(request)) == {"nodes": [], "batch_size": 1, "note": None}


def test_nan_is_not_turned_into_null() -> None:
    body = json_body(models.ExecutedRequest(outputs=[{"x": math.nan}]))
    assert body == b'{"outputs":[{"x":NaN}]}'


def test_a_plain_body_is_sent_as_it_is() -> None:
    plain = {"outputs": [{"x": math.nan, "y": None}]}
    request = report_executed.build_request("ns", "a", body=plain)
    assert request.content == b'{"outputs":[{"x":NaN,"y":null}]}'
    with pytest.raises(ValueError, match="serialize"):
        report_executed.build_request("ns", "a", body={"outputs": [object()]})


def test_secret_values_are_in_no_repr_and_in_no_validation_error() -> None:
    secret = "value-that-must-not-show"
    response = models.SecretsResponse(secrets={"token": secret})
    request = models.UpsertGraphRequest(secrets={"token": secret}, nodes=[])
    for model in (response, request):
        assert "token" in repr(model)
        assert secret not in repr(model) + str(model)
    with pytest.raises(ValidationError) as caught:
        models.SecretsResponse.model_validate({"secrets": {"token": [secret]}})
    assert secret not in str(caught.value) + repr(caught.value)


def test_the_names_of_needed_secrets_are_shown() -> None:
    node = models.NodeRegistration(name="N", inputs_schema={}, outputs_schema={}, secrets=["token"])
    assert "secrets=['token']" in repr(node)


def test_models_survive_pickling() -> None:
    item = models.GraphListItem.model_validate(GRAPH_ITEM)
    assert pickle.loads(pickle.dumps(item)) == item
