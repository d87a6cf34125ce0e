from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import httpx
import pytest
from playwright.sync_api import Browser, Page

from exospherehost import SyncStateManager
from exospherehost.server import ServerSettings, ServerThread
from tests._support import browser as browsers
from tests._support import dashboard_runs as demo
from tests._support.browser import Witness
from tests._support.service import Api

KEY = "the-key-of-the-dashboard"
NS = demo.NAMESPACE


@dataclass
class Service:
    """A server with the demo's nodes and graphs."""

    url: str
    manager: SyncStateManager
    api: Api
    runs: dict[str, str]
    sign_in_link: Callable[[], str]

    def trigger(self, graph: str, **body: object) -> str:
        return str(self.api.post(f"/graph/{graph}/trigger", body).json()["run_id"])

    def invoices(self, letters: int) -> str:
        return self.trigger("invoices", inputs={"letters": str(letters)}, store={"tenant": "acme"})

    def archive(self, letters: int) -> str:
        return self.trigger("embed-archive", inputs={"letters": str(letters)})

    def graph_of(self, run: str) -> dict[str, object]:
        found: dict[str, object] = self.api.get(f"/states/run/{run}/graph").json()
        return found

    def finish(self, run: str) -> str:
        """Wait until a run has ended, and return its id."""
        browsers.apart(self.manager.wait, run)
        return run


@contextmanager
def demo_service(folder: str, **settings: object) -> Iterator[Service]:
    with ExitStack() as stack:
        chosen = ServerSettings(api_key=KEY, database=f"{folder}/ui.db", port=0, ui=True, **settings)  # type: ignore[arg-type]
        server = stack.enter_context(ServerThread(chosen))
        nodes = demo.running_nodes(server.url, KEY)
        manager = browsers.apart(nodes.__enter__)
        stack.callback(browsers.apart, nodes.__exit__, None, None, None)
        http = stack.enter_context(httpx.Client(base_url=server.url, headers={"x-api-key": KEY}, timeout=30))
        yield Service(server.url, manager, Api(http, NS), {}, server.sign_in_link)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for one file: while it is open, an event loop runs in this thread, and no other file could use one."""
    with browsers.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def service(
    chromium: Browser,  # noqa: ARG001 - without a browser there is nothing to serve
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """A server with a run that failed and one that did not."""
    demo.repaired.clear()
    with demo_service(str(tmp_path_factory.mktemp("ui"))) as running:
        running.runs["good"] = running.finish(running.invoices(3))
        running.runs["failed"] = running.finish(running.invoices(5))
        yield running


@pytest.fixture
def opened(chromium: Browser, service: Service) -> Iterator[tuple[Page, Witness]]:
    """A page that is not signed in yet."""
    with browsers.watched_page(chromium, service.url) as watched:
        yield watched


@pytest.fixture
def page(opened: tuple[Page, Witness]) -> Page:
    """A page that is signed in."""
    shown, _witness = opened
    browsers.sign_in(shown, KEY)
    return shown


@pytest.fixture
def witness(opened: tuple[Page, Witness]) -> Witness:
    return opened[1]
