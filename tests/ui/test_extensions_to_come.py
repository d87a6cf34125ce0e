"""What the page does where a service has extensions that the embedded one has not yet, or not in this test.

Their answers are made up from the contract's text; everything else comes from a real server.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, Route, expect

from tests.ui.conftest import NS, Service

MADE_UP = ("search-runs", "timings", "get-run", "retry-run", "schedules")
BASE = f"**/v0/namespace/{NS}"


def offer(page: Page, service: Service) -> None:
    """Mark the extensions in the served document."""
    document = service.api.http.get("/openapi.json").json()
    document["x-made-up"] = [{"x-exosphere-extension": name} for name in MADE_UP]
    page.route("**/openapi.json", lambda route: route.fulfill(json=document))


def runs_of(service: Service) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.api.get("/runs/1/100").json()["runs"]
    return [{**run, "ended_at": run["created_at"][:-5] + "59Z", "triggered_by": "cron"} for run in found]


def test_runs_are_searched_where_they_are(page: Page, service: Service) -> None:
    asked: list[dict[str, list[str]]] = []

    def answer(route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        asked.append(query)
        wanted = query.get("status", [])
        runs = [run for run in runs_of(service) if not wanted or run["status"] in wanted]
        route.fulfill(json={"runs": runs, "next_cursor": None})

    offer(page, service)
    page.route(f"{BASE}/runs?*", answer)
    page.goto(f"/ui/n/{NS}/runs?status=FAILED&graph=invoices&since=1h&q={service.runs['failed'][:8]}")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("cron")
    expect(page.get_by_role("button", name="Duration")).to_be_visible()
    assert asked[-1]["status"] == ["FAILED"]
    assert asked[-1]["graph_name"] == ["invoices"]
    assert asked[-1]["run_id_prefix"] == [service.runs["failed"][:8]]
    assert re.fullmatch(r"\d{4}-.*Z", asked[-1]["created_after"][0])
    expect(page.get_by_text("does not have the extension")).to_have_count(0)


def test_a_run_is_read_in_full_and_retried_in_one_request(page: Page, service: Service) -> None:
    run = service.runs["failed"]
    summary = next(each for each in runs_of(service) if each["run_id"] == run)
    template = service.api.get("/graph/invoices").json()
    # The version that it began with had other words.
    template["nodes"][0]["next_nodes"] = ["fetch", "archive"]
    detail = {**summary, "store": {"tenant": "acme"}, "inputs": {"letters": "5"}, "graph_version_id": "v1"}
    retried: list[Any] = []
    graph = service.graph_of(run)
    nodes: Any = graph["nodes"]
    for node in nodes:
        node.update(
            created_at="2026-01-01T00:00:00.000Z",
            started_at="2026-01-01T00:00:01.000Z",
            ended_at="2026-01-01T00:00:03.500Z",
        )

    def retry(route: Route) -> None:
        retried.append(json.loads(route.request.post_data or ""))
        route.fulfill(json={"states": [], "more": len(retried) < 2})

    offer(page, service)
    page.route(f"{BASE}/runs/{run}", lambda route: route.fulfill(json=detail))
    page.route(f"{BASE}/graph/invoices/versions/v1", lambda route: route.fulfill(json=template))
    page.route(f"{BASE}/states/run/{run}/graph", lambda route: route.fulfill(json=graph))
    page.route(f"{BASE}/runs/{run}/retry", retry)
    page.goto(f"/ui/n/{NS}/runs/{run}")
    expect(page.locator(".edge-next")).to_have_count(7)
    expect(page.get_by_role("region", name="About this run")).to_contain_text("tenant=acme")
    expect(page.get_by_role("region", name="About this run")).to_contain_text("cron")
    page.get_by_role("link", name="States").click()
    expect(page.get_by_role("table", name="States")).to_contain_text("2.50 s")
    page.get_by_role("button", name="Retry failed (1)").click()
    page.get_by_role("button", name="Retry 1 state").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert retried == [{}, {}]


def test_schedules_show_their_times_and_are_steered(page: Page, service: Service) -> None:
    schedule = {
        "schedule_id": "s1",
        "graph_name": "embed-archive",
        "expression": "30 4 * * 1",
        "timezone": "UTC",
        "next_at": "2099-01-01T00:00:00.000Z",
        "last_at": None,
        "last_run_id": None,
        "paused": False,
    }

    def pause(route: Route) -> None:
        schedule["paused"] = True
        route.fulfill(json=schedule)

    offer(page, service)
    page.route(f"{BASE}/schedules", lambda route: route.fulfill(json={"schedules": [schedule]}))
    page.route(f"{BASE}/schedules/s1/pause", pause)
    page.goto(f"/ui/n/{NS}/schedules")
    expect(page.locator("tbody tr")).to_contain_text(re.compile(r"in \d+ d"))
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(page.locator("tbody tr")).to_contain_text("paused")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
