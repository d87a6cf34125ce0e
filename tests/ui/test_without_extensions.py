"""Against a service that has what every service of the contract has, and nothing more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from exospherehost_client import extensions
from tests._support import dashboard_runs as demo
from tests.ui.conftest import NS, Service, demo_service

FAST = 20_000


@pytest.fixture(scope="module")
def service(
    chromium: Browser,  # noqa: ARG001 - without a browser there is nothing to serve
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    demo.repaired.clear()
    with demo_service(str(tmp_path_factory.mktemp("bare")), without=extensions.ALL) as running:
        running.runs["good"] = running.finish(running.invoices(3))
        running.runs["failed"] = running.finish(running.invoices(5))
        yield running


def test_the_api_page_lists_no_extensions(page: Page) -> None:
    page.goto("/ui/api")
    expect(page.get_by_text("none", exact=True)).to_be_visible()


def test_a_run_is_followed_by_looking_again(page: Page, service: Service) -> None:
    run = service.trigger("invoices", inputs={"letters": "2"}, store={"tenant": "acme"}, start_delay=3_000)
    page.goto(f"/ui/n/{NS}/runs/{run}")
    expect(page.get_by_text("Live")).to_be_visible()
    expect(page.get_by_text("This run cannot be cancelled")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    expect(page.locator("h1 .badge")).to_have_text("Success", timeout=FAST)
    expect(page.locator(".box[data-identifier='report'] .bar")).to_have_attribute("aria-label", "1 Success")


def test_the_timeline_says_what_it_cannot_tell_apart(page: Page, service: Service) -> None:
    page.goto(f"/ui/n/{NS}/runs/{service.runs['failed']}?view=timeline")
    expect(page.locator(".timeline-row").first).to_be_visible()
    expect(page.get_by_text("Waiting and work cannot be told apart")).to_be_visible()
    expect(page.locator(".attempt .works").first).to_be_visible()


@pytest.mark.parametrize(
    ("path", "heading"),
    [("runs", "Runs"), ("graphs", "Graphs"), ("graphs/invoices", "invoices"), ("nodes", "Nodes")],
)
def test_every_other_page_works(page: Page, path: str, heading: str) -> None:
    page.goto(f"/ui/n/{NS}/{path}")
    expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible()


def test_a_failed_run_is_found_and_retried(page: Page, service: Service) -> None:
    page.get_by_role("button", name="Failed").click()
    page.locator("tbody tr").filter(has_text=service.runs["failed"][:8]).click()
    expect(page.get_by_role("region", name="Why it failed")).to_contain_text("VAT number")
    demo.repaired.set()
    page.get_by_role("button", name="Retry failed (1)").click()
    page.get_by_role("button", name="Retry 1 state").click()
    expect(page.locator("h1 .badge")).to_have_text("Success", timeout=FAST)
