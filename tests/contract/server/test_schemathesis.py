"""Requests made from the checked-in document, good and bad, against a live server.

Each operation is called with examples, boundary values and random data, within and outside its schema. No answer
may be a 5xx, have a status that the document does not declare, or a body or header that does not fit.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from exospherehost.server import ServerThread
from tests._support.fuzz_counts import count, fuzz_settings
from tests._support.service import Api, connect, good, registration

EXAMPLES = 25
EVENTS = "/v0/namespace/{namespace_name}/runs/{run_id}/events"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(files("exospherehost_client").joinpath("openapi.json").read_text("utf-8"))
    # What this server does not offer answers 404 or 405, which the document declares as well: it stays in.
    document["servers"] = []
    # The document describes a stream as the text that it is; Schemathesis holds each event against the schema.
    stream = document["paths"][EVENTS]["get"]["responses"]["200"]["content"]["text/event-stream"]
    stream["schema"] = {
        "type": "object",
        "required": ["id", "event", "data"],
        "properties": {"id": {"type": "string"}, "event": {"enum": ["state", "end"]}, "data": {"type": "string"}},
    }
    return document


schema = schemathesis.openapi.from_dict(_document())


settings = fuzz_settings(EXAMPLES)


@pytest.fixture
def existing(server: ServerThread) -> dict[str, str]:
    """Path parameters of things that exist, anew for each operation: a graph, a run of it, and a claimed state."""
    with connect(server) as http:
        api = Api(http)
        api.register(registration("Step", ["x"], ["y"], ["token"]))
        api.graph("g", api.node("a", {"x": "1"}, ["b"]), api.node("b", {"x": "2"}), secrets={"token": "v"})
        run = api.trigger("g")
        state_id = api.claim_one()["state_id"]
        ended = api.trigger("g")
        good(api.call("POST", f"/runs/{ended}/cancel"))
    return {
        "namespace_name": api.namespace,
        "graph_name": "g",
        "run_id": run,
        "state_id": state_id,
        "node_id": state_id,
        "ended_run_id": ended,
    }


@schema.parametrize()
@settings
def test_every_answer_is_as_the_document_says(case: schemathesis.Case[Any], server: ServerThread) -> None:
    call(case, server)


@schema.parametrize()
@settings
def test_so_is_every_answer_about_what_exists(
    case: schemathesis.Case[Any], server: ServerThread, existing: dict[str, str]
) -> None:
    known = {name: existing[name] for name in case.path_parameters if name in existing}
    if case.path == EVENTS:
        # The stream of a run that goes on would not end.
        known["run_id"] = existing["ended_run_id"]
    case.path_parameters = {**case.path_parameters, **known}
    call(case, server)


def call(case: schemathesis.Case[Any], server: ServerThread) -> None:
    if "Prefer" in case.headers:
        # The document's example asks for a wait that each empty answer would take.
        case.headers["Prefer"] = case.headers["Prefer"].replace("wait=20", "wait=0")
    answer = case.call(base_url=server.url, headers={"x-api-key": server.api_key}, timeout=30)
    count("by the document", answer.status_code)
    case.validate_response(answer, checks=CHECKS)
