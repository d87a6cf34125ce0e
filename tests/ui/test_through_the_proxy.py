"""The dashboard of another service, one without extensions, by `exospherehost ui`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from exospherehost_client import extensions
from tests._support import dashboard_runs as demo
from tests._support.browser import sign_in, watched_page
from tests._support.command import Command
from tests.ui.conftest import KEY, NS, Service, demo_service


@pytest.fixture(scope="module", params=["every extension", "none"])
def service(
    chromium: Browser,  # noqa: ARG001 - without a browser there is nothing to serve
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Service]:
    demo.repaired.clear()
    without = extensions.ALL if request.param == "none" else frozenset[str]()
    with demo_service(str(tmp_path_factory.mktemp("other")), without=without) as running:
        running.runs["failed"] = running.finish(running.invoices(4))
        yield running


@pytest.fixture
def proxy(service: Service, tmp_path: Path) -> Iterator[str]:
    with Command("ui", "--uri", service.url, "--key", KEY, "--port", "0", folder=tmp_path) as command:
        command.wait_for("sign in with the API key")
        match = re.search(r"Dashboard: (\S+)/ui/ ", command.output)
        assert match
        yield match[1]


def test_runs_are_seen_live_and_steered(chromium: Browser, service: Service, proxy: str) -> None:
    with watched_page(chromium, proxy) as (page, witness):
        witness.expects_failures = True
        # Nothing is shown before the sign-in, not even the document.
        page.goto("/ui/api")
        page.get_by_label("API key").fill(KEY)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="API")).to_be_visible()
        run = service.trigger("invoices", inputs={"letters": "1"}, store={"tenant": "acme"}, start_delay=3_000)
        page.goto(f"/ui/n/{NS}/runs/{run}")
        expect(page.locator("h1 .badge")).to_have_text("Running")
        expect(page.locator("h1 .badge")).to_have_text("Success", timeout=20_000)
        page.goto(f"/ui/n/{NS}/runs/{service.runs['failed']}")
        demo.repaired.set()
        page.get_by_role("button", name="Retry failed (1)").click()
        page.get_by_role("button", name="Retry 1 state").click()
        expect(page.locator("h1 .badge")).to_have_text("Success", timeout=20_000)


def test_a_session_of_before_is_none_after_a_restart(chromium: Browser, service: Service, tmp_path: Path) -> None:
    with Command("ui", "--uri", service.url, "--key", KEY, "--port", "0", folder=tmp_path) as command:
        command.wait_for("sign in with the API key")
        proxy = re.findall(r"Dashboard: (\S+)/ui/ ", command.output)[0]
        with watched_page(chromium, proxy) as (page, witness):
            witness.expects_failures = True
            sign_in(page, KEY)
            command.interrupt()
            expect(page.get_by_role("alert")).to_contain_text("has not been reached since", timeout=15_000)
            with Command("ui", "--uri", service.url, "--key", KEY, "--port", proxy.rpartition(":")[2], folder=tmp_path):
                expect(page.get_by_role("alert")).to_have_text("This session is over: sign in again", timeout=30_000)
