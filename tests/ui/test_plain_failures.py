from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from exospherehost.server import ServerSettings, ServerThread
from tests._support.api_keys import make_key
from tests._support.browser import Witness, apart, sign_in, watched_page
from tests.ui.conftest import KEY, NS, Service, demo_service


def test_while_the_service_is_away_the_page_stays_and_goes_on_by_itself(
    page: Page, witness: Witness, service: Service
) -> None:
    witness.expects_failures = True
    expect(page.locator("tbody tr").first).to_be_visible()
    before = page.locator("tbody tr").count()
    page.context.set_offline(True)
    expect(page.get_by_role("alert")).to_contain_text("The service has not been reached since", timeout=15_000)
    expect(page.locator("tbody tr")).to_have_count(before)
    run = service.invoices(1)
    page.context.set_offline(False)
    expect(page.get_by_role("alert")).to_have_count(0, timeout=15_000)
    expect(page.locator("tbody tr").filter(has_text=run[:8])).to_be_visible()


def test_after_a_restart_the_page_asks_for_the_key_and_comes_back_to_where_it_was(
    chromium: Browser, tmp_path: Path
) -> None:
    settings = ServerSettings(api_key=KEY, database=tmp_path / "ui.db", port=0, ui=True)
    first = ServerThread(settings)
    apart(first.start)
    port = int(first.url.rpartition(":")[2])
    with watched_page(chromium, first.url) as (page, witness):
        witness.expects_failures = True
        sign_in(page, KEY, "/ui/n/somewhere/graphs")
        expect(page.get_by_role("heading", name="No graphs in this namespace")).to_be_visible()
        apart(first.stop)
        expect(page.get_by_role("alert")).to_contain_text("The service has not been reached since", timeout=15_000)
        second = ServerThread(ServerSettings(api_key=KEY, database=tmp_path / "ui.db", port=port, ui=True))
        apart(second.start)
        try:
            expect(page.get_by_role("alert")).to_have_text("This session is over: sign in again", timeout=15_000)
            page.get_by_label("API key").fill(KEY)
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("heading", name="No graphs in this namespace")).to_be_visible()
        finally:
            apart(second.stop)


def test_a_key_for_one_namespace_sees_that_and_is_told_why_not_another(chromium: Browser, tmp_path: Path) -> None:
    with (
        demo_service(str(tmp_path)) as running,
        watched_page(chromium, running.url) as (page, witness),
    ):
        witness.expects_failures = True
        key = apart(make_key, tmp_path / "ui.db", "--namespace", "shipping")
        sign_in(page, key)
        expect(page).to_have_url(re.compile("/ui/n/shipping/runs"))
        for section in ("runs", "graphs", "nodes"):
            page.goto(f"/ui/n/{NS}/{section}")
            expect(page.get_by_role("heading", name="The service refuses this key")).to_be_visible()
            expect(page.get_by_text("This API key is not for the namespace 'billing'")).to_be_visible()
