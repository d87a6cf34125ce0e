from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests._support.browser import Witness, sign_in
from tests.ui.conftest import KEY, NS, Service

STORES = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href, history.state])"


def test_the_key_signs_in_and_is_kept_nowhere(opened: tuple[Page, Witness], service: Service) -> None:
    page, _ = opened
    keyed: list[str] = []
    page.on("request", lambda request: keyed.append(request.url) if "x-api-key" in request.headers else None)
    sign_in(page, KEY)
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    expect(page).to_have_url(f"{service.url}/ui/n/{NS}/runs")
    assert KEY not in page.evaluate(STORES)
    assert page.evaluate("document.cookie") == ""
    assert keyed == [f"{service.url}/ui/session"]
    page.reload()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()


def test_a_wrong_key_is_refused_in_words(opened: tuple[Page, Witness]) -> None:
    page, witness = opened
    witness.expects_failures = True
    page.goto("/ui/")
    page.get_by_label("API key").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("Invalid API key")
    expect(page.get_by_role("navigation")).to_have_count(0)


def test_an_address_that_was_shared_is_shown_after_signing_in(opened: tuple[Page, Witness]) -> None:
    page, _ = opened
    sign_in(page, KEY, f"/ui/n/{NS}/graphs/invoices")
    expect(page.get_by_role("heading", name="invoices")).to_be_visible()


def test_a_session_that_was_ended_elsewhere_asks_for_the_key_and_says_why(
    page: Page, witness: Witness, service: Service
) -> None:
    witness.expects_failures = True
    token = page.evaluate("JSON.parse(sessionStorage.getItem('exospherehost.session')).session")
    service.api.http.request("DELETE", "/ui/session", headers={"x-exosphere-session": token})
    expect(page.get_by_role("alert")).to_have_text("This session is over: sign in again", timeout=15_000)
    sign_in(page, KEY, page.url)
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()


def test_signing_out_ends_the_session(page: Page, service: Service) -> None:
    token = page.evaluate("JSON.parse(sessionStorage.getItem('exospherehost.session')).session")
    with page.expect_response("**/ui/session"):
        page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    assert page.evaluate("sessionStorage.getItem('exospherehost.session')") is None
    assert service.api.http.get("/ui/session", headers={"x-exosphere-session": token}).status_code == 401


def test_a_link_signs_in_once_and_leaves_the_address(opened: tuple[Page, Witness], service: Service) -> None:
    page, witness = opened
    link = service.sign_in_link()
    page.goto(link)
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    assert "link=" not in page.evaluate(STORES)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    witness.expects_failures = True
    page.goto("about:blank")
    page.goto(link)
    expect(page.get_by_role("alert")).to_contain_text("used before")


@pytest.mark.parametrize("link", ["#link=never-made", "#link=<script>"])
def test_a_link_that_is_not_good_says_so_and_leaves_the_address(opened: tuple[Page, Witness], link: str) -> None:
    page, witness = opened
    witness.expects_failures = True
    page.goto(f"/ui/{link}")
    expect(page.get_by_label("API key")).to_be_visible()
    assert "#" not in page.url
    if "script" not in link:
        expect(page.get_by_role("alert")).to_contain_text("used before")
