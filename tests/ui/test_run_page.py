from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests._support import dashboard_runs as demo
from tests.ui.conftest import NS, Service

FAST = 15_000


def counts_in(page: Page, identifier: str) -> Counter[str]:
    """The counts of a box, as its bar says them."""
    label = page.locator(f".box[data-identifier='{identifier}'] .bar").get_attribute("aria-label") or ""
    return Counter({word: int(n.replace(",", "")) for n, word in re.findall(r"([\d,]+) ([\w ]+?)(?:,|$)", label)})


def states_of(service: Service, run: str) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    nodes: Any = service.graph_of(run)["nodes"]
    for node in nodes:
        found.setdefault(node["identifier"], Counter())[node["status"]] += 1
    return found


def test_the_graph_has_a_box_for_each_identifier_with_its_states(page: Page, service: Service) -> None:
    run = service.runs["failed"]
    page.goto(f"/ui/n/{NS}/runs/{run}")
    expect(page.locator(".box")).to_have_count(7)
    for identifier, statuses in states_of(service, run).items():
        assert counts_in(page, identifier).total() == statuses.total(), identifier
    assert counts_in(page, "check-vat") == Counter({"Success": 4, "Retried": 1, "Errored": 1})
    expect(page.locator(".box[data-identifier='report']")).to_contain_text("no states yet")
    expect(page.locator(".box[data-identifier='report']")).to_contain_text("join")
    expect(page.locator(".edge-next")).to_have_count(6)
    expect(page.locator(".edge-unites")).to_have_count(1)
    expect(page.locator(".edge-seen")).to_have_count(0)


def test_why_it_failed_stands_first_and_leads_to_the_state(page: Page, service: Service) -> None:
    page.goto(f"/ui/n/{NS}/runs/{service.runs['failed']}")
    why = page.get_by_role("region", name="Why it failed")
    expect(why).to_contain_text("VAT number DE12345678 is not known")
    why.get_by_role("link", name="check-vat").click()
    expect(page.get_by_role("region", name="Error")).to_contain_text("in execute")
    page.keyboard.press("u")
    expect(page.locator(".box").first).to_be_visible()


def test_a_box_opens_into_its_states_what_failed_first(page: Page, service: Service) -> None:
    page.goto(f"/ui/n/{NS}/runs/{service.runs['failed']}")
    page.locator(".box[data-identifier='check-vat']").click()
    panel = page.get_by_role("complementary", name="States of check-vat")
    expect(panel.locator(".rows .row")).to_have_count(6)
    expect(panel.locator(".rows .row").first).to_contain_text("Errored")
    expect(page).to_have_url(re.compile("box=check-vat"))
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="check-vat")).to_be_visible()


def test_the_states_are_filtered_in_the_address(page: Page, service: Service) -> None:
    page.goto(f"/ui/n/{NS}/runs/{service.runs['failed']}?view=states")
    table = page.get_by_role("table", name="States")
    expect(table).to_have_attribute("aria-rowcount", "27")
    page.get_by_label("Status").select_option("ERRORED")
    expect(table).to_have_attribute("aria-rowcount", "2")
    expect(table).to_contain_text("VAT number")
    page.get_by_label("Status").select_option("")
    page.get_by_role("searchbox").fill("tax office")
    expect(table).to_have_attribute("aria-rowcount", "3")
    page.get_by_label("Identifier").select_option("read")
    expect(page.get_by_text("No state fits these filters")).to_be_visible()


def test_the_timeline_tells_waiting_from_work_and_puts_attempts_on_one_row(page: Page, service: Service) -> None:
    page.goto(f"/ui/n/{NS}/runs/{service.runs['failed']}?view=timeline")
    timeline = page.get_by_role("group", name=re.compile("^Timeline"))
    # One row less than there are states: two are attempts of one another.
    expect(timeline).to_have_attribute("aria-label", "Timeline, 25 rows")
    row = page.locator(".timeline-row").filter(has=page.locator(".tag"))
    expect(row.locator(".works")).to_have_count(2)
    # The retry waited for its delay.
    expect(row.locator(".waits").last).to_have_attribute("style", re.compile(r"width: [1-9]"))
    strip = page.locator(".strip").bounding_box()
    assert strip is not None
    page.mouse.move(strip["x"] + strip["width"] * 0.5, strip["y"] + 10)
    page.mouse.down()
    page.mouse.move(strip["x"] + strip["width"] * 0.9, strip["y"] + 10, steps=4)
    page.mouse.up()
    page.get_by_role("button", name="Whole run").click()
    expect(page.get_by_role("button", name="Whole run")).to_have_count(0)


