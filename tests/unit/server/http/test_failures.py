from __future__ import annotations

import logging
from uuid import UUID

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from exospherehost.server.http.middleware import Edge, with_cross_origin_rules
from exospherehost.server.observability.metrics import Metrics


def edge(app: ASGIApp) -> ASGIApp:
    return Edge(app, templates={}, metrics=Metrics(database="none"))


async def fail(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise RuntimeError("an internal matter")


async def fail_late(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise RuntimeError("too late for another status")


async def test_what_nobody_meant_is_a_500_that_gives_nothing_away(caplog: pytest.LogCaptureFixture) -> None:
    app = with_cross_origin_rules(edge(fail), ["http://a.example"])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        answer = await http.get("/x", headers={"origin": "http://a.example", "x-api-key": "the-key"})
    assert answer.status_code == 500
    body = answer.json()
    assert (set(body), body["success"]) == ({"success", "detail"}, False)
    assert "internal matter" not in answer.text
    assert answer.headers["access-control-allow-origin"] == "http://a.example"
    request_id = answer.headers["x-exosphere-request-id"]
    assert str(UUID(request_id)) == request_id
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert f"request_id={request_id}" in record.getMessage()
    assert "an internal matter" in caplog.text
    assert "the-key" not in caplog.text


async def test_a_failure_in_mid_answer_breaks_it_off() -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(edge(fail_late)), base_url="http://test") as http:
        with pytest.raises(RuntimeError, match="too late"):
            await http.get("/x")


async def test_requests_are_logged_at_debug_only_and_without_their_key(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="exospherehost.server"):
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(edge(fail)),
            base_url="http://test",
        ) as http:
            await http.get("/x%2Fy", headers={"x-api-key": "the-key"})
    assert any("event=request method=GET" in message and "status=404" in message for message in caplog.messages)
    assert "the-key" not in caplog.text
