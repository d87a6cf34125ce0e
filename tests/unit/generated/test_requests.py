"""What the operations send."""

from typing import Any

import httpx
import pytest

from exospherehost_client.api.graphs import trigger_graph
from exospherehost_client.api.nodes import list_nodes
from exospherehost_client.api.runs import get_state, list_runs
from exospherehost_client.api.service import get_health
from exospherehost_client.api.states import enqueue_states
from exospherehost_client.models import EnqueueStatesRequest, TriggerGraphRequest
from exospherehost_client.types import Headers, Request

CLAIM = EnqueueStatesRequest(nodes=["Read"], batch_size=1)
CLAIMED = {"count": 0, "namespace": "billing", "status": "QUEUED", "states": []}


@pytest.mark.parametrize(
    ("namespace", "segment"),
    [
        ("billing", "billing"),
        ("a b", "a%20b"),
        (" ", "%20"),
        ("a/b", "a%2Fb"),
        ("a?b#c", "a%3Fb%23c"),
        ("50%", "50%25"),
        ("%2F", "%252F"),
        ("grün", "gr%C3%BCn"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("...", "..."),
        ("v1.2", "v1.2"),
        ("a;b:c@d", "a%3Bb%3Ac%40d"),
        ("line\r\nbreak", "line%0D%0Abreak"),
    ],
)
def test_a_path_segment_is_encoded_whole(call: Any, namespace: str, segment: str) -> None:
    assert list_nodes.build_request(namespace).path == f"/v0/namespace/{segment}/nodes/"
    answer = httpx.Response(200, json={"namespace": namespace, "count": 0, "nodes": []})
    assert call(list_nodes, namespace, client=call.client(answer)).namespace == namespace
    assert call.requests[0].url.raw_path == f"/v0/namespace/{segment}/nodes/".encode()


def test_an_empty_segment_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        list_nodes.build_request("")


def test_the_order_of_path_parameters_is_the_paths() -> None:
    request = get_state.build_request("n", "g", "r", "s")
    assert (request.method, request.path) == ("GET", "/v0/namespace/n/graph/g/run/r/node/s")
    assert list_runs.build_request("n", 2, 50).path == "/v0/namespace/n/runs/2/50"


@pytest.mark.parametrize("base_url", ["http://service.test", "http://service.test/", "http://service.test/base/"])
def test_the_base_urls_path_is_kept_and_its_slash_is_not_doubled(call: Any, base_url: str) -> None:
    call(get_health, client=call.client(httpx.Response(200, json={"status": "ok"}), base_url=base_url))
    assert str(call.requests[0].url) == base_url.rstrip("/") + "/health"


def test_optional_headers_are_sent_when_given_only() -> None:
    plain = enqueue_states.build_request("n", body=CLAIM)
    assert dict(plain.headers) == {"content-type": "application/json"}
    full = enqueue_states.build_request("n", body=CLAIM, prefer="wait=20", x_exosphere_request_id="id")
    assert dict(full.headers) == {**plain.headers, "Prefer": "wait=20", "x-exosphere-request-id": "id"}
    keyed = trigger_graph.build_request("n", "g", body=TriggerGraphRequest(), idempotency_key="once")
    assert keyed.headers["Idempotency-Key"] == "once"


def test_the_key_and_the_clients_headers_are_sent(call: Any) -> None:
    client = call.client(httpx.Response(200, json=CLAIMED), headers={"x-tenant": "a"})
    call(enqueue_states, "billing", client=client, body=CLAIM)
    sent = call.requests[0]
    assert sent.headers["x-api-key"] == "key-that-must-not-show"
    assert (sent.headers["x-tenant"], sent.headers["content-type"]) == ("a", "application/json")
    assert sent.content == b'{"nodes":["Read"],"batch_size":1}'
    assert "authorization" not in sent.headers


def test_a_request_is_frozen_and_shows_neither_headers_nor_body() -> None:
    request = Request("PUT", "/x", headers={"x-api-key": "key"}, content=b"secret", params={"q": "a b"})
    assert request.target == "/x?q=a+b"
    assert "secret" not in repr(request)
    assert "'key'" not in repr(request)
    with pytest.raises(AttributeError):
        request.method = "GET"  # type: ignore[misc]


def test_headers_are_looked_up_in_any_case_and_shown_without_values() -> None:
    headers = Headers({"X-Api-Key": "key"})
    assert headers["x-api-KEY"] == headers.get("X-API-KEY") == "key"
    assert ("x-api-key" in headers, "other" in headers, len(headers), list(headers)) == (True, False, 1, ["x-api-key"])
    assert repr(headers) == "Headers(['x-api-key'])"
    assert dict(Headers([("A", "1")])) == {"a": "1"}
