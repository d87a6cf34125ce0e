"""Debian's Chromium, driven by Playwright; and a page that tells on whoever loads or says what it should not."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

P = ParamSpec("P")
T = TypeVar("T")

# Read when this is loaded: tests run without our variables.
_REQUIRED = bool(os.environ.get("EXOSPHERE_REQUIRE_BROWSER"))
AXE = Path(__file__).parents[2] / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
_APPEARED = """
    const ends = (animation) => animation.effect.getTiming().iterations !== Infinity;
    Promise.all(document.getAnimations().filter(ends).map((animation) => animation.finished))
"""
# What Chromium itself says of an answer that is an error, or of none.
_FAILED_LOAD = re.compile(r"Failed to load resource")


def apart(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in another thread: Playwright has this thread's event loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args, **kwargs).result()


@contextmanager
def chromium() -> Generator[Browser, None, None]:
    """A browser; the test is skipped where there is none, unless it must be there."""
    path = shutil.which("chromium")
    if path is None:
        if _REQUIRED:
            pytest.fail("chromium is not installed")
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            # In a container there is no sandbox to be had, and only our own page is shown.
            args=["--no-sandbox", "--disable-dev-shm-usage"],
        )
        yield browser
        browser.close()


@dataclass
class Witness:
    """What a page did besides showing itself."""

    origin: str
    said: list[str] = field(default_factory=list[str])
    foreign: list[str] = field(default_factory=list[str])
    expects_failures: bool = False

    def watch(self, page: Page) -> None:
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.said.append(f"uncaught: {error}"))
        page.on("request", self._see)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not (self.expects_failures and _FAILED_LOAD.match(message.text)):
            self.said.append(f"{message.type}: {message.text}")

    def _see(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in {"blob", "data"} and f"{url.scheme}://{url.netloc}" != self.origin:
            self.foreign.append(request.url)


@contextmanager
def watched_page(
    browser: Browser,
    origin: str,
    *,
    scheme: Literal["light", "dark"] = "light",
    width: int = 1440,
    height: int = 900,
) -> Generator[tuple[Page, Witness], None, None]:
    """A page in a browser of its own; nothing may be said on its console, and nothing foreign be asked for."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, base_url=origin)
    page = context.new_page()
    witness = Witness(origin)
    witness.watch(page)
    try:
        yield page, witness
    finally:
        context.close()
    assert witness.said == []
    assert witness.foreign == []


def sign_in(page: Page, key: str, path: str = "/ui/") -> None:
    """Sign in with a key, at an address."""
    page.goto(path)
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("navigation", name="Pages").wait_for()


def violations(page: Page) -> list[Any]:
    """What axe finds amiss, as texts."""
    if not AXE.exists():
        if _REQUIRED:
            pytest.fail("axe-core is not installed: run scripts/dashboard.sh --check")
        pytest.skip("axe-core is not installed: run scripts/dashboard.sh --check")
    # What fades in has its colours when it is there.
    page.evaluate(_APPEARED)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    return [
        f"{entry['id']}: {entry['help']}: {node['html'][:200]} {node['failureSummary']}"
        for entry in found
        for node in entry["nodes"]
    ]
