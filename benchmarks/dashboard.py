"""The dashboard in Chromium: its first view, the graph of a run of 10,000 states, scrolling through them."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import httpx

from benchmarks.measure import Arm, Goal, Ratio, Reading, Table, fill, measure
from benchmarks.plan import Plan
from benchmarks.processes import MeasurementError
from exospherehost.server import ServerSettings, ServerThread

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_HELD_EQUAL = "the machine, the browser, a window of 1,440 by 900, loopback, nothing in the browser's cache"
_KEY = "benchmark"
_NAMESPACE = "/v0/namespace/dashboard"
_BATCH = 1_000
_BUDGET: Reading = {"first view, ms": 300, "graph, ms": 1_000, "frames a second": 50}

_FIRST_VIEW = """new Promise((resolve) => {
    const look = () => {
        const paint = performance.getEntriesByName("first-contentful-paint")[0];
        if (paint) resolve(paint.startTime);
        else requestAnimationFrame(look);
    };
    look();
})"""
# Scrolls a screen at a time for a second and counts what the browser has drawn.
_SCROLL = """(scroller) => new Promise((resolve) => {
    let frames = 0;
    const began = performance.now();
    const step = (now) => {
        frames += 1;
        scroller.scrollTop += 300;
        if (now - began < 1000) requestAnimationFrame(step);
        else resolve(frames * 1000 / (now - began));
    };
    requestAnimationFrame(step);
})"""


def run(plan: Plan) -> Table:
    """Measure it."""
    table = Table("dashboard", "the page in Chromium, over its budget", _HELD_EQUAL)
    states = int(plan.of(10_000, 100))
    with _browser() as browser, tempfile.TemporaryDirectory() as folder:
        settings = ServerSettings(api_key=_KEY, database=f"{folder}/dashboard.db", port=0, ui=True)
        with ServerThread(settings) as server:
            arms = [
                Arm("the budget", lambda _: _BUDGET),
                *(
                    _arm(browser, server, f"a run of {count:,} states", _make_run(server, count), count)
                    for count in (10, states)
                ),
            ]
            readings = measure(arms, plan.rounds, plan.say)
    few, many = arms[1].name, arms[2].name
    ratios = [
        Ratio("first view, over 300 ms", few, arms[0].name, "first view, ms", Goal(1, at_most=True)),
        Ratio(f"{many}: its graph, over 1 s", many, arms[0].name, "graph, ms", Goal(1, at_most=True)),
        Ratio(f"{many}: scrolling, over 50 frames a second", many, arms[0].name, "frames a second", Goal(1)),
        Ratio("graph: many states over few", many, few, "graph, ms"),
    ]
    table.checks["states"] = states
    return fill(table, ratios, readings)


@contextlib.contextmanager
def _browser() -> Generator[Browser, None, None]:
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only this benchmark needs it
    except ImportError as error:
        raise MeasurementError("playwright is not installed: run scripts/test.sh once") from error
    path = shutil.which("chromium")
    if path is None:
        raise MeasurementError("chromium is not installed: it is Debian's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


def _arm(browser: Browser, server: ServerThread, name: str, run_id: str, states: int) -> Arm:
    def look(_round: int) -> Reading:
        context = browser.new_context(viewport={"width": 1_440, "height": 900}, base_url=server.url)
        try:
            return _look(context.new_page(), run_id, states)
        finally:
            context.close()

    return Arm(name, look)


def _look(page: Page, run_id: str, states: int) -> Reading:
    page.goto("/ui/")
    page.get_by_label("API key").wait_for()
    first_view = float(page.evaluate(_FIRST_VIEW))
    page.get_by_label("API key").fill(_KEY)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("navigation", name="Pages").wait_for()
    address = f"/ui/n/dashboard/runs/{run_id}"
    page.goto(address)
    half = f"{states // 2:,} Success"
    page.locator(f".box[data-identifier=leaf] .bar[aria-label='{half}']").wait_for()
    graph = float(page.evaluate("performance.now()"))
    page.goto(f"{address}?view=states")
    page.locator(f"[aria-rowcount='{states + 1}'] .rows .row").first.wait_for()
    frames = float(page.locator(".state-table .scroller").evaluate(_SCROLL))
    return {"first view, ms": first_view, "graph, ms": graph, "frames a second": frames}


def _make_run(server: ServerThread, states: int) -> str:
    """Make a run with a number of states, half of them at its root, and return its id."""
    schema = {"type": "object", "properties": {"x": {"type": "string"}}}
    names = ("Root", "Leaf")
    nodes = [{"name": name, "inputs_schema": schema, "outputs_schema": schema, "secrets": []} for name in names]
    graph = [
        _node("Root", "root", "0", ["leaf"]),
        _node("Leaf", "leaf", "${{root.outputs.x}}", []),
    ]
    with httpx.Client(base_url=server.url, headers={"x-api-key": _KEY}, timeout=60, trust_env=False) as http:
        _send(http, "PUT", "/nodes/", {"runtime_name": "benchmark", "nodes": nodes})
        _send(http, "PUT", "/graph/wide", {"secrets": {}, "nodes": graph})
        run_id = str(_send(http, "POST", "/graph/wide/trigger", {})["run_id"])
        outputs = [{"x": str(number)} for number in range(states // 2)]
        (root,) = _claim(http, "Root")
        _send(http, "POST", f"/state/{root}/executed", {"outputs": outputs})
        while claimed := _claim(http, "Leaf"):
            reports = [{"state_id": state, "executed": {"outputs": []}} for state in claimed]
            _send(http, "POST", "/states/report", {"reports": reports})
    return run_id


def _node(name: str, identifier: str, value: str, next_nodes: list[str]) -> dict[str, Any]:
    place = {"node_name": name, "namespace": "dashboard", "identifier": identifier}
    return {**place, "inputs": {"x": value}, "next_nodes": next_nodes}


def _claim(http: httpx.Client, name: str) -> list[str]:
    claimed = _send(http, "POST", "/states/enqueue", {"nodes": [name], "batch_size": _BATCH})
    return [state["state_id"] for state in claimed["states"]]


def _send(http: httpx.Client, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = http.request(method, _NAMESPACE + path, json=body)
    if answer.is_error:
        raise MeasurementError(f"{method} {path} was answered with {answer.status_code}: {answer.text[:200]}")
    found: dict[str, Any] = answer.json()
    return found
