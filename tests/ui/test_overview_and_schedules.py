from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.ui.conftest import NS, Service


def test_the_overview_adds_up_and_failing_graphs_come_first(page: Page, service: Service) -> None:
    service.finish(service.archive(2))
    page.get_by_role("link", name="Overview").click()
    tiles = page.locator(".tile")
    expect(tiles.filter(has_text=re.compile("^Runs"))).to_contain_text("3")
    expect(tiles.filter(has_text="Failed")).to_contain_text("1")
    expect(tiles.filter(has_text="Succeeded")).to_contain_text("66.6 %")
    total = sum(run["total_count"] for run in service.api.get("/runs/1/100").json()["runs"])
    expect(tiles.filter(has_text="States")).to_contain_text(str(total))
    expect(page.locator("tbody tr")).to_have_text([re.compile("^invoices"), re.compile("^embed-archive")])
    expect(page.get_by_role("region", name="Runs over time").get_by_role("img")).to_have_attribute(
        "aria-label", re.compile("^3 runs from")
    )
    expect(page.get_by_role("region", name="Nodes that nobody has registered")).to_contain_text("SendReminder")
    page.get_by_role("button", name="Hour").click()
    expect(page).to_have_url(re.compile("range=1h"))
    tiles.filter(has_text="Failed").get_by_role("link").click()
    expect(page.locator("tbody tr")).to_have_count(1)


def test_schedules_are_listed_and_what_is_not_known_is_said(page: Page) -> None:
    page.get_by_role("link", name="Schedules").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("30 4 * * 1")
    expect(page.get_by_text("Next and last times are not shown")).to_be_visible()
    page.goto("/ui/n/elsewhere/schedules")
    expect(page.get_by_role("heading", name="No graph runs by itself")).to_be_visible()


def test_a_tab_opened_beside_has_the_session_and_signing_out_ends_it_in_both(page: Page, service: Service) -> None:
    beside = page.context.new_page()
    beside.goto(f"/ui/n/{NS}/runs/{service.runs['good']}")
    expect(beside.get_by_role("heading", name="invoices")).to_be_visible()
    with page.expect_response("**/ui/session"):
        page.get_by_role("button", name="Sign out").click()
    expect(beside.get_by_label("API key")).to_be_visible()
    beside.reload()
    expect(beside.get_by_label("API key")).to_be_visible()
