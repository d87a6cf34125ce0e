"""The OpenAPI document is valid, complete and fits the generated models."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from importlib.resources import files
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from exospherehost_client import models
from exospherehost_client._model import WireModel
from exospherehost_client.patterns import PATH_PATTERNS

DOCUMENT: dict[str, Any] = json.loads(
    files("exospherehost_client").joinpath("openapi.json").read_text(encoding="utf-8")
)
EXTENSION = "x-exosphere-extension"

OPERATIONS = {
    "states": {
        "enqueue_states", "report_executed", "report_errored", "prune_state", "requeue_state", "retry_state",
        "get_state_secrets",
    },
    "graphs": {"upsert_graph", "get_graph", "list_graphs", "trigger_graph"},
    "nodes": {"register_nodes", "list_nodes", "list_namespaces"},
    "runs": {"list_runs", "get_run_graph", "get_state"},
    "service": {"get_health"},
}  # fmt: skip
EXTENSIONS = {
    "renew_leases": "lease",
    "report_states": "batch-report",
    "cancel_run": "cancel",
    "delete_graph": "delete-graph",
    "stream_run_events": "events",
}


def resolve(item: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in item:
        target: Any = DOCUMENT
        for part in item["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        item = target
    return item


def operations() -> dict[str, dict[str, Any]]:
    """The operations by id, each with its path and the parameters of the path."""
    return {
        operation["operationId"]: {
            **operation,
            "path": path,
            "parameters": [resolve(each) for each in (*item.get("parameters", ()), *operation.get("parameters", ()))],
        }
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }


def bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each JSON body, of requests and of responses, with the place it stands in."""
    for name, operation in operations().items():
        if "requestBody" in operation:
            yield f"{name}-request", resolve(operation["requestBody"])["content"]["application/json"]
        for status, reference in operation["responses"].items():
            for media in resolve(reference).get("content", {}).values():
                if "$ref" in media["schema"]:
                    yield f"{name}-{status}", media


def examples(media: dict[str, Any]) -> list[Any]:
    return [media["example"]] if "example" in media else [each["value"] for each in media.get("examples", {}).values()]


def model_of(media: dict[str, Any]) -> type[WireModel]:
    model: type[WireModel] = getattr(models, media["schema"]["$ref"].rpartition("/")[2])
    return model


def schemas() -> dict[str, dict[str, Any]]:
    named: dict[str, dict[str, Any]] = DOCUMENT["components"]["schemas"]
    return named


def parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A schema and all that it is made of."""
    yield schema
    below = [*schema.get("properties", {}).values(), *schema.get("anyOf", ()), *schema.get("oneOf", ())]
    below += [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
    for part in below:
        yield from parts(part)


def with_times(value: Any) -> Any:
    """The same JSON with timestamps parsed, so that spellings of one moment are equal."""
    if isinstance(value, dict):
        return {key: with_times(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_times(item) for item in value]
    if isinstance(value, str) and value[4:5] == "-" and value[10:11] == "T":
        return datetime.fromisoformat(value)
    return value


def test_the_document_is_valid_openapi_3_1() -> None:
    validate(DOCUMENT, cls=OpenAPIV31SpecValidator)


def test_all_operations_are_there_under_their_tags() -> None:
    found = operations()
    hosted = {tag: {n for n, o in found.items() if o["tags"] == [tag] and EXTENSION not in o} for tag in OPERATIONS}
    assert hosted == OPERATIONS
    assert {name: o[EXTENSION] for name, o in found.items() if EXTENSION in o} == EXTENSIONS


def test_an_extension_operation_may_answer_404_and_405() -> None:
    found = operations()
    assert [name for name in EXTENSIONS if not {"404", "405"} <= found[name]["responses"].keys()] == []


def test_extension_fields_and_headers_are_marked_and_optional() -> None:
    marked = {
        f"{name}.{field}": part[EXTENSION]
        for name, schema in schemas().items()
        for field, part in schema.get("properties", {}).items()
        if EXTENSION in part
    }
    assert marked == {
        "TriggerGraphRequest.states": "trigger-states",
        "TriggerGraphResponse.states": "trigger-states",
        "EnqueueStatesRequest.lease_ms": "lease",
        "ClaimedState.graph_name": "context",
        "ClaimedState.run_id": "context",
        "ClaimedState.attempt": "context",
        "ClaimedState.lease_expires_at": "lease",
        "ClaimedState.claim_token": "claim-token",
        "ExecutedRequest.claim_token": "claim-token",
        "ErroredRequest.claim_token": "claim-token",
        "PruneRequest.claim_token": "claim-token",
        "RequeueRequest.claim_token": "claim-token",
        "RenewLeasesRequest.claim_tokens": "claim-token",
        "RegisterNodesResponse.warnings": "warnings",
        "TriggerGraphResponse.warnings": "warnings",
        "RunSummary.cancelled_at": "cancel",
        "RunGraphResponse.cancelled_at": "cancel",
    }
    assert [
        each for each in marked if each.partition(".")[2] in schemas()[each.partition(".")[0]].get("required", ())
    ] == []
    headers = {
        each["name"]: (name, each[EXTENSION], each.get("required", False))
        for name, operation in operations().items()
        for each in operation["parameters"]
        if EXTENSION in each
    }
    assert headers == {
        "Prefer": ("enqueue_states", "wait", False),
        "Idempotency-Key": ("trigger_graph", "idempotency", False),
    }


def test_every_operation_but_health_needs_the_key() -> None:
    found = operations()
    assert [name for name, operation in found.items() if operation["security"] != [{"ApiKey": []}]] == ["get_health"]
    assert [name for name, operation in found.items() if "401" not in operation["responses"]] == ["get_health"]
    assert DOCUMENT["components"]["securitySchemes"]["ApiKey"]["name"] == "x-api-key"


def test_every_operation_takes_and_gives_a_request_id_and_may_fail() -> None:
    for name, operation in operations().items():
        assert "x-exosphere-request-id" in {each["name"] for each in operation["parameters"]}, name
        assert "500" in operation["responses"], name
        for status, reference in operation["responses"].items():
            assert "x-exosphere-request-id" in resolve(reference)["headers"], (name, status)


def test_error_statuses_have_the_three_shapes() -> None:
    shapes = {
        (status, media["schema"]["$ref"].rpartition("/")[2])
        for operation in operations().values()
        for status, reference in operation["responses"].items()
        if status >= "300"
        for media in resolve(reference)["content"].values()
    }
    assert shapes == {
        *((status, "ErrorDetail") for status in ("400", "401", "403", "404", "405", "408", "409", "413", "429", "503")),
        ("422", "ValidationErrorDetail"),
        ("500", "ServerError"),
    }


def test_objects_and_enumerations_are_named() -> None:
    inner = [part for schema in schemas().values() for part in parts(schema) if part is not schema]
    assert [part for part in inner if "properties" in part or "enum" in part] == []


def test_only_the_data_of_events_stands_in_no_body() -> None:
    text = json.dumps(DOCUMENT)
    assert [name for name in schemas() if f'"#/components/schemas/{name}"' not in text] == ["RunEvent"]


def test_every_schema_field_and_operation_is_described() -> None:
    assert [name for name, schema in schemas().items() if not schema.get("description")] == []
    assert [name for name, operation in operations().items() if not operation.get("description")] == []


def fields() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for schema in schemas().values():
        for name, part in schema.get("properties", {}).items():
            yield name, part.get("description", ""), part


def test_durations_and_times_name_their_unit() -> None:
    durations = ("enqueue_after", "start_delay", "backoff_factor", "max_delay", "lease_ms")
    told = [text for name, text, _ in fields() if name in durations]
    assert len(told) >= len(durations)
    assert [text for text in told if "millisecond" not in text.lower()] == []
    times = [text for _, text, part in fields() if part.get("format") == "date-time"]
    assert times
    assert [text for text in times if "ISO 8601" not in text] == []


@pytest.mark.parametrize(("place", "media"), [pytest.param(place, media, id=place) for place, media in bodies()])
def test_every_body_has_examples_that_its_model_keeps_whole(place: str, media: dict[str, Any]) -> None:
    assert examples(media), f"{place} has no example"
    for example in examples(media):
        parsed = model_of(media).model_validate_json(json.dumps(example))
        assert with_times(json.loads(parsed.model_dump_json(exclude_unset=True))) == with_times(example)


def test_patterns_of_paths_are_generated_and_fit_the_examples() -> None:
    in_paths = [each for operation in operations().values() for each in operation["parameters"] if each["in"] == "path"]
    examples = {(each["name"], each["example"]) for each in in_paths if "pattern" in each["schema"]}

    assert {name for name, _ in examples} == PATH_PATTERNS.keys() >= {"run_id", "state_id"}
    for name, example in examples:
        assert re.fullmatch(PATH_PATTERNS[name], example)
        assert not re.fullmatch(PATH_PATTERNS[name], f"{example}/")


def test_the_example_of_the_event_stream_fits_its_model() -> None:
    media = resolve(operations()["stream_run_events"]["responses"]["200"])["content"]["text/event-stream"]
    data = [line.removeprefix("data: ") for line in media["example"].splitlines() if line.startswith("data: ")]
    assert [models.RunEvent.model_validate_json(each).status for each in data] == ["SUCCESS"]