def test_a_run_is_shown_as_it_goes_on_and_can_be_cancelled(page: Page, service: Service) -> None:
    run = service.trigger("invoices", inputs={"letters": "3"}, store={"tenant": "acme"}, start_delay=3_000)
    page.goto(f"/ui/n/{NS}/runs/{run}")
    expect(page.get_by_text("Live")).to_be_visible()
    expect(page.locator(".box[data-identifier='begin']")).to_contain_text("Waiting")
    expect(page.locator(".box[data-identifier='report'] .bar")).to_have_attribute(
        "aria-label", "1 Success", timeout=FAST
    )
    expect(page.locator("h1 .badge")).to_have_text("Success", timeout=FAST)
    later = service.trigger("invoices", store={"tenant": "acme"}, start_delay=600_000)
    page.goto(f"/ui/n/{NS}/runs/{later}")
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("1 state pending")
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.locator("h1 .badge")).to_have_text("Cancelled", timeout=FAST)
    assert service.api.get("/runs/1/1").json()["runs"][0]["status"] == "FAILED"


def test_an_unknown_run_is_said_to_be_none(page: Page) -> None:
    page.goto(f"/ui/n/{NS}/runs/00000000-0000-4000-8000-000000000000")
    expect(page.get_by_role("heading", name="There is no such run")).to_be_visible()


def test_a_run_is_run_again_with_its_inputs(page: Page, service: Service) -> None:
    page.goto(f"/ui/n/{NS}/runs/{service.runs['good']}")
    page.get_by_role("link", name="Run again").click()
    form = page.get_by_role("dialog", name="Run invoices again")
    expect(form.get_by_label("letters")).to_have_value("3")
    form.get_by_label("tenant").fill("acme")
    form.get_by_role("button", name="Trigger").click()
    expect(page).to_have_url(re.compile(r"/runs/[0-9a-f-]{36}$"))
    run = page.url.rpartition("/")[2]
    expect(page.locator("h1 .badge")).to_have_text("Success", timeout=FAST)
    assert counts_in(page, "fetch") == Counter({"Success": 3})
    assert service.runs["good"] != run


# The last that uses the run as it failed.
def test_failed_states_are_retried_and_the_run_ends_well(page: Page, service: Service) -> None:
    run = service.runs["failed"]
    page.goto(f"/ui/n/{NS}/runs/{run}")
    demo.repaired.set()
    page.get_by_role("button", name="Retry failed (1)").click()
    expect(page.get_by_role("dialog")).to_contain_text("Retry 1 failed state")
    page.get_by_role("button", name="Retry 1 state").click()
    expect(page.locator("h1 .badge")).to_have_text("Success", timeout=FAST)
    expect(page.get_by_role("region", name="Why it failed")).to_have_count(0)
    assert counts_in(page, "report") == Counter({"Success": 1})


@pytest.mark.timeout(200)
def test_ten_thousand_states_are_complete_and_correct(page: Page, service: Service) -> None:
    run = service.finish(service.archive(4_999))
    found = states_of(service, run)
    assert sum(statuses.total() for statuses in found.values()) == 10_000
    page.goto(f"/ui/n/{NS}/runs/{run}")
    expect(page.locator(".box")).to_have_count(4)
    for identifier, statuses in found.items():
        assert counts_in(page, identifier) == Counter({"Success": statuses.total()}), identifier
    expect(page.locator(".edge-next text").nth(1)).to_have_text(re.compile("^.4,999$"))
    page.get_by_role("link", name="States").click()
    table = page.get_by_role("table", name="States")
    expect(table).to_have_attribute("aria-rowcount", "10001")
    assert table.locator(".rows .row").count() < 100
    table.locator(".scroller").evaluate("(scroller) => scroller.scrollTo(0, scroller.scrollHeight)")
    last: Any = service.graph_of(run)["nodes"]
    expect(table.locator("[aria-rowindex='10001']")).to_contain_text(last[-1]["id"][-8:])
    page.get_by_label("Identifier").select_option("embed")
    expect(page.get_by_text("4,999 states", exact=True)).to_be_visible()
    page.get_by_role("link", name="Timeline").click()
    expect(page.get_by_role("group", name="Timeline, 10,000 rows")).to_be_visible(timeout=60_000)
    assert page.locator(".timeline-row").count() < 100
