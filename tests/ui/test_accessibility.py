from __future__ import annotations

from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, expect

from tests._support.browser import sign_in, violations, watched_page
from tests.ui.conftest import KEY, NS, Service

PAGES = {
    "overview": "/ui/n/{ns}/overview",
    "schedules": "/ui/n/{ns}/schedules",
    "runs": "/ui/n/{ns}/runs",
    "no runs": "/ui/n/nowhere/runs",
    "run graph": "/ui/n/{ns}/runs/{failed}",
    "run box": "/ui/n/{ns}/runs/{failed}?box=check-vat",
    "run timeline": "/ui/n/{ns}/runs/{failed}?view=timeline",
    "run states": "/ui/n/{ns}/runs/{failed}?view=states",
    "graphs": "/ui/n/{ns}/graphs",
    "graph": "/ui/n/{ns}/graphs/invoices?box=post",
    "invalid graph": "/ui/n/{ns}/graphs/reminders",
    "trigger": "/ui/n/{ns}/graphs/invoices?trigger=new",
    "nodes": "/ui/n/{ns}/nodes?node=CheckVat",
    "api": "/ui/api?op=post+%2Fv0%2Fnamespace%2F%7Bnamespace_name%7D%2Fgraph%2F%7Bgraph_name%7D%2Ftrigger",
}
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(
    chromium: Browser, service: Service, scheme: Literal["light", "dark"], width: int
) -> None:
    found: dict[str, Any] = {}
    with watched_page(chromium, service.url, scheme=scheme, width=width) as (page, _witness):
        page.goto("/ui/")
        page.get_by_label("API key").wait_for()
        found["sign in"] = violations(page)
        sign_in(page, KEY)
        failed: Any = next(
            node for node in service.graph_of(service.runs["failed"])["nodes"] if node["status"] == "ERRORED"
        )  # type: ignore[attr-defined]
        pages = {**PAGES, "state": f"/ui/n/{{ns}}/runs/{{failed}}/states/{failed['id']}"}
        for name, path in pages.items():
            page.goto(path.format(ns=NS, failed=service.runs["failed"]))
            expect(page.locator("main h1, main h2, dialog h2").first).to_be_visible()
            expect(page.get_by_text("Loading")).to_have_count(0)
            found[name] = violations(page)
            if page.evaluate(OVERFLOW) > 0:
                found[name].append("wider than the window")
    assert {name: problems for name, problems in found.items() if problems} == {}
