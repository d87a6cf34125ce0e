from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests._support.service import registration
from tests.ui.conftest import NS, Service

SCRIPT = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
ANSI = "\u001b[31mred\u001b[0m \u001b]8;;http://evil.example\u0007click\u001b]8;;\u0007"


def state_of(service: Service, run: str, identifier: str) -> str:
    nodes: Any = service.graph_of(run)["nodes"]
    return str(next(node["id"] for node in nodes if node["identifier"] == identifier))


def test_it_shows_what_went_in_and_came_out_and_its_family(page: Page, service: Service) -> None:
    run = service.runs["good"]
    page.goto(f"/ui/n/{NS}/runs/{run}/states/{state_of(service, run, 'read')}")
    expect(page.get_by_role("region", name="Inputs")).to_contain_text("invoices-00000")
    outputs = page.get_by_role("region", name="Outputs")
    # Text that holds JSON is a tree, until one wants it as it is.
    expect(outputs.get_by_role("button", name="{ 2 fields } text")).to_be_visible()
    expect(outputs).to_contain_text("numberR-00000")
    outputs.get_by_label("Parse JSON in text").uncheck()
    expect(outputs).to_contain_text('{"number": "R-00000"')
    expect(page.get_by_role("region", name="Came from").get_by_role("link")).to_have_count(2)
    children = page.get_by_role("region", name="Led to").get_by_role("link")
    expect(children).to_have_text([re.compile("check-vat"), re.compile("archive")])
    children.first.click()
    expect(page.get_by_role("heading", name="check-vat")).to_be_visible()
    page.get_by_role("region", name="Came from").get_by_role("link", name=re.compile("^read")).click()
    expect(page.get_by_role("heading", name="read")).to_be_visible()


def test_an_error_is_shown_as_it_is_and_the_state_retried(page: Page, service: Service) -> None:
    page.goto(f"/ui/n/{NS}/runs/{service.runs['failed']}")
    page.get_by_role("region", name="Why it failed").get_by_role("link").first.click()
    expect(page.locator(".error-card pre")).to_contain_text("ValueError: VAT number")
    attempts = page.get_by_role("region", name="Attempts")
    expect(attempts.get_by_role("listitem")).to_have_text([re.compile("^1Retried"), re.compile("^2Errored")])
    facts = page.get_by_role("region", name="About this state")
    expect(facts).to_contain_text("Attempt2 of 2")
    expect(facts).to_contain_text(re.compile(r"Waited[\d.]+ m?s"))
    expect(facts).to_contain_text(re.compile(r"Worked[\d.]+ m?s"))
    old = page.url
    page.get_by_role("button", name="Retry").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page).not_to_have_url(old)
    expect(page).to_have_url(re.compile(r"/states/[0-9a-f]{24}$"))
    service.finish(service.runs["failed"])
    # The fault has not been mended, so that the new state fails as well.
    expect(page.locator("h1 .badge")).to_have_text(re.compile("Errored|Retried"), timeout=15_000)


def test_an_unknown_state_is_said_to_be_none(page: Page, service: Service, witness: Any) -> None:
    witness.expects_failures = True
    page.goto(f"/ui/n/{NS}/runs/{service.runs['good']}/states/{'0' * 24}")
    expect(page.get_by_role("heading", name="There is no such state")).to_be_visible()


@pytest.fixture(scope="module")
def hostile(service: Service) -> str:
    """A run with a state whose names, inputs, outputs and error are what they should not be."""
    api = service.api.in_namespace(SCRIPT.replace("/", "|"))
    name = SCRIPT
    api.register(registration(name, ["text"], ["text"]))
    node = {
        "node_name": name,
        "namespace": api.namespace,
        "identifier": name,
        "inputs": {"text": "x"},
        "next_nodes": ["next"],
    }
    last = {"node_name": name, "namespace": api.namespace, "identifier": "next", "inputs": {"text": "${{store.k}}"}}
    body = {"secrets": {}, "nodes": [node, last], "store_config": {"default_values": {"k": SCRIPT}}}
    assert (
        api.put("/graph/hostile", {**body, "retry_policy": {"max_retries": 0}}).json()["validation_status"] == "VALID"
    )
    run = api.post("/graph/hostile/trigger", {"inputs": {"text": SCRIPT + ANSI}}).json()["run_id"]
    (first,) = api.post("/states/enqueue", {"nodes": [name], "batch_size": 1}).json()["states"]
    outputs = [{"text": ANSI + "1" * 1_000_000, "deep": {"<b>": [SCRIPT]}, "number": 10**15}]
    assert api.post(f"/state/{first['state_id']}/executed", {"outputs": outputs}).status_code == 200
    (second,) = api.post("/states/enqueue", {"nodes": [name], "batch_size": 1}).json()["states"]
    error = ANSI + SCRIPT + "\n" + "x" * 1_000_000
    assert api.post(f"/state/{second['state_id']}/errored", {"error": error}).status_code == 200
    service.runs["hostile"] = run
    service.runs["hostile first"], service.runs["hostile second"] = first["state_id"], second["state_id"]
    return api.namespace


def test_hostile_content_is_shown_as_text_and_does_nothing(page: Page, service: Service, hostile: str) -> None:
    base = f"{service.url}/ui/n/" + page.evaluate("encodeURIComponent", hostile)
    run, first, second = (service.runs[name] for name in ("hostile", "hostile first", "hostile second"))
    places = {
        f"{base}/runs": "hostile",
        f"{base}/runs/{run}": "document.title",
        f"{base}/runs/{run}?view=states": "document.title",
        f"{base}/runs/{run}?view=timeline": "document.title",
        f"{base}/runs/{run}/states/{first}": "document.title",
        f"{base}/runs/{run}/states/{second}": "document.title",
        f"{base}/graphs/hostile?box=next": "document.title",
        f"{base}/graphs/hostile?trigger=new": "document.title",
        f"{base}/nodes": "document.title",
    }
    for place, text in places.items():
        page.goto(place)
        expect(page.locator("main")).to_contain_text(text)
        assert "owned" not in page.title().split(" · ")
        assert page.locator("main img[src], main script").count() == 0
    page.goto(f"{base}/runs/{run}/states/{second}")
    error = page.locator(".error-card pre")
    expect(error).to_contain_text("red click<script>")
    assert "\u001b" not in error.inner_text()
    page.get_by_role("button", name="Show all 1,000,").click()
    assert len(error.inner_text()) > 1_000_000
    page.goto(f"{base}/runs/{run}/states/{first}")
    outputs = page.get_by_role("region", name="Outputs")
    expect(outputs).to_contain_text("red click1111")
    outputs.get_by_role("button", name=re.compile("show all 1,000,")).click()
    expect(outputs.get_by_role("button", name="Show less")).to_be_visible()
    expect(outputs).to_contain_text("1000000000000000")
