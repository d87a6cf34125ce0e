from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests._support import dashboard_runs as demo
from tests.ui.conftest import NS, Service


def test_a_run_appears_and_ends_while_one_looks(page: Page, service: Service) -> None:
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(len(service.api.get("/runs/1/100").json()["runs"]))
    run = service.trigger("invoices", inputs={"letters": "2"}, store={"tenant": "acme"}, start_delay=4_000)
    row = rows.filter(has_text=run[:8])
    expect(row.locator(".badge")).to_have_text("Running")
    expect(row.locator(".badge")).to_have_text("Success", timeout=20_000)
    assert "success" in (row.get_by_role("img").get_attribute("aria-label") or "").lower()


def test_filters_are_kept_in_the_address(page: Page, service: Service) -> None:
    page.get_by_role("button", name="Failed").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("searchbox").fill(service.runs["failed"][:6])
    expect(page).to_have_url(re.compile(r"status=FAILED.*q=" + service.runs["failed"][:6]))
    page.get_by_label("Started", exact=True).select_option("1h")
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.get_by_role("button", name="Failed")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Cancelled").click()
    expect(page.get_by_text("No run fits these filters")).to_be_visible()
    page.get_by_role("button", name="Show every run").click()
    expect(page.locator("tbody tr").first).to_be_visible()


def test_columns_sort(page: Page) -> None:
    def counts() -> list[int]:
        texts = page.locator("tbody .legend").all_inner_texts()
        return [sum(int(n.replace(",", "")) for n in re.findall(r"[\d,]+", text)) for text in texts]

    page.get_by_role("button", name="States", exact=True).click()
    expect(page.locator("th[aria-sort=descending]")).to_have_text(re.compile("States"))
    assert counts() == sorted(counts(), reverse=True)
    page.get_by_role("button", name="States").click()
    assert counts() == sorted(counts())


def test_the_keyboard_goes_through_the_list(page: Page) -> None:
    expect(page.locator("tbody tr").first).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(page.locator("tbody tr").first).to_have_class(re.compile("current"))
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    # Until it is gone, keys are the dialog's.
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/runs/[0-9a-f-]{36}$"))
    page.keyboard.press("g")
    page.keyboard.press("g")
    expect(page.get_by_role("heading", name="Graphs")).to_be_visible()


def test_runs_are_downloaded_as_they_are_shown(page: Page, service: Service, tmp_path: Path) -> None:
    page.get_by_role("button", name="Failed").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    for name in ("CSV", "JSON"):
        with page.expect_download() as download:
            page.get_by_role("button", name=name).click()
        download.value.save_as(tmp_path / name)
    (row,) = csv.DictReader(io.StringIO((tmp_path / "CSV").read_text(encoding="utf-8")))
    (run,) = json.loads((tmp_path / "JSON").read_text(encoding="utf-8"))
    assert row["run_id"] == run["run_id"] == service.runs["failed"]
    assert int(row["errored"]) == run["errored_count"] == 1


def test_many_are_cancelled_at_once_with_a_count_first(page: Page, service: Service) -> None:
    slow = [service.trigger("invoices", store={"tenant": "acme"}, start_delay=600_000) for _ in range(2)]
    for run in slow:
        page.get_by_label(f"Select run {run}").check()
    page.get_by_label(f"Select run {service.runs['good']}").check()
    expect(page.get_by_text("3 runs selected")).to_be_visible()
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("2 states in these runs are pending")
    page.get_by_role("button", name="Cancel 2 runs").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    for run in slow:
        expect(page.locator("tbody tr").filter(has_text=run[:8]).get_by_text("Cancelled")).to_be_visible()
    assert service.api.get("/runs/1/100").json()["runs"][-1]["status"] == "SUCCESS"


def test_failed_states_of_many_runs_are_retried_with_a_count_first(page: Page, service: Service) -> None:
    demo.repaired.set()
    page.get_by_label(f"Select run {service.runs['failed']}").check()
    page.get_by_label(f"Select run {service.runs['good']}").check()
    page.get_by_role("button", name="Retry failed states").click()
    expect(page.get_by_role("dialog")).to_contain_text("1 state failed for good")
    page.get_by_role("button", name="Retry 1 state").click()
    row = page.locator("tbody tr").filter(has_text=service.runs["failed"][:8])
    expect(row.locator(".badge")).to_have_text("Success", timeout=20_000)


def test_a_namespace_without_runs_says_what_to_do(page: Page) -> None:
    page.get_by_label("Namespace").select_option("Another…")
    page.get_by_label("Name; it needs no creation").fill("empty & odd")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
    expect(page.get_by_text("exospherehost dev --keep hello.py")).to_be_visible()
    expect(page).to_have_url(re.compile("/ui/n/empty%20%26%20odd/runs"))
    assert page.get_by_label("Namespace").input_value() == "empty & odd"
    page.goto(f"/ui/n/{NS}/nothing")
    expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()
