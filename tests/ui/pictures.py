"""Makes pictures of the dashboard's pages: `scripts/screenshots.sh`."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Page, Route

from tests._support import dashboard_runs as demo
from tests._support.browser import chromium, sign_in, watched_page
from tests.ui.conftest import KEY, NS, Service, demo_service

ROOT = Path(__file__).parents[2]
SIZE = {"width": 1280, "height": 800}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def make_runs(service: Service) -> None:
    """Runs of every kind: done, failed, cancelled, large, and one that goes on."""
    service.runs["archive"] = service.finish(service.archive(4_999))
    for letters in (3, 2, 3):
        service.finish(service.invoices(letters))
    cancelled = service.trigger("invoices", store={"tenant": "acme"}, start_delay=600_000)
    service.api.post(f"/runs/{cancelled}/cancel", {})
    service.runs["failed"] = service.finish(service.invoices(24))
    demo.repaired.set()
    for letters in (6, 8):
        service.finish(service.invoices(letters))
    service.runs["waiting"] = service.trigger("invoices", store={"tenant": "acme"}, start_delay=600_000)


def places(service: Service) -> dict[str, str]:
    """The pages by the names of their pictures."""
    failed = service.runs["failed"]
    nodes: Any = service.graph_of(failed)["nodes"]
    state = next(node["id"] for node in nodes if node["status"] == "ERRORED")
    return {
        "overview": f"/ui/n/{NS}/overview",
        "runs": f"/ui/n/{NS}/runs",
        "run-graph": f"/ui/n/{NS}/runs/{failed}",
        "run-large": f"/ui/n/{NS}/runs/{service.runs['archive']}",
        "run-timeline": f"/ui/n/{NS}/runs/{failed}?view=timeline",
        "run-states": f"/ui/n/{NS}/runs/{failed}?view=states&status=ERRORED",
        "state": f"/ui/n/{NS}/runs/{failed}/states/{state}",
        "graph": f"/ui/n/{NS}/graphs/invoices?box=check-vat",
        "nodes": f"/ui/n/{NS}/nodes?node=ReadInvoice",
        "api": "/ui/api",
    }


def tell_no_place(route: Route) -> None:
    """Answer with a state whose traceback names no folder of this machine."""
    answer = route.fetch()
    route.fulfill(
        response=answer, body=answer.text().replace(f"{ROOT}/tests/_support/dashboard_runs.py", "/app/billing.py")
    )


def take(page: Page, path: str, file: Path) -> None:
    """Take a picture of a page once all of it is there."""
    page.goto(path)
    page.locator("main h1").wait_for()
    page.get_by_text("Loading").wait_for(state="hidden")
    # For what fades in, and for times that come as events.
    page.wait_for_timeout(900)
    page.screenshot(path=file)


def make_pictures(browser: Browser, service: Service, folder: Path) -> None:
    """Make every picture."""
    for scheme in SCHEMES:
        with watched_page(browser, service.url, scheme=scheme, **SIZE) as (page, _witness):
            page.route("**/node/*", tell_no_place)
            sign_in(page, KEY)
            for name, path in places(service).items():
                take(page, path, folder / f"{name}-{scheme}.png")
                print(folder / f"{name}-{scheme}.png")


def main() -> None:
    """Start a server, make runs, take pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with (
        chromium() as browser,
        tempfile.TemporaryDirectory() as scratch,
        demo_service(scratch) as service,
    ):
        make_runs(service)
        make_pictures(browser, service, folder)


if __name__ == "__main__":
    main()
